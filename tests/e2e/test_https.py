"""TLS with the programs that people use: curl, openssl, nginx; large bodies, many half-open handshakes, reload."""

from __future__ import annotations

import hashlib
import os
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.test_reload import trilb
from tests.support.certs import NOW, Authority, TlsClient, TlsOrigin, client_context, outcome, rsa_key, server_context
from tests.support.hello import body, client_hello, extension, message, record
from tests.support.origin import Origin, reply
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.syslog import Syslog
from tests.support.wire import Client, parse_response

ROOT = Path(__file__).parent.parent.parent
CA = Authority.new()
OWN = CA.issue("www.example.com", "www.example.com", "localhost", key=rsa_key())
GET = b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
HEAD = """
global
    stats socket {dir}/cli level admin
    ssl-load-extra-files all
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
"""
ACCEPT = b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
BIG = os.urandom(1 << 16) * 80


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def run(*words: str, seconds: float = 20.0, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, capture_output=True, text=True, timeout=seconds, cwd=ROOT, env=env, input=text)


def tool(name: str) -> str:
    """A program, or skip."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def told(program: Program, command: str) -> str:
    """What the command socket answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(program.dir / "cli"))
        sock.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def info(program: Program, name: str) -> int:
    """A number of `show info`."""
    found = re.search(rf"^{name}: (\d+)$", told(program, "show info"), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our certificate and the authority."""
    folder = tmp_path_factory.mktemp("certs")
    (folder / "own.pem").write_bytes(OWN.pem)
    (folder / "ca.pem").write_bytes(CA.cert_pem)
    return folder


def respond(request: bytes, origin: Origin) -> bytes:
    """Large and small answers, digests of bodies, upgrades."""
    if request.startswith(b"GET /big"):
        return reply(BIG)
    if request.startswith(b"GET /chunked"):
        parts = [BIG[at : at + 70_001] for at in range(0, len(BIG), 70_001)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    if b"upgrade: websocket" in request.lower():
        return b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" + ACCEPT
    if request.startswith(b"POST"):
        return reply(hashlib.sha256(request.partition(b"\r\n\r\n")[2]).hexdigest().encode())
    return reply(b"hello", headers=("x-server: " + origin.name,))


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """A server without TLS."""
    with Origin(respond) as made:
        yield made


@pytest.fixture(scope="module")
def secured() -> Iterator[TlsOrigin]:
    """A server with TLS."""
    with TlsOrigin(server_context(OWN), respond) as made:
        yield made


@pytest.fixture(scope="module")
def lb(certs: Path, origin: Origin, secured: TlsOrigin) -> Iterator[Program]:
    """trilb with TLS on either side and on both."""
    (certs / "page").write_bytes(BIG[:300_000])
    text = (
        HEAD
        + """
frontend fe
    bind 127.0.0.1:{port} ssl crt {certs}/own.pem alpn http/1.1
    http-request return status 200 content-type a/b file {certs}/page if { path /page }
    use_backend tls if { path_end /tls }
    default_backend plain
frontend open
    bind 127.0.0.1:{port2}
    default_backend tls
backend plain
    server s 127.0.0.1:{origin1}
backend tls
    server s 127.0.0.1:{origin2} ssl verify required ca-file {certs}/ca.pem sni str(www.example.com)
frontend small
    bind 127.0.0.1:{port3} ssl crt {certs}/own.pem
    default_backend plain
"""
    )
    ports = {name: free_port() for name in ("port", "port2", "port3")}
    text = text.replace("global\n", "global\n    tune.bufsize 400000\n", 1)
    with Program.trilb(text, certs=str(certs), origin1=origin.port, origin2=secured.port, **ports) as program:
        program.ports = ports  # type: ignore[attr-defined]
        yield program
        assert info(program, "SessionFaults") == 0


def port_of(program: Program, name: str = "port") -> int:
    """Where it listens."""
    return int(program.ports[name])  # type: ignore[attr-defined]


# -- clients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--tlsv1.3",), ("--tls-max", "1.2")])
def test_curl(lb: Program, certs: Path, options: tuple[str, ...]) -> None:
    """curl believes us by our name, and keeps its connection."""
    port = port_of(lb)
    url = f"https://www.example.com:{port}/"
    words = ("--cacert", str(certs / "ca.pem"), "--connect-to", f"www.example.com:{port}:127.0.0.1:{port}")
    done = run(tool("curl"), "-sv", "--http1.1", *options, *words, url, url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "hellohello"
    assert "ALPN: server accepted http/1.1" in done.stderr or "ALPN, server accepted" in done.stderr
    assert re.search("Re-using existing connection", done.stderr)
    assert "unexpected eof" not in done.stderr


def test_curl_does_not_believe_others(lb: Program, certs: Path) -> None:
    """The certificate is for that name alone."""
    done = run(tool("curl"), "-s", "--cacert", str(certs / "ca.pem"), f"https://127.0.0.1:{port_of(lb)}/")
    assert done.returncode == 60


def test_openssl(lb: Program, certs: Path) -> None:
    """s_client: the chain is good; sessions are taken up again; new keys in the middle."""
    words = ("s_client", "-connect", f"127.0.0.1:{port_of(lb)}", "-servername", "www.example.com", "-CAfile")
    request = "GET / HTTP/1.1\nHost: a\nConnection: close\n\n"
    done = run(tool("openssl"), *words, str(certs / "ca.pem"), "-crlf", "-ign_eof", text=request)
    assert "Verify return code: 0 (ok)" in done.stdout
    assert "hello" in done.stdout
    done = run(tool("openssl"), *words, str(certs / "ca.pem"), "-reconnect", "-tls1_2", "-no_ticket", text="")
    assert done.stdout.count("Reused, TLSv1.2") == 5
    session = certs / "session"
    first = run(
        tool("openssl"), *words, str(certs / "ca.pem"), "-sess_out", str(session), "-crlf", "-ign_eof", text=request
    )
    assert "New, TLSv1.3" in first.stdout
    again = run(
        tool("openssl"), *words, str(certs / "ca.pem"), "-sess_in", str(session), "-crlf", "-ign_eof", text=request
    )
    assert "Reused, TLSv1.3" in again.stdout


@pytest.mark.parametrize("letter", ["K", "k", "R"])
def test_new_keys(lb: Program, certs: Path, letter: str) -> None:
    """Asked for between two requests, with TLS 1.3; renegotiation is refused, with TLS 1.2, and hurts nobody else."""
    version = "-tls1_2" if letter == "R" else "-tls1_3"
    process = subprocess.Popen(
        [tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port_of(lb)}", "-crlf", version],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    said = b""

    def heard(word: bytes, count: int) -> Callable[[], bool]:
        def look() -> bool:
            nonlocal said
            said += process.stdout.read() or b""  # type: ignore[union-attr]
            return said.count(word) >= count

        return look

    try:
        process.stdin.write(b"GET / HTTP/1.1\nHost: a\n\n")
        process.stdin.flush()
        until(heard(b"hello", 1))
        process.stdin.write(letter.encode() + b"\n")
        process.stdin.flush()
        if letter == "R":
            until(heard(b"no renegotiation", 1))
        else:
            until(heard(b"KEYUPDATE", 1))
            process.stdin.write(b"GET / HTTP/1.1\nHost: a\n\n")
            process.stdin.flush()
            until(heard(b"hello", 2))
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_websocket(lb: Program) -> None:
    """Raw bytes both ways after the upgrade, larger than any buffer."""
    with TlsClient(port_of(lb), timeout=10) as client:
        client.send(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b" 101 " in client.read_until(b"\r\n\r\n")
        for size in (1, 10, 1000, 20_000, 100_000):
            client.tls.sendall(BIG[:size])
            got = b""
            while len(got) < size:
                got += client.tls.recv(65536)
            assert got == BIG[:size]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_hello_in_pieces(certs: Path, size: int) -> None:
    """However the network cuts it, and however many records it is in, the name in it is found."""
    text = HEAD + "frontend fe\n    bind 127.0.0.1:{port} ssl crt {certs}/own.pem crt {certs}/two.pem strict-sni\n"
    (certs / "two.pem").write_bytes(CA.issue("two.example", "two.example").pem)
    port = free_port()
    with Program.trilb(text, certs=str(certs), port=port):
        for records in (False, True):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_context().wrap_bio(incoming, outgoing, server_hostname="two.example")
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(10):
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        pass
                    raw = outgoing.read()
                    if records and raw[5:6] == b"\1":
                        body = raw[5:]
                        step = max(size, 10)
                        parts = (body[at : at + step] for at in range(0, len(body), step))
                        raw = b"".join(raw[:3] + len(part).to_bytes(2, "big") + part for part in parts)
                    for at in range(0, len(raw), size):
                        sock.sendall(raw[at : at + size])
                        if at % 50 == 0:
                            time.sleep(0.001)
                    incoming.write(sock.recv(65536))
                der = tls.getpeercert(binary_form=True)
                assert der is not None and b"two.example" in der


def test_spoiled_hellos(lb: Program) -> None:
    """Bytes changed, cut out, put in and said twice: a refusal each time, no fault of ours, and nobody else suffers."""
    chance = random.Random(7)
    good = client_hello("www.example.com", alpn=("http/1.1",))
    before, failed = info(lb, "SessionFaults"), info(lb, "FailedSslConns")
    for number in range(400):
        raw = bytearray(good)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(raw))
            what = chance.randrange(4)
            if what == 0:
                raw[at] = chance.randrange(256)
            elif what == 1:
                del raw[at : at + chance.randrange(40)]
            elif what == 2:
                raw[at:at] = chance.randbytes(chance.randrange(60))
            else:
                raw += raw[at : at + chance.randrange(20_000)]
        with socket.create_connection(("127.0.0.1", port_of(lb)), 5) as sock:
            sock.sendall(raw)
            sock.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while sock.recv(65536):
                    pass
        if number % 100 == 0:
            assert outcome(port_of(lb)) == "www.example.com"
    assert info(lb, "SessionFaults") == before
    assert info(lb, "FailedSslConns") - failed == 400


def test_huge_hellos(lb: Program) -> None:
    """More than any client says: refused before it is all there."""
    for raw in (
        record(message(body(extension(21, bytes(60_000))))[:16_000]) + record(bytes(16_000)) * 10,
        record(b"\1\xff\xff\xff" + bytes(16_000)) * 40,
        (b"\x16\x03\x01\x00\x01\x01" + b"\x16\x03\x01\x00\x01\x00" * 70) + record(bytes(100)),
        b"\x16\x03\x01\x00\x00" * 10_000,
    ):
        with socket.create_connection(("127.0.0.1", port_of(lb)), 5) as sock, suppress(ConnectionError):
            sock.sendall(raw)
            while sock.recv(65536):
                pass
    assert outcome(port_of(lb)) == "www.example.com"


def test_the_header_and_the_hello_together(certs: Path) -> None:
    """A PROXY header in the same segment as the hello; and where a rule says that it comes."""
    text = (
        HEAD
        + """
frontend fe
    bind 127.0.0.1:{port} ssl crt {certs}/own.pem accept-proxy
    bind 127.0.0.1:{port2} ssl crt {certs}/own.pem
    tcp-request connection expect-proxy layer4 if {{ dst_port {port2} }}
    tcp-request session reject if {{ ssl_fc_sni bad.example }}
    http-request return status 200 content-type text/plain lf-string "%[src]"
"""
    )
    ports = {"port": free_port(), "port2": free_port()}
    text = text.replace("{{", "{").replace("}}", "}")
    with Program.trilb(text, certs=str(certs), **ports) as program:
        for port in ports.values():
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_context().wrap_bio(incoming, outgoing, server_hostname="www.example.com")
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                sent = b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"
                got = b""
                while b"192.0.2.7" not in got:
                    with suppress(ssl.SSLWantReadError):
                        if tls.version() is None:
                            tls.do_handshake()
                            tls.write(GET)
                        got += tls.read(65536)
                    sock.sendall(sent + outgoing.read())
                    sent = b""
                    incoming.write(b"" if got else sock.recv(65536))
            with TlsClient(port, name="bad.example", before=b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n") as bad:
                bad.send(GET)
                assert bad.read_all() == b""
        assert info(program, "SessionFaults") == 0


@pytest.mark.parametrize("how", ["sni req.hdr(x-name)", "pool-conn-name req.hdr(x-name)", "send-proxy-v2", ""])
def test_connections_are_used_again_for_the_same_name(certs: Path, how: str) -> None:
    """A server's connection that was opened for one name, or one client, serves no other."""
    with TlsOrigin(server_context(OWN), respond) as secured, ExitStack() as stack:
        text = HEAD + (
            "listen fe\n    bind 127.0.0.1:{port} ssl crt {certs}/own.pem\n    http-reuse always\n"
            f"    server s 127.0.0.1:{{origin}} ssl verify none no-sni-auto pool-purge-delay 60s {how}\n"
        )
        backend = secured if how != "send-proxy-v2" else stack.enter_context(Origin(respond))
        if how == "send-proxy-v2":
            text = text.replace("ssl verify none no-sni-auto ", "")
        port = free_port()
        stack.enter_context(Program.trilb(text, certs=str(certs), port=port, origin=backend.port))
        seen = []
        for name in ("one", "two", "one", "two", "two"):
            with TlsClient(port) as client:
                client.send(f"GET / HTTP/1.1\r\nHost: a\r\nX-Name: {name}\r\n\r\n".encode())
                if how == "send-proxy-v2":
                    # The header looks like garbage to this server; that it comes anew is what counts.
                    client.tls.settimeout(0.3)
                    with suppress(TimeoutError):
                        client.tls.recv(100)
                else:
                    assert client.read_response().endswith(b"hello")
            # The client has its answer before the connection behind it is back in its place.
            time.sleep(0.05)
            seen.append(backend.connections)
        wanted = {"": [1] * 5, "send-proxy-v2": [1, 2, 3, 4, 5]}.get(how, [1, 2, 2, 2, 2])
        assert seen == wanted


# -- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("path", ["/big", "/chunked", "/big/tls", "/chunked/tls", "/page"])
def test_large_answers(lb: Program, path: str, version: str) -> None:
    """5 MB through TLS on one side or both; a page of our own."""
    with TlsClient(port_of(lb), client_context(newest=version), timeout=20) as client:
        client.send(GET.replace(b"/ ", path.encode() + b" ", 1))
        body = parse_response(client.read_response())[2]
        assert body == (BIG[:300_000] if path == "/page" else BIG)
        client.send(GET)
        assert b"hello" in client.read_response()


@pytest.mark.parametrize("path", ["/big", "/page"])
def test_a_slow_reader(lb: Program, path: str) -> None:
    """Who reads a little at a time gets all of it, and nothing is kept for him without bound."""
    with TlsClient(port_of(lb), client_context(), timeout=20) as client:
        client.send(GET.replace(b"/ ", path.encode() + b" ", 1))
        time.sleep(0.3)
        want = len(BIG) if path == "/big" else 300_000
        got = b""
        pauses = 0
        while len(got.partition(b"\r\n\r\n")[2]) < want:
            more = client.tls.recv(16384)
            assert more
            got += more
            if pauses < 50:
                pauses += 1
                time.sleep(0.01)
        assert got.partition(b"\r\n\r\n")[2] == BIG[:want]


@pytest.mark.parametrize("port", ["port", "port2"])
@pytest.mark.parametrize("path", ["/up", "/up/tls"])
def test_large_uploads(lb: Program, port: str, path: str) -> None:
    """5 MB to the server, with a length and in chunks."""
    made = TlsClient(port_of(lb), timeout=20) if port == "port" else Client(port_of(lb, port), timeout=20)
    with made as client:
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\n".encode()
        client.send(head + b"Content-Length: %d\r\n\r\n" % len(BIG) + BIG)
        assert parse_response(client.read_response())[2] == hashlib.sha256(BIG).hexdigest().encode()
        chunks = b"".join(b"%x\r\n%b\r\n" % (40_000, BIG[at : at + 40_000]) for at in range(0, 4_000_000, 40_000))
        client.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert client.read_response().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_thousand_requests_on_one_connection(lb: Program, secured: TlsOrigin, version: str) -> None:
    """And the server's connections are used again."""
    before = secured.connections
    with TlsClient(port_of(lb), client_context(newest=version)) as client:
        for number in range(1000):
            client.send(GET.replace(b"/ ", b"/tls " if number % 2 else b"/ ", 1))
            assert client.read_response().endswith(b"hello")
    assert secured.connections - before <= 2


def test_pipelined_requests(lb: Program) -> None:
    """Several in one record, and one in many."""
    with TlsClient(port_of(lb)) as client:
        client.send(GET * 50)
        for _ in range(50):
            assert client.read_response().endswith(b"hello")
        for byte in GET:
            client.tls.send(bytes([byte]))
        assert client.read_response().endswith(b"hello")


@pytest.mark.parametrize("size", [0, 1400, 9000])
def test_nginx(certs: Path, tmp_path: Path, size: int) -> None:
    """A real HTTPS server: verified, kept alive, with large files; records as small as we are told to make them."""
    nginx = tool("nginx")
    port, mine = free_port(), free_port()
    (certs / "chain.pem").write_bytes(OWN.chain_pem)
    (certs / "key.pem").write_bytes(OWN.key_pem)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "big").write_bytes(BIG)
    (tmp_path / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {tmp_path}/a; proxy_temp_path {tmp_path}/b;
  fastcgi_temp_path {tmp_path}/c; uwsgi_temp_path {tmp_path}/d; scgi_temp_path {tmp_path}/e;
  server {{ listen 127.0.0.1:{port} ssl;
  ssl_certificate {certs}/chain.pem; ssl_certificate_key {certs}/key.pem; root {tmp_path}/www;
  location /sni {{ return 200 $ssl_server_name; }}
  location /tls {{ return 200 "$ssl_protocol $ssl_session_reused"; }} }} }}
