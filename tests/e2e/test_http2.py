"""HTTP/2 towards clients with a running trilb: bodies, windows, floods, tunnels, the end of a process."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from hpack import Encoder

from tests.support.h2wire import PREFACE, SETTINGS, H2Client, frame, get
from tests.support.origin import Held, Origin, Respond, reply
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.syslog import Syslog
from tests.support.wire import exchange

CONFIG = """
global
    stats socket {dir}/cli level admin
    log 127.0.0.1:{syslog} local0
{global}
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 2s
    timeout client {client}
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port} proto h2
    bind 127.0.0.1:{plain}
    bind 127.0.0.1:{h1} proto h1
{frontend}
    http-request return status 200 content-type text/plain string local if { path /local }
    http-request return status 200 content-type text/plain lf-string %[fc_glitches] if { path /glitches }
    http-request deny if { path /deny }
    http-request reject if { path /reject }
    default_backend be
backend be
    cookie SRV insert indirect nocache
    server s1 127.0.0.1:{origin1} cookie s1
    server s2 127.0.0.1:{origin2} cookie s2
"""
BIG = bytes(range(256)) * 20480
"""Five megabytes."""


@dataclass
class Running:
    """A trilb and what is around it."""

    program: Program
    origin: Origin
    other: Origin
    syslog: Syslog
    port: int
    plain: int
    h1: int

    def client(self, **options: object) -> H2Client:
        """A client that has said hello."""
        return H2Client(self.port, **options)  # type: ignore[arg-type]


@contextmanager
def running(
    respond: Respond | None = None, *, client: str = "5s", frontend: str = "", settings: str = ""
) -> Iterator[Running]:
    """Start trilb with two servers."""
    ports = free_port(), free_port(), free_port()
    with Syslog() as syslog, Origin(respond) as origin, Origin(respond, name="s2") as other:
        text = CONFIG.replace("{client}", client).replace("{frontend}", frontend).replace("{global}", settings)
        with Program.trilb(
            text,
            port=ports[0],
            plain=ports[1],
            h1=ports[2],
            origin1=origin.port,
            origin2=other.port,
            syslog=syslog.port,
        ) as program:
            yield Running(program, origin, other, syslog, *ports)
            assert program.process.poll() is None or program.process.returncode == 0
            assert "Traceback" not in program.output, program.output


def _answer(request: bytes, origin: Origin) -> bytes | None:
    """What the tests' servers say, by path."""
    path = request.split(b" ")[1].partition(b"?")[0]
    if path == b"/big":
        return reply(BIG)
    if path == b"/chunked":
        pieces = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (b"one", b"two" * 5000, b"three"))
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    if path == b"/trailers":
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n"
    if path == b"/close":
        return b"HTTP/1.1 200 OK\r\nx-a: b\r\n\r\nuntil the end"
    if path == b"/old":
        return b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold"
    if path == b"/cut":
        return b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"
    if path == b"/cutchunk":
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort"
    if path == b"/204":
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    if path == b"/304":
        return b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n"
    if path == b"/hints":
        return b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + reply(b"hinted")
    if path == b"/never":
        return Held(b"")
    if path == b"/silent":
        return Held(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
    if path == b"/sum":
        return reply(hashlib.sha256(_body(request)).hexdigest().encode())
    answer = reply(
        origin.name.encode(), headers=("connection: keep-alive", "keep-alive: 5", "x-server: " + origin.name)
    )
    return answer[: answer.find(b"\r\n\r\n") + 4] if request.startswith(b"HEAD ") else answer


def _body(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return body
    out = b""
    while body and not body.startswith(b"0\r\n"):
        size, _, body = body.partition(b"\r\n")
        out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return out


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """One trilb for what leaves no traces."""
    with running(_answer) as made:
        yield made


def test_get(shared: Running) -> None:
    """A request is answered; connection-specific fields of the server stay behind."""
    with shared.client() as client:
        got = client.ask(get(b"/x", (b"x-a", b"1")))
    assert (got.status, got.body) in ((200, b"s1"), (200, b"s2"))
    assert {b"connection", b"keep-alive", b"transfer-encoding"}.isdisjoint(name for name, _ in got.fields)


def test_implicit(shared: Running) -> None:
    """A client of a plain frontend that begins with the preface is served as HTTP/2, in one piece or byte by byte."""
    with H2Client(shared.plain) as client:
        assert client.ask(get(b"/local")).body == b"local"
    with H2Client(shared.plain, start=False) as client:
        client.h2.initiate_connection()
        for byte in client.h2.data_to_send():
            client.raw(bytes([byte]))
            time.sleep(0.001)
        assert client.ask(get(b"/local")).body == b"local"


def test_switched_from_tcp(shared: Running) -> None:
    """`switch-mode http` in mode tcp knows the preface; `proto` says what to go on with."""
    port, forced, h1 = free_port(), free_port(), free_port()
    fronts = "".join(
        f"frontend t{number}\n    mode tcp\n    bind 127.0.0.1:{number}\n    timeout client 2s\n"
        "    tcp-request inspect-delay 1s\n"
        "    tcp-request content set-var(txn.seen) internal.strm.is_htx,iif(http,tcp)\n"
        f"    tcp-request content switch-mode http{rest} if HTTP\n    tcp-request content reject\n"
        "    http-request return status 200 content-type text/plain lf-string %[var(txn.seen)]\n"
        for number, rest in ((port, ""), (forced, " proto h2"), (h1, " proto h1"))
    )
    with Program.trilb(fronts, a=port, b=forced, c=h1):
        for each in (port, forced):
            with H2Client(each) as client:
                # The TCP stream is over: the rules see requests, each by itself.
                assert client.ask(get(b"/")).body == b"http"
        # HTTP/1 goes on in the same stream, which the rules have seen.
        twice = exchange(port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        assert twice.startswith(b"HTTP/1.1 200")
        assert [part[:4] for part in twice.split(b"\r\n\r\n")[1:]] == [b"tcpH", b"http"]
        assert exchange(h1, PREFACE, until=1).startswith(b"HTTP/1.1 405")


def test_option_disable_h2_upgrade() -> None:
    """`option disable-h2-upgrade` keeps a plain frontend to HTTP/1, and `proto h2` is told explicitly."""
    with running(frontend="    option disable-h2-upgrade") as lb:
        assert exchange(lb.plain, PREFACE, until=1).startswith(b"HTTP/1.1 405")
        with lb.client() as client:
            assert client.ask(get(b"/local")).status == 200


def test_silent_drop() -> None:
    """`silent-drop` takes the connection, with all its streams."""
    with running(_answer, frontend="    http-request silent-drop if { path /drop }") as lb, lb.client() as client:
        first = client.begin(get(b"/never"))
        client.begin(get(b"/drop"))
        client.pump(lambda: False, 0.3)
        assert not client.streams[first].over
        lb.syslog.take(2)
        with lb.client() as second:
            assert second.ask(get(b"/local")).status == 200


def test_data_byte_by_byte(shared: Running) -> None:
    """A body in frames of one byte, padded ones among them, arrives whole."""
    with shared.client() as client:
        number = client.begin(get(b"/sum", method=b"POST"), end=False)
        for turn in range(3000):
            client.h2.send_data(number, b"x", pad_length=turn % 3 or None)
        client.flush()
        client.data(number, b"", end=True)
        assert client.finish(number).body == hashlib.sha256(b"x" * 3000).hexdigest().encode()


def test_refused_by_proto_h1(shared: Running) -> None:
    """`proto h1` answers the preface as HTTP/1 does."""
    assert exchange(shared.h1, PREFACE, until=1).startswith(b"HTTP/1.1 405")


def test_http1_on_h2(shared: Running) -> None:
    """HTTP/1 on a socket that is for HTTP/2 alone is closed."""
    with H2Client(shared.port, start=False) as client:
        client.raw(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" + b" " * 20)
        assert client.wait_closed()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (b"/chunked", b"one" + b"two" * 5000 + b"three"),
        (b"/close", b"until the end"),
        (b"/old", b"old"),
        (b"/204", b""),
        (b"/304", b""),
        (b"/hints", b"hinted"),
        (b"/local", b"local"),
    ],
)
def test_framing(shared: Running, path: bytes, body: bytes) -> None:
    """However the server frames its answer, the stream ends when it is complete."""
    with shared.client() as client:
        got = client.ask(get(path))
        assert got.ended
        assert got.body == body
        assert got.interim == ([103] if path == b"/hints" else [])
        assert client.ask(get(b"/local")).status == 200


def test_head(shared: Running) -> None:
    """HEAD keeps the length and has no body, from a server and from trilb itself."""
    with shared.client() as client:
        for path in (b"/", b"/local", b"/deny"):
            got = client.ask(get(path, method=b"HEAD"))
            assert got.ended
            assert int(got.get(b"content-length") or 0) > 0
            assert not got.body


def test_trailers(shared: Running) -> None:
    """Trailers pass, in both directions."""
    with shared.client() as client:
        assert client.ask(get(b"/trailers")).trailers == [(b"x-sum", b"42")]
        shared.origin.clear()
        shared.other.clear()
        number = client.begin(get(b"/post", method=b"POST"), end=False)
        client.data(number, b"hello")
        client.trailers(number, [(b"x-check", b"7")])
        assert client.finish(number).status == 200
    (request,) = shared.origin.requests + shared.other.requests
    assert request.endswith(b"5\r\nhello\r\n0\r\nx-check: 7\r\n\r\n")


@pytest.mark.parametrize("sized", [True, False])
def test_big_bodies(shared: Running, sized: bool) -> None:
    """Five megabytes each way, by content-length or not."""
    with shared.client() as client:
        assert client.ask(get(b"/big")).body == BIG
        length = ((b"content-length", b"%d" % len(BIG)),) if sized else ()
        got = client.ask(get(b"/sum", *length, method=b"POST"), BIG)
        assert got.body == hashlib.sha256(BIG).hexdigest().encode()


def test_many_streams(shared: Running) -> None:
    """A hundred at once, each with its own answer."""
    with shared.client() as client:
        numbers = {client.begin(get(b"/sum?%d" % i, method=b"POST"), end=False): b"%d" % i for i in range(100)}
        for number, body in reversed(numbers.items()):
            client.data(number, body, end=True)
        for number, body in numbers.items():
            assert client.finish(number).body == hashlib.sha256(body).hexdigest().encode()


def test_one_stream_too_many(shared: Running) -> None:
    """The stream above the limit is refused, the others are not."""
    with shared.client() as client:
        client.h2.remote_settings[3] = 1000
        client.h2.remote_settings.acknowledge()
        numbers = [client.begin(get(b"/post", method=b"POST"), end=False) for _ in range(101)]
        assert client.finish(numbers[100]).reset == 7
        client.data(numbers[0], b"x", end=True)
        assert client.finish(numbers[0]).status == 200


def test_cookie_keeps_the_server(shared: Running) -> None:
    """A cookie leads to its server, on another stream and on another connection, however it is cut up."""
    with shared.client() as client, shared.client() as second:
        first = client.ask(get(b"/"))
        name = re.match(rb"SRV=(s\d)", first.get(b"set-cookie") or b"")
        assert name is not None
        for each in (client, second, client):
            for _ in range(3):
                got = each.ask(get(b"/", (b"cookie", b"a=1"), (b"cookie", b"SRV=" + name[1]), (b"cookie", b"b=2")))
                assert got.body == name[1]
                assert got.get(b"set-cookie") is None


@pytest.mark.parametrize("path", [b"/cut", b"/cutchunk"])
def test_cut_answer(shared: Running, path: bytes) -> None:
    """An answer that the server cuts is not mistaken for a whole one."""
    with shared.client() as client:
        number = client.begin(get(path))
        got = client.finish(number)
        assert got.reset is not None
        assert got.body == b"short"
        assert client.ask(get(b"/local")).status == 200


def test_reset_while_waiting() -> None:
    """A stream that is given up is over at once, for the log and the server as well."""
    with running(_answer) as lb, lb.client() as client:
        number = client.begin(get(b"/never"))
        deadline = time.monotonic() + 5
        while not lb.origin.requests + lb.other.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        client.reset(number)
        assert re.search(r" -1 0 - - CD(?:--|NN) ", lb.syslog.take(1)[0])
        assert client.ask(get(b"/local")).status == 200


def test_reset_with_the_request() -> None:
    """A request that is given up with the same breath is logged, and no server hears of it."""
    with running(_answer) as lb, lb.client() as client:
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(number, get(b"/"), end_stream=True)
        client.h2.reset_stream(number)
        client.flush()
        assert " CR" in lb.syslog.take(1)[0]
        client.pump(lambda: False, 0.2)
        assert not lb.origin.requests + lb.other.requests


def test_reset_in_the_middle() -> None:
    """Giving up a download or an upload leaves the connection as it was."""
    with running(_answer) as lb, lb.client(auto=False) as client:
        number = client.begin(get(b"/big"))
        assert client.pump(lambda: len(client.streams[number].body) > 10000)
        client.reset(number)
        assert " CD" in lb.syslog.take(1)[0]
        upload = client.begin(get(b"/sum", method=b"POST"), end=False)
        client.data(upload, b"x" * 1000)
        client.reset(upload)
        assert " C" in lb.syslog.take(1)[0]
        client.h2.increment_flow_control_window(1000000)
        assert client.ask(get(b"/local")).status == 200


def test_client_gone_with_streams() -> None:
    """A connection that ends takes its streams along; the servers' connections are closed."""
    with running(_answer) as lb:
        with lb.client() as client:
            for _ in range(5):
                client.begin(get(b"/never"))
            deadline = time.monotonic() + 5
            while len(lb.origin.requests + lb.other.requests) < 5 and time.monotonic() < deadline:
                time.sleep(0.01)
        lines = lb.syslog.take(5)
        assert all(" CD" in line for line in lines), lines


def test_slow_reader() -> None:
    """A client that does not read stops the server, not the other streams; it gets all in the end."""
    with running(_answer) as lb, lb.client(auto=False) as client:
        number = client.begin(get(b"/big"))
        assert client.pump(lambda: len(client.streams[number].body) >= 65535)
        client.pump(lambda: False, 0.2)
        assert len(client.streams[number].body) == 65535
        client.h2.increment_flow_control_window(1 << 20)
        assert client.ask(get(b"/local")).body == b"local"
        client.auto = True
        client.h2.increment_flow_control_window(1 << 30)
        client.h2.increment_flow_control_window(1 << 30, number)
        client.flush()
        assert client.finish(number).body == BIG


def test_client_that_never_reads() -> None:
    """`timeout client` ends a stream whose window stays closed."""
    with running(_answer, client="500ms") as lb, lb.client(auto=False) as client:
        number = client.begin(get(b"/big"))
        got = client.finish(number, 5)
        assert got.reset is not None
        assert " cD" in lb.syslog.take(1)[0]


def test_client_that_stops_reading_its_socket() -> None:
    """Windows wide open, but nobody reads: the stream times out, then the connection is given up."""
    with running(_answer, client="500ms") as lb, lb.client(window=1 << 30) as client:
        client.h2.increment_flow_control_window(1 << 30)
        client.flush()
        for _ in range(8):
            client.begin(get(b"/big"))
        assert " cD" in lb.syslog.take_match(r" -- | [cCsS]D")
        wait_until(lambda: "CurrConns: 0\n" in _command(lb.program.dir / "cli", "show info"))


def test_tls(tmp_path: Path) -> None:
    """ALPN chooses HTTP/2 behind TLS, and HTTP/1 for who asks for that."""
    curl = [_tool("curl"), "-sSk", "-w", " %{http_version}"]
    certificate = trustme.CA().issue_cert("127.0.0.1")
    pem = tmp_path / "a.pem"
    pem.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    port = free_port()
    with running(_answer, frontend=f"    bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1"):
        url = f"https://127.0.0.1:{port}"
        assert _run(*curl, "--http2", f"{url}/local") == b"local 2"
        assert _run(*curl, "--http1.1", f"{url}/local") == b"local 1.1"
        assert _run(*curl, "--http2", f"{url}/big") == BIG + b" 2"
        digest = hashlib.sha256(BIG).hexdigest().encode()
        assert _run(*curl, "--http2", "--data-binary", "@-", f"{url}/sum", data=BIG) == digest + b" 2"


def _noise(draw: random.Random) -> bytes:
    """A connection of requests and other frames, right and wrong."""
    encoder, out, number = Encoder(), PREFACE + SETTINGS, 1
    paths = b"/big /chunked /never /close /cut /trailers /sum /204 /local /deny /silent no-slash".split()
    for _ in range(draw.randrange(1, 25)):
        before = max(1, number - 2 * draw.randrange(1, 3))
        kind = draw.choice([0, 0, 1, 1, 1, 1, 3, 4, 6, 8, draw.randrange(12)])
        if kind == 1:
            fields = get(draw.choice(paths), *draw.sample(_ODD, draw.choice([0, 0, 0, 1, 2])))
            out += frame(1, draw.choice([4, 5, 5]), number, encoder.encode(fields))
            number += 2
        elif kind == 0:
            out += frame(0, draw.choice([0, 0, 1]), before, draw.randbytes(draw.choice([0, 1, 100, 16000])))
        elif kind == 3:
            out += frame(3, 0, before, bytes(4))
        elif kind == 8:
            out += frame(8, 0, draw.choice([0, before]), draw.choice([b"\0\0\x10\0", bytes(4)]))
        elif kind == 4:
            out += frame(4, 0, 0, draw.choice([b"\0\4\0\0\0\0", b"\0\4\0\1\0\0", b"\0\1\0\0\0\0"]))
        elif kind == 6:
            out += frame(6, 0, 0, bytes(8))
        else:
            out += frame(kind, draw.randrange(256), draw.randrange(number + 3), draw.randbytes(draw.randrange(30)))
    return out


_ODD = [
    (b"content-length", b"5"),
    (b"cookie", b"a=1"),
    (b"te", b"trailers"),
    (b"expect", b"100-continue"),
    (b"connection", b"close"),
    (b"Upper", b"x"),
    (b":protocol", b"websocket"),
    (b"x", b"a\r\nb"),
]


def test_noise() -> None:
    """Hundreds of connections of noise: no fault, nothing left behind, and the next client is served."""
    draw = random.Random(2)
    with running(_answer, client="300ms") as lb:
        held: list[H2Client] = []
        for _ in range(600):
            client = lb.client(start=False)
            client.raw(_noise(draw))
            held.append(client)
            if len(held) > 20:
                held.pop(0).sock.close()
        for client in held:
            client.sock.close()
        with lb.client() as client:
            assert client.ask(get(b"/local")).status == 200
        wait_until(lambda: "CurrConns: 0\n" in _command(lb.program.dir / "cli", "show info"))
        assert "SessionFaults: 0\n" in _command(lb.program.dir / "cli", "show info")


def _command(path: Path, words: str) -> str:
    with socket.socket(socket.AF_UNIX) as cli:
        cli.connect(str(path))
        cli.sendall(words.encode() + b"\n")
        out = b""
        while data := cli.recv(65536):
            out += data
    return out.decode()


def test_server_that_says_nothing() -> None:
    """502; HAProxy refuses the stream instead, so that the client tries again, which it may not do with a POST."""
    with running(lambda request, origin: None) as lb, lb.client() as client:
        assert client.ask(get(b"/")).status == 502
        assert " SH" in lb.syslog.take(1)[0]


def test_server_timeout() -> None:
    """A silent server: 504 before its head, a reset after it."""
    config = "    timeout http-request 2s"
    with running(_answer, frontend=config) as lb, lb.client(timeout=8.0) as client:
        first, second = client.begin(get(b"/never")), client.begin(get(b"/silent"))
        assert client.finish(first).status == 504
        assert client.finish(second).reset is not None
        assert client.streams[second].body == b"hello"


def test_window_updates(shared: Running) -> None:
    """A body that fits costs no WINDOW_UPDATE on its stream, a long one gets a larger window at once."""
    with shared.client() as client:
        assert client.ask(get(b"/sum", (b"content-length", b"2"), method=b"POST"), b"ab").status == 200
        assert not [number for number, _ in client.windows if number]
        number = client.begin(get(b"/sum", (b"content-length", b"1000000"), method=b"POST"), end=False)
        assert client.pump(lambda: any(each == number and delta > 65536 for each, delta in client.windows))


def test_websocket(shared: Running) -> None:
    """An extended CONNECT is a websocket upgrade to the server; bytes go both ways, and both ends."""

    def upgrade(request: bytes, origin: Origin) -> bytes:
        from trilb.http.h2head import accept_of

        key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
        assert key is not None
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-protocol: chat\r\nsec-websocket-accept: %b\r\n\r\n" % accept_of(key[1])
        )

    with running(upgrade) as lb, lb.client() as client:
        fields = get(b"/chat", (b"sec-websocket-version", b"13"), (b"origin", b"http://a"), method=b"CONNECT")
        number = client.begin([*fields[:4], (b":protocol", b"websocket"), *fields[4:]], end=False)
        got = client.streams[number]
        assert client.pump(lambda: got.status == 200)
        assert got.fields == [(b"sec-websocket-protocol", b"chat")] or got.get(b"set-cookie")
        client.data(number, b"ping")
        assert client.pump(lambda: got.body == b"ping")
        client.data(number, b"x" * 300000)
        assert client.pump(lambda: len(got.body) == 300004)
        client.data(number, b"", end=True)
        client.finish(number)
        (request,) = lb.origin.requests + lb.other.requests
        assert request.startswith(b"GET /chat HTTP/1.1\r\n")
        assert b"upgrade: websocket\r\nconnection: upgrade\r\n" in request


def test_websocket_with_a_wrong_key() -> None:
    """Nobody but us can check the answer to our key: a wrong one is a 502."""
    wrong = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n"
    with running(lambda request, origin: wrong) as lb, lb.client() as client:
        number = client.begin([*get(b"/", method=b"CONNECT"), (b":protocol", b"websocket")], end=False)
        assert client.finish(number).status == 502


def test_connect() -> None:
    """CONNECT makes a tunnel."""
    with running(lambda request, origin: b"HTTP/1.1 200 OK\r\n\r\n") as lb, lb.client() as client:
        number = client.begin([(b":method", b"CONNECT"), (b":authority", b"a:99")], end=False)
        got = client.streams[number]
        assert client.pump(lambda: got.status == 200)
        client.data(number, b"hello")
        assert client.pump(lambda: got.body == b"hello")
        assert (lb.origin.requests + lb.other.requests)[0].startswith(b"CONNECT a:99 HTTP/1.1\r\nhost: a:99\r\n")


def test_expect_continue(shared: Running) -> None:
    """A rule that needs the body asks for it."""
    with running(_answer, frontend="    http-request wait-for-body time 2s") as lb, lb.client() as client:
        number = client.begin(get(b"/sum", (b"expect", b"100-continue"), method=b"POST"), end=False)
        assert client.pump(lambda: client.streams[number].interim == [100])
        client.data(number, b"abc", end=True)
        assert client.finish(number).body == hashlib.sha256(b"abc").hexdigest().encode()


@pytest.mark.parametrize("status", [b"/deny", b"/reject"])
def test_refusals(shared: Running, status: bytes) -> None:
    """A refusal answers or resets its stream and nothing else."""
    with shared.client() as client:
        got = client.ask(get(status))
        assert (got.status == 403) if status == b"/deny" else (got.reset is not None)
        assert client.ask(get(b"/local")).status == 200


def test_refused_upload(shared: Running) -> None:
    """An answer before the body is complete ends the stream with NO_ERROR; the connection goes on."""
    with shared.client() as client:
        number = client.begin(get(b"/deny", method=b"POST"), end=False)
        got = client.finish(number)
        assert got.status == 403
        client.pump(lambda: got.reset is not None)
        assert got.reset == 0
        client.raw(frame(0, 0, number, b"late"))
        assert client.ask(get(b"/local")).status == 200


def test_malformed_requests_are_logged(shared: Running) -> None:
    """One line `<BADREQ>` for a stream that was reset, with status 0, and one for a 400."""
    with running() as lb, lb.client() as client:
        assert client.ask(get(b"no-slash")).reset == 1
        assert re.search(r"fe fe/<NOSRV> -1/-1/-1/-1/0 0 0 - - PR-- .* \"<BADREQ>\"", lb.syslog.take(1)[0])
        assert client.ask(get(b"/", method=b"G@T")).status == 400
        assert re.search(r"fe fe/<NOSRV> -1/-1/-1/-1/0 400 206 - - PR-- .* \"<BADREQ>\"", lb.syslog.take(1)[0])
        assert client.ask(get(b"/glitches")).body == b"1"


@pytest.mark.parametrize(
    ("name", "flood", "code"),
    [
        ("ping", frame(6, 0, 0, b"12345678") * 5000, 11),
        ("settings", SETTINGS * 5000, 11),
        ("rapid reset", b"", 11),
        ("empty data", frame(1, 4, 1, b"\x83\x86\x84\x41\x01a") + frame(0, 0, 1) * 5000, 11),
        ("priority", frame(2, 0, 1, b"\0\0\0\0\1") * 5000, 11),
        ("window updates", frame(8, 0, 0, b"\0\0\0\1") * 5000, 11),
        ("continuation", frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"") * 5000, 11),
        ("big block", frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"\0\1a\x7f\x90\x7f" + b"a" * 16000) * 10, 11),
        ("unknown frames", frame(99, 0, 0, b"x") * 5000, 11),
    ],
)
def test_floods(shared: Running, name: str, flood: bytes, code: int) -> None:
    """What asks for work and brings none is told to calm down, and the connection closed."""
    with shared.client(strict=False) as client:
        if name == "rapid reset":
            head = b"\x82\x86\x41\x01a\x04\x02/x"
            flood = b"".join(
                frame(1, 5, number, head) + frame(3, 0, number, b"\0\0\0\x08") for number in range(1, 6001, 2)
            )
        client.raw(flood)
        assert client.wait_closed(10)
        assert [each for _, each in client.goaways] == [code], client.goaways
    with shared.client() as client:
        assert client.ask(get(b"/local")).status == 200


