"""Log lines: what is logged of a session that ends in each phase by each side, and in which envelope.

The rows of a mode run side by side; a line belongs to the row whose client port it names. There connection counts are
not compared, and timers only as set or -1.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.duel import Duel, Side
from tests.support.origin import Origin, default_respond
from tests.support.syslog import mask
from tests.support.wire import Client, WireTimeout, exchange

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

OPTIONS = {
    "plain": "",
    "null": "option dontlognull",
    "normal": "option dontlog-normal",
    "separate": "option log-separate-errors",
    "both": "option dontlog-normal\n    option log-separate-errors",
    "asap": "option logasap",
    "buffer": "option http-buffer-request",
    "abort": "option abortonclose",
    "clf": "option httplog clf",
    "captures": "capture request header X-A len 5\n    capture request header X-B len 5\n"
    "    capture response header X-Server len 9\n    capture cookie CK len 12",
    "capture-response": "capture response header X-R len 3",
    "capture-set-cookie": "capture cookie CK len 12\n    capture request header Host len 40",
}
# Listeners whose keywords come with the rules language; trilb refuses to start with them, by name.
LATER = ("buffer",)
OPTIONS = {name: lines for name, lines in OPTIONS.items() if name not in LATER}
RULES = """
    http-request deny if { path /deny }
    http-request deny deny_status 429 if { path /deny429 }
    http-request tarpit if { path /tarpit }
    http-request reject if { path /reject }
    http-request silent-drop if { path /silent }
    http-request redirect location /x if { path /redirect }
    http-request return status 200 content-type text/plain string hi if { path /return }
    http-request set-log-level warning if { path /level }
    http-request set-log-level silent if { path /silence }
    http-response deny if { res.hdr(x-deny) 1 }
    monitor-uri /monitor
    stats uri /stats
    use_backend dead if { path /dead }
    use_backend hole if { path /hole }
    use_backend none if { path /none }
    server s 127.0.0.1:{origin1}
"""
HTTP = (
    """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 300ms
    timeout client 600ms
    timeout http-request 500ms
    timeout http-keep-alive 300ms
    timeout server 500ms
    timeout tarpit 200ms
"""
    + "".join(
        f"listen {name}\n    bind 127.0.0.1:{{port_{name.replace('-', '_')}}}\n    {option}{RULES}"
        for name, option in OPTIONS.items()
    )
    + """
frontend alone
    bind 127.0.0.1:{port_alone}
backend dead
    server s 127.0.0.1:{dead}
backend hole
    server s 127.0.0.1:{dead_hole}
backend none
"""
)
TCP_OPTIONS = {
    "plain": "",
    "null": "option dontlognull",
    "normal": "option dontlog-normal",
    "separate": "option log-separate-errors",
    "asap": "option logasap",
    "short": "timeout server 200ms",
    "fin": "timeout client-fin 200ms\n    timeout server-fin 200ms",
    "tunnel": "timeout tunnel 200ms",
    "connection": "tcp-request connection reject",
    "content": "tcp-request content reject",
    "inspect": "tcp-request inspect-delay 200ms\n    tcp-request content accept if { req.len gt 100 }",
    "response": "tcp-response content reject",
}
TCP_LATER = ("connection", "content", "inspect", "response")
TCP_OPTIONS = {name: lines for name, lines in TCP_OPTIONS.items() if name not in TCP_LATER}
TCP = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode tcp
    log global
    option tcplog
    retries 1
    timeout connect 300ms
    timeout client 500ms
    timeout server 700ms
""" + "".join(
    f"listen {name}\n    bind 127.0.0.1:{{port_{name}}}\n    {option}\n    server s 127.0.0.1:{{origin_tcp}}\n"
    for name, option in TCP_OPTIONS.items()
)
TCP += """
listen dead
    bind 127.0.0.1:{port_dead}
    server s 127.0.0.1:{dead}
listen redispatch
    bind 127.0.0.1:{port_redispatch}
    option redispatch
    server s 127.0.0.1:{dead}
    server t 127.0.0.1:{origin_tcp}
listen hole
    bind 127.0.0.1:{port_hole}
    retries 0
    server s 127.0.0.1:{dead_hole}
listen none
    bind 127.0.0.1:{port_none}
    server s 127.0.0.1:{origin_tcp} disabled
defaults
    mode tcp
    log global
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen default-tcp
    bind 127.0.0.1:{port_default_tcp}
    server s 127.0.0.1:{origin_tcp}
listen default-http
    mode http
    bind 127.0.0.1:{port_default_http}
    server s 127.0.0.1:{origin1}
"""