""")
    process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    text = (
        HEAD
        + """
listen fe
    bind 127.0.0.1:{port} ssl crt {certs}/own.pem
    server s 127.0.0.1:{origin} ssl verify required ca-file {certs}/ca.pem sni req.hdr(host)
"""
    )
    text = text.replace("global\n", f"global\n    tune.ssl.maxrecord {size}\n", 1)
    # Our client takes its time over 5 MB when the machine is busy.
    text = text.replace("timeout client 5s", "timeout client 30s")
    try:
        with Program.trilb(text, certs=str(certs), port=mine, origin=port) as program:
            until(lambda: bool(told(program, "show info")))
            with TlsClient(mine, timeout=20) as client:
                for path, body in (("/sni", b"www.example.com"), ("/big", BIG), ("/tls", b"TLSv1.2 ."), ("/big", BIG)):
                    client.send(GET.replace(b"/ ", path.encode() + b" ", 1))
                    assert parse_response(client.read_response())[2] == body
    finally:
        process.terminate()
        process.wait(10)


# -- time and patience -----------------------------------------------------------------------------------------------

SLOW = (
    HEAD
    + """
    timeout client-hs 600ms
    timeout http-request 900ms
    log 127.0.0.1:{syslog} local0
    option httplog
frontend fe
    bind 127.0.0.1:{port} ssl crt {certs}/own.pem
    http-request return status 200