def test_glitches_threshold() -> None:
    """`tune.h2.fe.glitches-threshold`: asked to leave at three quarters, sent away at the whole."""
    with running(settings="    tune.h2.fe.glitches-threshold 8") as lb, lb.client() as client:
        client.begin(get(b"/post", method=b"POST"), end=False)
        for _ in range(6):
            client.begin(get(b"bad"))
        assert client.pump(lambda: client.goaways == [(0x7FFFFFFF, 0)])
        client.begin(get(b"bad"))
        client.begin(get(b"bad"))
        assert client.wait_closed()


def test_soft_stop() -> None:
    """A process that stops finishes its streams, tells its clients, and closes idle connections."""
    with running(_answer) as lb, lb.client() as client, lb.client() as idle:
        assert idle.ask(get(b"/local")).status == 200
        number = client.begin(get(b"/sum", method=b"POST"), end=False)
        client.data(number, b"ab")
        time.sleep(0.2)
        lb.program.process.send_signal(signal.SIGUSR1)
        assert idle.wait_closed()
        assert idle.goaways[-1] == (1, 0)
        assert client.pump(lambda: client.goaways == [(0x7FFFFFFF, 0)])
        late = client.begin(get(b"/local"))
        assert client.finish(late).status == 200
        client.data(number, b"c", end=True)
        assert client.finish(number).body == hashlib.sha256(b"abc").hexdigest().encode()
        assert client.wait_closed()
        assert client.goaways[-1] == (late, 0)
        assert lb.program.process.wait(5) == 0


