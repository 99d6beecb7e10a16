"""Races trilb and HAProxy over the same nginx, in turn, and prints the ratio. See README.md beside this file."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 3
SECONDS = 4
CONNECTIONS = 64

CONFIG = """
global
    log 127.0.0.1:{syslog} local0
    maxconn 4000
    nbthread 1

defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s

frontend web
    bind 127.0.0.1:{port}
    default_backend app

backend app
    balance roundrobin
    cookie SERVERID insert indirect nocache
    option forwardfor
    server app1 127.0.0.1:{nginx} cookie app1
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

VARIED = """
local n = 0
request = function()
  n = n + 1
  wrk.headers["Cookie"] = "session=" .. n .. "; theme=dark"
  wrk.headers["User-Agent"] = "bench/" .. (n % 977)
  wrk.headers["Accept"] = "text/html"
  return wrk.format("GET", "/path/" .. n .. "?q=" .. (n * 7))
end
"""


@dataclass(frozen=True)
class Race:
    """One thing to measure."""

    name: str
    what: str
    path: str = "/"
    script: str = ""
    headers: tuple[str, ...] = ()


RACES = (
    Race("keepalive", "small keep-alive requests, heads alike"),
    Race("varied", "small keep-alive requests, heads all different", script=VARIED),
    Race("close", "a new connection for every request", headers=("Connection: close",)),
    Race("bulk", "1 MiB bodies", path="/bulk"),
)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until somebody accepts there."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")


def start(stack: ExitStack, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a program that ends with the stack."""
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        program.send_signal(signal.SIGTERM)
        try:
            program.wait(5)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()

    stack.callback(end)
    return program


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def run(race: Race, port: int, pid: int, folder: Path) -> tuple[float, float]:
    """One run of wrk; requests a second, and microseconds of CPU a request."""
    script = folder / f"{race.name}.lua"
    script.write_text(race.script)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
    command += ["-s", str(script)] if race.script else []
    for header in race.headers:
        command += ["-H", header]
    before = cpu_seconds(pid)
    out = subprocess.run([*command, f"http://127.0.0.1:{port}{race.path}"], capture_output=True, text=True, check=True)
    used = cpu_seconds(pid) - before
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out.stdout)
    total = re.search(r"(\d+) requests in", out.stdout)
    if rate is None or total is None or "Non-2xx" in out.stdout:
        raise SystemExit(f"wrk failed:\n{out.stdout}{out.stderr}")
    return float(rate[1]), used * 1e6 / max(1, int(total[1]))


def main(names: list[str]) -> int:
    """Run the named races, or all."""
    for program in ("haproxy", "nginx", "wrk"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed; `make packages` installs what the benchmark needs")
    races = [race for race in RACES if not names or race.name in names]
    results: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trilb-bench-")))
        folder.chmod(0o755)
        (folder / "bulk").write_bytes(bytes(1 << 20))
        nginx, syslog = free_port(), free_port()
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stack.callback(sink.close)
        sink.bind(("127.0.0.1", syslog))
        (folder / "nginx.conf").write_text(NGINX.format(dir=folder, nginx=nginx))
        start(stack, ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)])
        wait_for(nginx)
        racers: dict[str, tuple[int, int]] = {}
        for name, command in (("haproxy", ["haproxy"]), ("trilb", [sys.executable, "-m", "trilb"])):
            port = free_port()
            file = folder / f"{name}.cfg"
            file.write_text(CONFIG.format(port=port, syslog=syslog, nginx=nginx))
            racer = start(stack, [*command, "-d" if name == "trilb" else "-db", "-f", str(file)])
            wait_for(port)
            racers[name] = (port, racer.pid)
        for race in races:
            rates: dict[str, list[float]] = {name: [] for name in racers}
            costs: dict[str, list[float]] = {name: [] for name in racers}
            for _ in range(ROUNDS):
                for name, (port, pid) in racers.items():
                    rate, cost = run(race, port, pid, folder)
                    rates[name].append(rate)
                    costs[name].append(cost)
            row = {name: statistics.median(values) for name, values in rates.items()}
            ratio = statistics.median(a / b for a, b in zip(rates["trilb"], rates["haproxy"], strict=True))
            spent = {f"{name} us": statistics.median(values) for name, values in costs.items()}
            results[race.name] = {**row, "ratio": ratio, **spent}
            print(
                f"{race.name:10} haproxy {row['haproxy']:9.0f}/s {spent['haproxy us']:6.1f} us   "
                f"trilb {row['trilb']:9.0f}/s {spent['trilb us']:6.1f} us   ratio {ratio:.2f}   ({race.what})",
                flush=True,
            )
    target = Path(__file__).parent / "results"
    target.mkdir(exist_ok=True)
    (target / "latest.json").write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