"""
)


@pytest.mark.parametrize("what", ["nothing", "drip", "half"])
def test_a_slow_handshake(certs: Path, what: str) -> None:
    """It has `timeout client-hs` from the first byte to the last, however it drips."""
    with Syslog() as syslog, Program.trilb(SLOW, certs=str(certs), port=free_port(), syslog=syslog.port) as program:
        port = int(re.findall(r"127.0.0.1:(\d+) ssl", program.config.read_text())[0])
        hello = client_hello()
        with Client(port) as client:
            start = time.monotonic()
            if what == "half":
                client.send(hello[:100])
            while what == "drip" and time.monotonic() < start + 3:
                client.send(hello[:1])
                hello = hello[1:]
                time.sleep(0.05)
                client._sock.setblocking(False)
                with suppress(BlockingIOError):
                    if client._sock.recv(100) == b"":
                        break
            client.read_all()
            took = time.monotonic() - start
        assert 0.5 < took < 1.3
        assert "Timeout during SSL handshake" in syslog.take(1)[0]
        assert info(program, "FailedSslConns") == 1
        assert info(program, "CurrSslConns") == 0


def test_a_slow_request(certs: Path) -> None:
    """After the handshake the request has `timeout http-request`."""
    with Syslog() as syslog, Program.trilb(SLOW, certs=str(certs), port=free_port(), syslog=syslog.port) as program:
        port = int(re.findall(r"127.0.0.1:(\d+) ssl", program.config.read_text())[0])
        with TlsClient(port) as client:
            start = time.monotonic()
            for byte in GET:
                try:
                    client.tls.send(bytes([byte]))
                except OSError:
                    break
                time.sleep(0.06)
            assert b" 408 " in client.read_all()
            assert 0.8 < time.monotonic() - start < 2.5
        assert " cR-- " in syslog.take(1)[0]


@pytest.mark.alone
def test_many_half_open_handshakes(certs: Path) -> None:
    """2,000 clients that never finish cost little, do not keep others out, and are gone when their time is over."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    text = SLOW.replace("client-hs 600ms", "client-hs 4s").replace("global\n", "global\n    maxconn 3000\n", 1)
    hello = client_hello()
    count = 2000
    try:
        with Syslog() as syslog, Program.trilb(text, certs=str(certs), port=free_port(), syslog=syslog.port) as program:
            port = int(re.findall(r"127.0.0.1:(\d+) ssl", program.config.read_text())[0])
            outcome(port)
            before, done = memory(program), info(program, "CumSslConns")
            with ExitStack() as stack:
                start = time.monotonic()
                for number in range(count):
                    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                    sock.sendall((b"", hello[:1], hello[:200], hello)[number % 4])
                until(lambda: info(program, "CurrSslConns") >= count - 1, 15)
                grown = memory(program) - before
                first = time.monotonic()
                assert outcome(port) == "www.example.com"
                assert time.monotonic() - first < 2
                assert grown < count * 100_000, f"{grown / count:.0f} bytes each"
                until(lambda: info(program, "CurrSslConns") == 0, 20)
                assert time.monotonic() - start < 25
            assert info(program, "FailedSslConns") == count
            assert info(program, "CumSslConns") == done + count + 1
            assert len(syslog.pending()) >= count
            assert outcome(port) == "www.example.com"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(program: Program) -> int:
    """Resident bytes."""
    text = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024