def test_idle_connection() -> None:
    """`timeout http-keep-alive` closes a connection without streams, by GOAWAY, and logs nothing."""
    with running(_answer, frontend="    timeout http-keep-alive 300ms") as lb, lb.client() as client:
        assert client.ask(get(b"/local")).status == 200
        lb.syslog.take(1)
        began = time.monotonic()
        assert client.wait_closed()
        assert 0.2 < time.monotonic() - began < 2.0
        assert client.goaways == [(1, 0)]
        assert not lb.syslog.pending()


def test_total_streams() -> None:
    """`tune.h2.fe.max-total-streams`: after so many, the client is asked to connect anew."""
    with running(settings="    tune.h2.fe.max-total-streams 3") as lb, lb.client() as client:
        numbers = [client.begin(get(b"/local")) for _ in range(4)]
        assert [client.finish(number).status for number in numbers] == [200] * 4
        assert client.wait_closed()
        assert client.goaways[0] == (0x7FFFFFFF, 0)


def test_ping(shared: Running) -> None:
    """PING is answered."""
    with shared.client() as client:
        client.h2.ping(b"12345678")
        client.flush()
        assert client.pump(lambda: client.pings == 1)


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def _run(*words: str, data: bytes = b"") -> bytes:
    return subprocess.run(words, input=data, capture_output=True, timeout=30, check=True).stdout


def test_curl(shared: Running) -> None:
    """curl --http2-prior-knowledge, down and up."""
    curl = [_tool("curl"), "-sS", "--http2-prior-knowledge"]
    url = f"http://127.0.0.1:{shared.plain}"
    assert _run(*curl, f"{url}/big") == BIG
    digest = hashlib.sha256(BIG).hexdigest().encode()
    assert _run(*curl, "--data-binary", "@-", f"{url}/sum", data=BIG) == digest
    assert _run(*curl, "-T", "-", "-X", "POST", f"{url}/sum", data=BIG) == digest
    assert _run(*curl, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"{url}/204") == b"2 204"


def test_nghttp(shared: Running) -> None:
    """nghttp takes our frames for well-formed."""
    out = _run(_tool("nghttp"), "-nv", f"http://127.0.0.1:{shared.port}/trailers")
    assert b"x-sum: 42" in out
    assert b"error" not in out.lower().replace(b"error_code=no_error", b"")


def test_h2load(shared: Running) -> None:
    """Thousands of requests on few connections, none lost."""
    out = _run(_tool("h2load"), "-n2000", "-c4", "-m50", f"http://127.0.0.1:{shared.port}/local")
    assert b"2000 succeeded, 0 failed, 0 errored" in out


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
