"""The program as people run it: configurations, signals, large bodies, real nginx, the demo."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.certs import Authority
from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import TRILB, Program
from tests.support.wire import Client, exchange

ROOT = Path(__file__).parent.parent.parent
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n%b\r\n"
DEFAULTS = """
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
"""


CA = Authority.new()
CERTIFICATES = "/etc/haproxy/certs"


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run trilb to its end."""
    return subprocess.run(
        [sys.executable, "-m", "trilb", *words],
        capture_output=True,
        text=True,
        timeout=20,
        cwd=cwd or ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def until(condition: Callable[[], bool], seconds: float = 8.0) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["sticky-cookie", "source-hash", "app-cookie", "failover", "production"])
def test_examples_are_valid(name: str, tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text((ROOT / "tests" / "examples" / f"{name}.cfg").read_text().replace(CERTIFICATES, str(tmp_path)))
    (tmp_path / "example.pem").write_bytes(CA.issue("www.example.com", "www.example.com").pem)
    done = run("-c", "-f", str(config))
    assert done.returncode == 0, done.stderr
    assert "Configuration file is valid" in done.stdout


def test_what_is_not_served_refuses_to_start_by_name(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text((ROOT / "tests" / "examples" / "failover.cfg").read_text() + "    email-alert level alert\n")
    done = run("-d", "-f", str(config))
    assert done.returncode == 1
    assert "'email-alert' is HAProxy's and not served by trilb yet" in done.stderr


# tls.cfg needs certificates: tests/e2e/test_https.py.
CONF = sorted(path for path in (ROOT / "conf").glob("*.cfg") if path.stem != "tls")


@pytest.mark.parametrize("path", CONF, ids=lambda path: path.stem)
def test_conf_loads_and_serves(path: Path) -> None:
    text = path.read_text()
    servers = sorted(set(re.findall(r"server \S+ 127\.0\.0\.1:(\d+)", text)))
    binds = re.findall(r"bind 127\.0\.0\.1:(\d+)", text)
    ports = {old: free_port() for old in binds}
    for old, new in ports.items():
        text = text.replace(f"bind 127.0.0.1:{old}", f"bind 127.0.0.1:{new}")
    origins = []
    try:
        for old in servers:
            origin = Origin(name=f"o{old}")
            origin.__enter__()
            origins.append(origin)
            text = re.sub(rf"(server \S+ 127\.0\.0\.1:){old}\b", rf"\g<1>{origin.port}", text)
        with Program.trilb(text, **{f"p{i}": port for i, port in enumerate(ports.values())}):
            answer = exchange(next(iter(ports.values())), GET % (b"", b"Connection: close\r\n"))
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    finally:
        for origin in origins:
            origin.__exit__(None, None, None)


@pytest.mark.parametrize("name", ["sticky-cookie", "source-hash", "app-cookie"])
def test_examples_serve(name: str) -> None:
    text = (ROOT / "tests" / "examples" / f"{name}.cfg").read_text()
    with Origin(name="s1") as first, Origin(name="s2") as second, Origin(name="s3") as third:
        port = free_port()
        text = text.replace("bind *:80", f"bind 127.0.0.1:{port}")
        for n, origin in enumerate((first, second, third)):
            text = text.replace(f"192.168.1.1{n}:8080", f"127.0.0.1:{origin.port}")
        with Program.trilb(text, port=port):
            answer = exchange(port, GET % (b"", b""))
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            if name == "sticky-cookie":
                cookie = re.search(rb"set-cookie: (SERVERID=s\d); path=/; HttpOnly\r\n", answer)
                assert cookie is not None
                mine = re.search(rb"x-server: (\S+)", answer)
                assert mine is not None
                for _ in range(5):
                    again = exchange(port, GET % (b"", b"Cookie: " + cookie[1] + b"\r\n"))
                    assert b"x-server: " + mine[1] in again
                    assert b"set-cookie" not in again


def health(request: bytes, origin: Origin) -> bytes:
    """A server that is healthy, and says what it was asked."""
    return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-asked: %b\r\n\r\nok" % request.split(b" ")[1]


def test_the_production_example_serves(tmp_path: Path) -> None:
    """TLS, HSTS, its sticky cookie, the API by the client's address; checks that pass, and one that does not."""
    text = (ROOT / "tests" / "examples" / "production.cfg").read_text().replace(CERTIFICATES, str(tmp_path))
    (tmp_path / "example.pem").write_bytes(CA.issue("www.example.com", "www.example.com").pem)
    stats, web, dead = free_port(), free_port(), free_port()
    with Origin(health, name="web") as first, Origin(health, name="api") as second:
        for old, new in (
            ("*:8404", f"127.0.0.1:{stats}"), ("*:443", f"127.0.0.1:{web}"), ("inter 5s", "inter 100ms"),
            ("192.168.1.10:8080", f"127.0.0.1:{first.port}"), ("192.168.1.11:8080", f"127.0.0.1:{first.port}"),
            ("192.168.1.12:8080", f"127.0.0.1:{dead}"), ("/run/haproxy", str(tmp_path)), ("    daemon\n", ""),
            ("192.168.1.20:8080", f"127.0.0.1:{second.port}"), ("192.168.1.21:8080", f"127.0.0.1:{second.port}"),
            ("192.168.1.22:8080", f"127.0.0.1:{second.port}"), ("    user haproxy\n    group haproxy\n", ""),
            ("    chroot /var/lib/haproxy\n", ""),
        ):  # fmt: skip
            assert old in text
            text = text.replace(old, new)
        with Program.trilb(text, stats=stats, web=web):

            def row(server: str) -> list[str]:
                page = exchange(stats, b"GET /stats;csv HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").decode()
                return next(line.split(",") for line in page.splitlines() if line.startswith(server))

            until(lambda: row("web_backend,web3")[17] == "DOWN" and row("web_backend,web1")[36] == "L7OK")
            until(lambda: row("api_backend,api3")[36] == "L7OK")
            words = ["curl", "-s", "-i", "-k", "--resolve", f"www.example.com:{web}:127.0.0.1"]
            url = f"https://www.example.com:{web}"
            seen = {}
            for path in ("/", "/again", "/api/list", "/api/item"):
                done = subprocess.run([*words, url + path], capture_output=True, text=True, check=True).stdout.lower()
                assert "strict-transport-security: max-age=31536000" in done
                assert f"x-asked: {path}" in done
                seen[path] = re.search(r"set-cookie: (serverid=web[12]; path=/; httponly; secure)", done)
            assert seen["/"] is not None and seen["/again"] is not None
            assert seen["/api/list"] is None
            assert sorted(int(row(f"api_backend,api{n}")[7]) for n in (1, 2, 3)) == [0, 0, 2]


def test_a_dead_servers_clients_land_elsewhere_and_are_told() -> None:
    config = DEFAULTS + (
        "listen l\n bind 127.0.0.1:{port}\n option redispatch\n cookie S insert indirect nocache\n"
        " server a 127.0.0.1:{dead} cookie a\n server b 127.0.0.1:{live} cookie b\n"
    )
    port, dead = free_port(), free_port()
    with Origin(name="b") as origin, Program.trilb(config.format(port=port, dead=dead, live=origin.port), port=port):
        answer = exchange(port, GET % (b"", b"Cookie: S=a\r\n"))
        assert b"x-server: b" in answer
        assert b"set-cookie: S=b; path=/\r\n" in answer


def rss(pid: int) -> int:
    """Resident memory of a process, bytes."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def bulk_server() -> Iterator[tuple[int, list[int]]]:
    """A server that sends 1 GiB for GET and counts what a POST brings."""
    import threading

    listener = socket.create_server(("127.0.0.1", 0))
    received: list[int] = []
    stop = threading.Event()

    def serve(sock: socket.socket) -> None:
        with sock:
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(65536)
            head, _, rest = head.partition(b"\r\n\r\n")
            if head.startswith(b"GET"):
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (1 << 30))
                block = bytes(1 << 20)
                for _ in range(1 << 10):
                    if stop.is_set():
                        return
                    sock.sendall(block)
            else:
                left = (1 << 30) - len(rest)
                while left and (got := sock.recv(1 << 20)):
                    left -= len(got)
                received.append((1 << 30) - left)
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    def accept() -> None:
        while not stop.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1], received
    stop.set()
    listener.close()


def test_a_gibibyte_each_way_in_flat_memory(bulk_server: tuple[int, list[int]]) -> None:
    server, received = bulk_server
    port = free_port()
    config = DEFAULTS + f"listen l\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{server}\n"
    with Program.trilb(config, port=port) as program:
        exchange_before = rss(program.process.pid)
        highest = exchange_before
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(GET % (b"big", b""))
            total, buffer = 0, bytearray(1 << 20)
            while total < 1 << 30:
                got = sock.recv_into(buffer)
                assert got, f"ended after {total} bytes"
                total += got
                if total % (1 << 26) < got:
                    highest = max(highest, rss(program.process.pid))
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
            block = bytes(1 << 20)
            for n in range(1 << 10):
                sock.sendall(block)
                if n % 64 == 0:
                    highest = max(highest, rss(program.process.pid))
            assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert received == [1 << 30]
        assert highest - exchange_before < 16 << 20


def test_soft_stop_finishes_what_is_under_way() -> None:
    with Origin(respond=lambda raw, origin: _slow(raw, origin)) as origin:
        port = free_port()
        config = DEFAULTS + f"listen l\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{origin.port}\n"
        with Program.trilb(config, port=port) as program:
            idle, busy = Client(port, timeout=8), Client(port, timeout=8)
            with idle, busy:
                idle.send(GET % (b"", b""))
                assert idle.read_response().startswith(b"HTTP/1.1 200")
                busy.send(GET % (b"slow", b""))
                until(lambda: len(origin.requests) == 2)
                os.kill(program.process.pid, signal.SIGUSR1)
                answer = busy.read_response()
                assert answer.startswith(b"HTTP/1.1 200")
                assert b"connection: close" in answer
                assert idle.read_all() is not None
            assert program.process.wait(8) == 0


def _slow(raw: bytes, origin: Origin) -> bytes:
    if raw.startswith(b"GET /slow"):
        origin.stopping.wait(1.5)
    return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_at_once(number: int) -> None:
    port = free_port()
    config = DEFAULTS + f"listen l\n bind 127.0.0.1:{port}\n server s 127.0.0.1:1\n"
    with Program.trilb(config, port=port) as program, socket.create_connection(("127.0.0.1", port)):
        os.kill(program.process.pid, number)
        os.kill(program.process.pid, number)
        assert program.process.wait(5) == 0


def test_inherited_listening_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Origin(name="s") as origin:
        os.set_inheritable(listener.fileno(), True)
        config = ROOT / "tests"
        text = DEFAULTS + f'listen l\n bind "fd@${{fe}}"\n server s 127.0.0.1:{origin.port}\n'
        import tempfile

        with tempfile.NamedTemporaryFile("w", suffix=".cfg", dir=config) as file:
            file.write(text)
            file.flush()
            process = subprocess.Popen(
                [*TRILB, "-d", "-dM", "-dI", "-f", file.name],
                pass_fds=[listener.fileno()],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "fe": str(listener.fileno())},
            )
            try:
                answer = exchange(listener.getsockname()[1], GET % (b"", b""))
                assert answer.startswith(b"HTTP/1.1 200 OK")
            finally:
                process.send_signal(signal.SIGINT)
                assert process.wait(5) == 0


def test_conditions_do_not_import_trio() -> None:
    for words in (["-cc", "version_atleast(2.4)"], ["-vv"]):
        code = f"import sys; from trilb.cli import main; main({words!r}); print('trio' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
        assert done.stdout.splitlines()[-1].startswith("False"), words


def test_real_nginx_behind(tmp_path: Path) -> None:
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")
    port, backend = free_port(), free_port()
    body = os.urandom(700_000)
    (tmp_path / "file").write_bytes(body)
    tmp_path.chmod(0o755)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"worker_processes 1; daemon off; error_log stderr crit; pid {tmp_path}/pid; user root;"
        "events { worker_connections 256; }"
        f"http {{ access_log off; {temporary} gzip on; gzip_types application/octet-stream; gzip_min_length 1;"
        f" server {{ listen 127.0.0.1:{backend}; root {tmp_path}; default_type application/octet-stream;"
        ' location /echo { return 200 "$http_x_forwarded_for|$http_cookie"; } } }'
    )
    server = subprocess.Popen([nginx, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
    try:
        config = DEFAULTS + (
            f"listen l\n bind 127.0.0.1:{port}\n option forwardfor\n cookie S insert indirect\n"
            f" server s 127.0.0.1:{backend} cookie one\n"
        )
        with Program.trilb(config, port=port):
            until(lambda: exchange(port, GET % (b"echo", b"")).startswith(b"HTTP/1.1 200"))
            answer = exchange(port, GET % (b"echo", b"Cookie: a=1; S=one\r\n"))
            assert answer.endswith(b"127.0.0.1|a=1")
            curl = shutil.which("curl")
            assert curl is not None
            for extra in ([], ["--compressed"], ["--http1.0"]):
                done = subprocess.run(
                    [curl, "-s", *extra, f"http://127.0.0.1:{port}/file"], capture_output=True, check=True
                )
                assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(body).digest(), extra
    finally:
        server.terminate()
        server.wait(5)