# -- ends and beginnings ---------------------------------------------------------------------------------------------


def test_soft_stop(certs: Path, origin: Origin) -> None:
    """SIGUSR1: open sessions end their request and say farewell; new ones are not taken."""
    text = HEAD + "listen fe\n    bind 127.0.0.1:{port} ssl crt {certs}/own.pem\n    server s 127.0.0.1:{origin}\n"
    port = free_port()
    with Program.trilb(text, certs=str(certs), port=port, origin=origin.port) as program:
        with TlsClient(port, timeout=10) as busy, TlsClient(port, timeout=10) as idle:
            for client in (busy, idle):
                client.send(GET)
                assert client.read_response().endswith(b"hello")
            busy.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
            time.sleep(0.1)
            program.process.send_signal(signal.SIGUSR1)
            until(lambda: outcome(port) in ("ConnectionRefusedError", "ConnectionResetError"))
            busy.send(b"cd")
            assert busy.read_response().startswith(b"HTTP/1.1 200")
            # An end without a farewell would be an error of Python's ssl.
            assert busy.tls.recv(10) == b""
        assert program.process.wait(10) == 0


RELOADED = """
global
    stats socket {dir}/cli level admin expose-fd listeners
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
frontend plain
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain lf-string %[pid]
frontend fe
    bind 127.0.0.1:{tls} ssl crt {dir}/certs
    http-request return status 200 content-type text/plain lf-string %[pid]
"""