End = Literal[
    "answer",  # read one response
    "closed",  # read until the peer closes
    "close",  # close after a while
    "reset",  # reset after a while
    "half",  # shut down our sending side, then read until the peer closes
    "leave",  # read a response head, then close
    "stall",  # read a response head, then read no more for long, then close
    "echo",  # read four bytes, then close
]
PAUSE = 0.1  # between the parts that a client sends


@dataclass(frozen=True)
class Row:
    """One session: what the client sends, part by part, and how it ends."""

    id: str
    parts: tuple[bytes, ...]
    end: End = "answer"
    port: str = "plain"
    sized: bool = True


def get(target: str, *headers: str) -> bytes:
    """Build a GET request."""
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: a", *headers, "", "")).encode()


POST = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"
CHUNKED = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = get("/101", "Connection: upgrade", "Upgrade: x")
GOOD = [
    Row("get", (get("/"),)),
    Row("close", (get("/", "Connection: close"),)),
    Row("two", (get("/1"), get("/2")), "close"),
    Row("idle after one", (get("/"),), "closed"),
    Row("close after one", (get("/"), b""), "leave"),
    Row("1.0", (b"GET / HTTP/1.0\r\n\r\n",)),
    Row("1.0 keep-alive", (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",)),
    Row("head", (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",), "closed"),
    Row("post", (POST + b"defghij",)),
    Row("304", (get("/304"),)),
    Row("chunked answer", (get("/chunked"),)),
    Row("answer until close", (get("/until-close"),), "closed"),
    Row("absolute", (b"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",)),
    Row("long", (get("/" + "u" * 1500),)),
    Row("quote", (b'GET /a"b{c}\\d%20 HTTP/1.1\r\nHost: a\r\n\r\n',)),
    Row("level", (get("/level"),)),
    Row("silence", (get("/silence"),)),
    Row("upgrade, client leaves", (UPGRADE, b"data"), "close"),
    Row("upgrade, idle", (UPGRADE, b"data"), "closed"),
    Row("connect", (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", b"data"), "close"),
]
OWN = [
    *(
        Row(path, (get(f"/{path}"),))
        for path in ("deny", "deny429", "tarpit", "redirect", "return", "monitor", "reject")
    ),
    Row("stats", (get("/stats;csv"),), sized=False),
    Row("tarpit, client leaves", (get("/tarpit"),), "close"),
    Row("silent-drop", (get("/silent"),), "close"),
    Row("denied answer", (get("/denied"),)),
    Row("denied big answer", (get("/denied-big"),), sized=False),
    *(Row(path, (get(f"/{path}"),)) for path in ("dead", "hole", "none")),
    Row("no backend", (get("/"),), port="alone"),
]
BAD = [
    Row("garbage", (b"GARBAGE\r\n\r\n",), "closed"),
    Row("bad header", (b"GET / HTTP/1.1\r\nbad header\r\n\r\n",), "closed"),
    Row("bad after good", (get("/"), b"GARB AGE\r\n\r\n"), "closed"),
    Row("head too long", (b"GET / HTTP/1.1\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",), "closed"),
    Row("bad chunk", (CHUNKED + b"ZZ\r\nabc",), "closed"),
]
CLIENT = [
    *(
        Row(f"{what}, {end}", parts, end)
        for what, parts in {
            "nothing": (),
            "a newline": (b"\r\n",),
            "half a line": (b"GET /p",),
            "half a head": (b"GET /p HTTP/1.1\r\nHost: a\r\n",),
        }.items()
        for end in ("close", "reset", "half", "closed")
    ),
    *(Row(f"half a body, {end}", (POST,), end) for end in ("close", "reset")),
    Row("half a second head, closed", (get("/1"), b"GET /par"), "closed"),
    Row("half a second head, close", (get("/1"), b"GET /par"), "close"),
    *(Row(f"while the server works, {end}", (get("/slow"),), end) for end in ("close", "half", "reset")),
    *(Row(f"while connecting, {end}", (get("/hole"),), end) for end in ("close", "reset")),
    Row("in the answer", (get("/big"),), "leave", sized=False),
    Row("answer not read", (get("/big"),), "stall", sized=False),
]
SERVER = [
    Row(f"server {path}", (get(f"/{path}"),), "closed")
    for path in ("empty", "half", "junk", "hang", "cut", "chunk-cut", "chunk-bad", "head-too-long")
]
COOKIES = "Cookie: z=1; CK=abcdefghijklmnopq; y=2"
CAPTURES = [
    Row("captured", (get("/", "X-A: 1234567", "X-B: b", "X-A: last", COOKIES),)),
    Row("captured a part", (get("/", "X-B: two words"),)),
    Row("captured quotes", (get("/", 'X-A: {"|}', "X-B: \xe9\t"),)),
    Row("captured nothing", (get("/"),)),
    Row("captured from the answer", (get("/set-cookie", "Cookie: CK=1"),)),
    Row("captured of a refused connection", (get("/dead", "X-A: 1"),)),
    Row("captured of a denied request", (get("/deny", "X-A: 1"),)),
    Row("captured of a bad request", (b"X\r\n\r\n",), "closed"),
]
ECHO, WAIT = b"echo", b"wait"
TCPS = [
    *(Row(f"server {p.decode()}", (p,), "closed") for p in (b"reply", b"shut", b"reset")),
    Row("server half closes", (b"half",), "closed"),
    Row("client half closes, answer", (b"late",), "half"),
    Row("client half closes, echo", (ECHO,), "half"),
    Row("client half closes, server silent", (WAIT,), "half"),
    Row("client closes", (ECHO,), "close"),
    Row("client closes after reading", (ECHO,), "echo"),
    Row("client resets", (ECHO,), "reset"),
    Row("client resets, server silent", (WAIT,), "reset"),
    Row("nothing, reset", (), "reset"),
    Row("nothing, close", (), "close"),
    Row("client idle", (ECHO,), "closed"),
    *(
        Row(f"{port}: echo, {end}", (ECHO,), end, port)
        for port in ("null", "normal", "separate")
        for end in ("closed", "half")
    ),
    *(Row(f"{port}: nothing, close", (), "close", port) for port in ("null", "normal", "separate", "content", "dead")),
    Row("asap", (ECHO,), "closed", "asap"),
    Row("asap, refused", (ECHO,), "closed", "asap"),
    Row("server timeout", (WAIT,), "closed", "short"),
    Row("server timeout after echo", (ECHO,), "closed", "short"),
    Row("server timeout after half close", (WAIT,), "half", "short"),
    Row("client-fin", (b"half",), "closed", "fin"),
    Row("server-fin", (WAIT,), "half", "fin"),
    Row("tunnel timeout", (ECHO,), "closed", "tunnel"),
    *(Row(port, (ECHO,), "closed", port) for port in ("connection", "content", "inspect", "response")),
    Row("inspect, close", (b"x",), "close", "inspect"),
    *(Row(port, (ECHO,), "closed", port) for port in ("dead", "redispatch", "hole", "none")),
    *(Row(f"hole, {end}", (b"x",), end, "hole") for end in ("close", "reset")),
    Row("hole without data, close", (), "close", "hole"),
    Row("no option, tcp", (b"reply",), "closed", "default-tcp"),
    Row("no option, http", (get("/"),), "answer", "default-http"),
    Row("no option, bad request", (b"X\r\n\r\n",), "closed", "default-http"),
]
TCPS = [row for row in TCPS if row.port not in TCP_LATER]


def on(rows: list[Row], port: str) -> list[Row]:
    """Run the same rows on the listener of this option."""
    return [Row(f"{port}: {r.id}", r.parts, r.end, port, r.sized) for r in rows if r.port == "plain"]


HTTPS = [
    *GOOD, *OWN, *BAD, *CLIENT, *SERVER,
    *on(GOOD + OWN + CLIENT[:16], "null"),
    *on(GOOD + OWN + BAD + SERVER, "normal"),
    *on(GOOD + OWN + BAD + CLIENT + SERVER, "separate"),
    *on(GOOD[:1] + OWN + BAD[:1], "both"),
    *on(GOOD + OWN + BAD + SERVER, "asap"),
    *on(OWN + [r for r in CLIENT if r.end in ("close", "reset")], "buffer"),
    *on(CLIENT, "abort"),
    *on(GOOD + OWN + BAD + SERVER, "clf"),
    *on(CAPTURES, "captures"), *on(CAPTURES, "capture-response"), *on(CAPTURES, "capture-set-cookie"),
]  # fmt: skip
# Which of two events on two sockets is seen first decides these lines, in HAProxy too.
RACES = ("connect", "two", "while connecting, reset", "client closes", "client resets")
HTTPS = [row for row in HTTPS if row.port not in LATER and row.id.rpartition(": ")[2] not in RACES]
TCPS = [row for row in TCPS if row.id not in RACES]
OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "chunked": OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx: y\r\n\r\n",
    "until-close": OK + b"\r\nabc",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    "denied": OK + b"x-deny: 1\r\ncontent-length: 2\r\n\r\nok",
    "denied-big": OK + b"x-deny: 1\r\ncontent-length: 50000\r\n\r\n" + b"x" * 50_000,
    "big": OK + b"content-length: 9000000\r\n\r\n" + b"x" * 9_000_000,
    "half": OK + b"x-a: ",
    "junk": b"junk\r\n\r\n",
    "cut": OK + b"content-length: 10\r\n\r\nabc",
    "chunk-cut": OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "chunk-bad": OK + b"transfer-encoding: chunked\r\n\r\nZZ\r\nabc\r\n",
    "head-too-long": OK + b"x-a: " + b"a" * 20_000 + b"\r\n\r\n",
    "set-cookie": OK + b"set-cookie: CK=fromserver; path=/\r\nx-r: 123456\r\ncontent-length: 0\r\n\r\n",
}


def respond(raw: bytes, origin: Origin) -> bytes | None:
    """Answer as the path says."""
    path = raw.split(b" ")[1].decode("latin-1").lstrip("/")
    if path == "empty":
        return None
    if path == "hang":
        origin.stopping.wait(1.0)
        return None
    if path == "slow":
        origin.stopping.wait(0.3)
    return ANSWERS.get(path) or default_respond(raw, origin)


def converse(sock: socket.socket) -> None:
    """Serve one TCP connection as its first four bytes say."""
    with sock, suppress(OSError):
        word = sock.recv(100)[:4]
        if word == ECHO:
            while word:
                sock.sendall(word)
                word = sock.recv(100)
        elif word == b"repl":
            sock.sendall(b"hello")
        elif word == b"rese":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif word in (b"half", b"late"):
            if word == b"half":
                sock.sendall(b"hi")
                sock.shutdown(socket.SHUT_WR)
            while sock.recv(100):
                pass
            if word == b"late":
                sock.sendall(b"bye")
        elif word != b"shut":
            sock.settimeout(2.0)
            while sock.recv(100):
                pass
            time.sleep(1.0)


@pytest.fixture(scope="module")
def tcp_origin() -> Iterator[int]:
    """A TCP server for both programs."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def hole() -> Iterator[int]:
    """A port whose backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


def play(side: Side, row: Row) -> int:
    """Play the client of a row; return its port, 0 if the connection was refused with a reset."""
    try:
        client = Client(side.ports[f"port_{row.port.replace('-', '_')}"], timeout=4.0)
    except ConnectionError:
        return 0
    with client:
        port = client.local_port
        for index, part in enumerate(row.parts):
            if index:
                time.sleep(PAUSE)
            client.send(part)
        with suppress(WireTimeout):
            if row.end == "answer":
                client.read_response()
            elif row.end == "closed":
                client.read_all()
            elif row.end == "half":
                if "works" in row.id:
                    time.sleep(PAUSE)  # or the server may not be connected yet
                client.send(b"", half_close=True)
                client.read_all()
            elif row.end in ("leave", "stall"):
                client.read_until(b"\r\n\r\n")
                time.sleep(1.2 if row.end == "stall" else 0)
            elif row.end == "echo":
                client.read_until(ECHO)
            else:
                time.sleep(PAUSE)
                if row.end == "reset":
                    client.reset()
    return port


def comparable(line: str, row: Row) -> str:
    """Mask what differs between runs."""
    if len(line) > 1000:  # how many characters are left of a cut line depends on its numbers
        line = re.sub(r"u{20,}", f"U ... {len(line)} in all", line)
    line = mask(line, counts=True)
    if row.port == "clf":
        line = re.sub(r"\[\d\d/\w{3}/\d{4}:[\d:]{8} [+-]\d{4}\]", "[DATE]", line)
        line = re.sub(r'(?<=" )\d+ \d+ ("\S+" "\S+" "\S+") ((?:-?\d+ ){5})(\S{4}) (?:\d+ ){4}', _clf, line)
    if not row.sized:
        line = re.sub(r"(?<= )(\d{3}|-1) (\+?)\d+ (?=\S+ \S+ \S{4} )", r"\1 \2BYTES ", line)
        line = re.sub(r'(?<=" )(\d{3}) (\+?)\d+ (?=")', r"\1 \2BYTES ", line)
    return line


def _clf(found: re.Match[str]) -> str:
    timers = re.sub(r"(?<![-\d])\d+", "N", found[2])
    return f"PORT MS {found[1]} {timers}{found[3]} C C C C "


def run(side: Side, rows: list[Row]) -> dict[str, list[str]]:
    """Run all rows, many at once, until no line has come for longer than any timeout; return the lines of each."""
    lines: list[str] = []
    with ThreadPoolExecutor(48) as pool:
        jobs = [pool.submit(play, side, row) for row in rows]
        while not all(job.done() for job in jobs):
            lines += side.syslog.pending()
            time.sleep(0.01)
    quiet = time.monotonic()
    # The last line may be late when every core is taken.
    while time.monotonic() - quiet < 2.5:
        if new := side.syslog.pending():
            lines += new
            quiet = time.monotonic()
        time.sleep(0.01)
    seen: dict[str, list[str]] = {row.id: [] for row in rows}
    # one source port may serve several rows, though not two on one listener
    owners = {(str(job.result()), row.port): row for job, row in zip(jobs, rows, strict=True)}
    for line in lines:
        numbers = set(re.findall(r"\b\d{4,5}\b", line))
        for (port, name), row in owners.items():
            if port in numbers and re.search(rf'[ "(]{name}[ "/]', line):
                seen[row.id].append(comparable(line, row))
    return seen


Results = tuple[dict[str, list[str]], dict[str, list[str]]]


def both(duel: Duel, rows: list[Row]) -> Results:
    """Run the rows on both programs at the same time, as they mostly wait."""
    with ThreadPoolExecutor(2) as pool:
        expected, found = pool.map(lambda side: run(side, rows), (duel.haproxy, duel.trilb))
    return expected, found


@pytest.fixture(scope="module")
def http(module_duel: DuelFactory, hole: int) -> Results:
    """Lines of both programs for all rows of mode http."""
    return both(module_duel(HTTP, respond, dead_hole=str(hole)), HTTPS)


@pytest.fixture(scope="module")
def tcp(module_duel: DuelFactory, hole: int, tcp_origin: int) -> Results:
    """Lines of both programs for all rows of mode tcp."""
    return both(module_duel(TCP, dead_hole=str(hole), origin_tcp=str(tcp_origin)), TCPS)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in HTTPS])
def test_http(http: Results, row: Row) -> None:
    """The lines of a session are HAProxy's."""
    expected, found = http
    assert found[row.id] == expected[row.id]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in TCPS])
def test_tcp(tcp: Results, row: Row) -> None:
    """The lines of a TCP session are HAProxy's."""
    expected, found = tcp
    assert found[row.id] == expected[row.id]


FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp",
    "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
FORMATS = ("local", "rfc3164", "rfc5424", "raw", "short", "iso", "timed", "priority")
TARGET = "log 127.0.0.1:{syslog}"
ENVELOPES: dict[str, tuple[str, ...]] = {
    "facilities": tuple(f"{TARGET} {facility}" for facility in FACILITIES),
    "formats": tuple(f"{TARGET} format {name} local1" for name in FORMATS),
    "tag": ("log-tag mytag", f"{TARGET} local0", f"{TARGET} format rfc5424 local0", f"{TARGET} format raw local0"),
    "structured": ('log-format-sd "[ex@1 ft=%ft]"', f"{TARGET} format rfc5424 local0", f"{TARGET} local0"),
    "global": ("log global",),
    "global and own": ("log global", f"{TARGET} local3"),
    "level": tuple(f"{TARGET} local0 {level}" for level in LEVELS),
    "least level": tuple(f"{TARGET} local0 debug {level}" for level in LEVELS),
    "length": tuple(
        f"{TARGET} len {size} format {name} local0"
        for size in (80, 100, 1024)
        for name in ("raw", "rfc3164", "rfc5424")
    ),
    "sample": (f"{TARGET} sample 1,3:4 local0", f"{TARGET} format raw sample 2-3:3 local0"),
    "asap": (f"{TARGET} local0", "option logasap"),
    "none": (),
}
ENVELOPE = """
global
    log 127.0.0.1:{syslog} local2
defaults
    mode http
    option httplog
    timeout connect 1s
    timeout client 1s
    timeout server 1s
""" + "".join(
    f"listen {name.replace(' ', '-')}\n    bind 127.0.0.1:{{port_{name.replace(' ', '_')}}}\n"
    + "".join(f"    {line}\n" for line in lines)
    + "".join(f"    http-request set-log-level {level} if {{ path /{level} }}\n" for level in (*LEVELS, "silent"))
    + "    server s 127.0.0.1:{origin1}\n"
    for name, lines in ENVELOPES.items()
)


def envelope(line: str) -> str:
    """Mask date, default tag and pid in any format, then the message; of a cut message only the length is compared."""
    size = f" ({len(line)} in all)" if len(line) in (81, 101) else ""
    line = re.sub(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d ", "ISODATE ", line)
    line = re.sub(r"^(<\d+>)\w{3} [ \d]\d \d\d:\d\d:\d\d ", r"\1DATE ", line)
    line = re.sub(r" (?:haproxy|trilb)(?=\[\d+\]: | \d+ - )", " TAG", line)
    line = re.sub(r" (TAG|mytag)(?:\[\d+\]:| \d+(?= - ))", r" \1 PID", line)
    return re.sub(r"\b127\.0\.0\.1:\d+ .*\n", "", line) + size if size else mask(line, counts=True)


@pytest.fixture(scope="module")
def envelopes(module_duel: DuelFactory) -> Duel:
    """Both programs, which have logged nothing when they accept connections."""
    duel = module_duel(ENVELOPE)
    assert duel.both(lambda side: side.syslog.pending()) == ([], [])
    return duel


@pytest.mark.parametrize("name", ENVELOPES)
def test_envelope(envelopes: Duel, name: str) -> None:
    """The datagrams of five requests are HAProxy's, in number, order, priority and envelope."""

    def run(side: Side) -> list[list[str]]:
        seen = []
        for path in ("/", "/err", "/debug", "/silent", "/"):
            exchange(side.ports[f"port_{name.replace(' ', '_')}"], get(path, "Connection: close"))
            # one more line, of another listener, tells when all have come
            exchange(side.ports["port_global"], get("/marker"))
            lines: list[str] = []
            while not lines or "/marker" not in lines[-1]:
                lines += side.syslog.take(1, 1.0)
            seen.append([envelope(line) for line in lines[:-1]])
        return seen

    expected, found = envelopes.both(run)
    assert found == expected


def test_hostname(duel: DuelFactory) -> None:
    """`log-send-hostname` puts a name into the formats that have a place for it."""
    text = ENVELOPE.replace("local2\n", "local2\n    log-send-hostname box\n", 1)

    def run(side: Side) -> list[int]:
        exchange(side.ports["port_formats"], get("/"))
        words = [line.split() for line in side.syslog.take(len(FORMATS))]
        return [line.index("box") if "box" in line else -1 for line in words]

    expected, found = duel(text).both(run)
    assert found == expected


COUNTS = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 1s
    timeout client 2s
    timeout server 2s
listen plain
    bind 127.0.0.1:{port}
    http-request deny if { path /deny }
    stats uri /stats
    server s 127.0.0.1:{origin1}
listen asap
    bind 127.0.0.1:{port_asap}
    option logasap
    server s 127.0.0.1:{origin1}
listen dead
    bind 127.0.0.1:{port_dead}
    server s 127.0.0.1:{dead}
listen tcp
    bind 127.0.0.1:{port_tcp}
    mode tcp
    option tcplog
    server s 127.0.0.1:{origin1}
"""


@pytest.mark.parametrize("others", [0, 2])
def test_counts(duel: DuelFactory, others: int) -> None:
    """Connection counts of a line include its own connection and the others, idle or busy."""

    def run(side: Side) -> list[str]:
        with ExitStack() as stack:
            for _ in range(others):
                client = stack.enter_context(Client(side.port))
                client.send(get("/"))
                client.read_response()
                side.syslog.take(1)
                stack.enter_context(Client(side.ports["port_asap"]))
            time.sleep(0.05)
            lines = []
            for port, path in (
                ("port", "/"), ("port", "/deny"), ("port", "/stats"), ("port_asap", "/"), ("port_dead", "/"),
                ("port_tcp", "/"),
            ):  # fmt: skip
                exchange(side.ports[port], get(path, "Connection: close"), half_close=port == "port_tcp")
                lines += side.syslog.take(1)
                time.sleep(0.05)
        return [re.sub(r"(?<=200 )(\+?)\d{4,} ", r"\1BYTES ", mask(line)) for line in lines]

    expected, found = duel(COUNTS).both(run)
    assert found == expected
