"""What checking costs: `python -m bench.checks` runs 1,000 checked servers at inter 2s, and HAProxy beside it.

For each kind of check it prints the process's CPU time a second (user and system, as a part of one core), and the
latency of small requests that are served at the same time, 200 a second over one connection.

Measured (CPython 3.11, two cores), compiled, the range of four runs: httpchk 5.7 to 9.2 % of a core (HAProxy 4 %),
connections 4.3 % (2.3 %), no checks 0.1 %; the 99th percentile of a request 0.5 to 0.6 ms without checks, 0.5 to 1.6 ms
with a thousand (HAProxy 0.5 and 0.7 ms). When each check had a wake of its own, and wheels turned 40 times a second
whether or not somebody waited, httpchk was 12.1 %, connections 8.2 % and no checks 1.3 % in the same hour.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.programs import free_port, wait_for

SERVERS = 1000
SECONDS = 12.0
RATE = 200
_TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """
global
    maxconn 4000
    {threads}
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    bind 127.0.0.1:{port}
    default_backend app
backend app
    server app 127.0.0.1:{nginx}
backend checked
    {option}
"""
NGINX = """
worker_processes 1;
daemon off;
error_log stderr crit;
pid {dir}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{nginx} backlog=4096;
        location /bulk {{ alias {dir}/bulk; default_type application/octet-stream; }}
        location / {{ return 200 "hello, world\\n"; default_type text/plain; }}
    }}
}}
"""
KINDS = {
    "none": ("", ""),
    "connect": ("", "check inter 2s"),
    "httpchk": ("option httpchk GET /", "check inter 2s"),
    "tcp-check": (
        "option tcp-check\n    tcp-check connect\n    tcp-check send GET\\ /\\ HTTP/1.0\\r\\n\\r\\n\n"
        "    tcp-check expect string HTTP/1",
        "check inter 2s",
    ),
}


def cpu(pid: int) -> float:
    """Seconds of CPU a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def ask(port: int, seconds: float) -> list[float]:
    """Milliseconds that small requests took, one at a time at an even rate."""
    taken: list[float] = []
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.monotonic()
        for number in range(int(seconds * RATE)):
            time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
            before = time.perf_counter()
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b""
            while b"hello, world" not in answer:
                answer += sock.recv(65536)
            taken.append((time.perf_counter() - before) * 1000)
    return sorted(taken)


def measure(command: list[str], threads: str, kind: str, nginx: int, folder: Path) -> str:
    """One line of figures."""
    option, words = KINDS[kind]
    port = free_port()
    config = folder / f"{kind}.cfg"
    lines = [f"    server s{n} 127.0.0.1:{nginx} {words}\n" for n in range(SERVERS if words else 0)]
    config.write_text(CONFIG.format(threads=threads, port=port, nginx=nginx, option=option) + "".join(lines))
    words_of_it = [*command, "-db", "-f", str(config)]
    program = subprocess.Popen(words_of_it, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        time.sleep(2.5)  # every first check is done
        before, begin = cpu(program.pid), time.monotonic()
        time.sleep(SECONDS)
        alone = (cpu(program.pid) - before) / (time.monotonic() - begin)
        taken = ask(port, SECONDS)
    finally:
        program.terminate()
        program.wait()
    p99 = taken[int(len(taken) * 0.99)]
    return f"{alone:7.1%} of a core   p50 {statistics.median(taken):5.2f} ms   p99 {p99:5.2f} ms"


def main() -> None:
    """Print the figures of both programs."""
    wanted = sys.argv[1:] or list(KINDS)
    nginx = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "nginx.conf").write_text(NGINX.format(dir=folder, nginx=nginx))
        server = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf")])
        stack.callback(server.wait)
        stack.callback(server.terminate)
        wait_for(nginx)
        for kind in wanted:
            programs = [("trilb", [sys.executable, "-m", "trilb"], "")]
            if shutil.which("haproxy") is not None:
                programs.append(("haproxy", ["haproxy"], "nbthread 1"))
            for name, command, threads in programs:
                print(f"{kind:10} {name:8} {measure(command, threads, kind, nginx, folder)}", flush=True)


if __name__ == "__main__":
    main()