@pytest.mark.alone
def test_reload(tmp_path: Path) -> None:
    """A broken certificate leaves the old process serving and is named; a renewed one is taken."""
    port, tls = free_port(), free_port()
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "a.pem").write_bytes(OWN.pem)
    (tmp_path / "lb.cfg").write_text(RELOADED.format(dir=tmp_path, port=port, tls=tls))
    with trilb(tmp_path, port, "-W") as running:
        pid = running.pid()
        with TlsClient(tls, timeout=15) as old:
            old.send(GET)
            assert str(pid).encode() in old.read_response()
            for number, text in enumerate((OWN.chain_pem, b"broken", OWN.cert_pem + CA.key_pem)):
                (folder / "b.pem").write_bytes(text)
                running.process.send_signal(signal.SIGUSR2)
                until(lambda: running.said.count("Failed to load the new") == number + 1, 15)  # noqa: B023
                assert f"{folder}/b.pem" in running.said
                assert outcome(tls) == "www.example.com"
                assert running.pid() == pid
            (folder / "b.pem").unlink()
            (folder / "a.pem").write_bytes(CA.issue("renewed.example", "www.example.com").pem)
            running.process.send_signal(signal.SIGUSR2)
            until(lambda: running.pid() != pid, 15)
            until(lambda: outcome(tls) == "renewed.example")
            # Nothing was under way: an end with a farewell.
            assert old.tls.recv(10) == b""


@pytest.mark.parametrize("what", ["crt", "ca-file", "crl-file", "crt-list", "server", "expired", "key"])
def test_check_names_files(certs: Path, tmp_path: Path, what: str) -> None:
    """-c opens every file and names those that will not do, with the line."""
    bad = tmp_path / "bad.pem"
    bad.write_bytes(b"nothing")
    bind, server = f"ssl crt {certs}/own.pem", ""
    if what == "crt":
        bind = f"ssl crt {bad}"
    elif what == "key":
        bad.write_bytes(OWN.chain_pem + CA.key_pem)
        bind = f"ssl crt {bad}"
    elif what == "expired":
        bad.write_bytes(CA.issue("a", end=NOW - timedelta(hours=1)).pem)
        bind = f"ssl crt {bad}"
    elif what == "crt-list":
        (tmp_path / "list").write_text(f"{certs}/own.pem\n{bad}\n")
        bind = f"ssl crt-list {tmp_path}/list"
    elif what == "server":
        server = f"    server s 127.0.0.1:1 ssl verify required ca-file {bad}\n"
    else:
        ca = "" if what == "ca-file" else f"ca-file {certs}/ca.pem"
        bind += f" verify required {ca} {what} {bad}"
    config = tmp_path / "lb.cfg"
    config.write_text(HEAD.replace("{dir}", str(tmp_path)) + f"listen fe\n    bind 127.0.0.1:1 {bind}\n{server}")
    done = run(sys.executable, "-m", "trilb", "-c", "-f", str(config))
    assert str(bad) in done.stderr
    assert "lb.cfg" in done.stderr
    assert done.returncode == (0 if what == "expired" else 1), done.stderr
    assert "Traceback" not in done.stderr


# -- conf/tls.cfg ----------------------------------------------------------------------------------------------------


def test_the_production_shape(tmp_path: Path) -> None:
    """conf/tls.cfg as it stands, with other paths and ports: the redirect, HSTS, the cookie, refreshed names."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "www.example.com.pem").write_bytes(OWN.pem)
    (folder / "zzz.example.pem").write_bytes(CA.issue("zzz.example", "zzz.example").pem)
    (tmp_path / "ca.pem").write_bytes(CA.cert_pem)
    text = (ROOT / "conf" / "tls.cfg").read_text()
    with ExitStack() as stack:
        origins = [stack.enter_context(Origin(respond, name=f"app{number}")) for number in (1, 2, 3)]
        web, tls = free_port(), free_port()
        for old, new in (
            ("/etc/trilb/certs", str(folder)), ("bind :80\n", f"bind 127.0.0.1:{web}\n"),
            ("bind :443 ", f"bind 127.0.0.1:{tls} "), *((f":900{n}", f":{origins[n - 1].port}") for n in (1, 2, 3)),
        ):  # fmt: skip
            assert old in text
            text = text.replace(old, new)
        stack.enter_context(Program.trilb(text, web=web, tls=tls))
        jar, heads = tmp_path / "jar", tmp_path / "heads"
        words = (
            tool("curl"), "-s", "-L", "-D", str(heads), "-c", str(jar), "-b", str(jar),
            "--cacert", str(tmp_path / "ca.pem"), "--connect-to", f"www.example.com:80:127.0.0.1:{web}",
            "--connect-to", f"www.example.com:443:127.0.0.1:{tls}", "http://www.example.com/path?query",
        )  # fmt: skip
        servers = set()
        for turn in range(4):
            done = run(*words)
            assert done.stdout == "hello", done.stderr
            said = heads.read_text().lower()
            assert "301 moved permanently" in said
            assert "location: https://www.example.com/path?query" in said
            assert "strict-transport-security: max-age=31536000; includesubdomains" in said.partition("200 ok")[2]
            cookie = re.search(r"set-cookie: (\S+?); (.*)", said)
            assert (cookie is None) == bool(turn)
            if cookie is not None:
                assert "httponly" in cookie[2] and "secure" in cookie[2]
            servers |= set(re.findall(r"x-server: (\w+)", said))
        assert len(servers) == 1
        asked = next(each for origin in origins for each in origin.requests)
        assert b"x-forwarded-proto: https" in asked.lower()
        assert outcome(tls, name="zzz.example") == "zzz.example"
        assert outcome(tls, client_context(oldest="1.1", newest="1.1")) != "www.example.com"


# -- what scanners say -----------------------------------------------------------------------------------------------


@pytest.mark.nightly
def test_testssl(lb: Program, tmp_path: Path) -> None:
    """testssl.sh finds no weak protocol, cipher or known hole with the defaults."""
    program = shutil.which("testssl") or tool("testssl.sh")
    report = tmp_path / "report.csv"
    run(program, "--quiet", "--color", "0", "--warnings", "off", "--openssl-timeout", "5", "-p", "-s", "-U",
        "--csvfile", str(report), f"127.0.0.1:{port_of(lb)}", seconds=900)  # fmt: skip
    rows = [line.split('","') for line in report.read_text().splitlines()[1:]]
    assert {"SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "heartbleed", "ROBOT"} <= {r[0][1:] for r in rows}
    bad = [row for row in rows if row[3] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN")]
    assert not bad, bad
