"""Malformed and unusual responses: relayed or replaced alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel, Side
from tests.support.origin import Held, Kept, Origin
from tests.support.rows import KEPT_RULES, How, Row, check, post, request
from tests.support.wire import Client

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

CONFIG = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 1s
    timeout client 5s
    timeout server 500ms
frontend fe
    bind 127.0.0.1:{port}
KEPT
    default_backend be
backend be
    server s1 127.0.0.1:{origin1}
""".replace("KEPT", KEPT_RULES)

OK = b"HTTP/1.1 200 OK"
OK10 = b"HTTP/1.0 200 OK"
LENGTH = b"Content-Length: 2"
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"2\r\nok\r\n0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def response(*headers: bytes, line: bytes = OK, body: bytes = b"") -> bytes:
    """Build a response."""
    return b"\r\n".join([line, *headers, b"", body])


FINE = response(LENGTH, body=b"ok")


@dataclass(frozen=True)
class Case:
    """An answer of the origin to a kind of request."""

    id: str
    answer: bytes | None
    kind: str = "get"
    how: How = "responses"
    status3: int = 0


def _line(text: bytes, status3: int = 0) -> Case:
    return Case(f"line {text!r}", response(LENGTH, line=text, body=b"ok"), status3=status3)


def _header(text: bytes, status3: int = 0) -> Case:
    return Case(f"header {text!r}", response(text, LENGTH, body=b"ok"), status3=status3)


def _lengths(*values: bytes) -> Case:
    return Case(f"lengths {values!r}", response(*(b"Content-Length:" + v for v in values), body=b"ok"))


def _coding(value: bytes, status3: int = 0) -> Case:
    return Case(f"coding {value!r}", response(b"Transfer-Encoding: " + value, body=CHUNKS), status3=status3)


CASES = [
    Case("nothing", None),
    Case("nothing to post", None, "post"),
    Case("garbage", b"garbage\r\n\r\n"),
    Case("garbage without line end", b"garbage"),
    Case("cut in status line", b"HTTP/1.1 2"),
    Case("cut in head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    _line(b"HTTP/1.1 200"),
    _line(b"HTTP/1.1 200 "),
    _line("HTTP/1.1 200 é".encode()),
    _line(b"HTTP/1.1 200 O\x01K"),
    _line(b"HTTP/1.1 200 All is well"),
    # 3.5 manual 1.4.1 and accept-unsafe-violations-in-http-response: a status has 3 digits; 2.6 relays these
    _line(b"HTTP/1.1 20 OK", 502),
    _line(b"HTTP/1.1 2000 OK", 502),
    _line(b"HTTP/1.1 abc OK"),
    _line(b"HTTP/1.1 200x OK"),
    _line(b"HTTP/1.1 600 OK"),
    _line(b"HTTP/1.1 999 OK"),
    _line(b"HTTP/1.1 102 Processing"),
    _line(b"HTTP/1.2 200 OK"),
    _line(b"HTTP/2.0 200 OK"),
    _line(b"HTTP/11.1 200 OK"),
    _line(b"http/1.1 200 OK"),
    _line(b"ICY 200 OK"),
    _line(b"HTTP/1.1  200  OK", status3=502),
    _line(b"\r\nHTTP/1.1 200 OK"),
    _line(b" HTTP/1.1 200 OK"),
    Case("bare lf", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    _header(b"Foo"),
    _header(b"X A: b"),
    _header(b"XA : b"),
    _header(b": b"),
    _header(b"X(A: b"),
    _header(b"X\x80: b"),
    # 3.5 manual, accept-unsafe-violations-in-http-response: refused unless relaxed; 2.6 relays it
    _header(b"X: a\0b", 502),
    _header(b"X: a\x01b"),
    _header(b"X: a\x80b"),
    _header(b"X: a\rb"),
    _header(b"X: a\r\n b"),
    _header(b"X:"),
    _header(b"X-FoO-bAr: B"),
    _header(b" X: a"),
    _header(b"Set-Cookie: a=1\r\nSet-Cookie: b=2"),
    _lengths(b" 2", b" 2"),
    _lengths(b" 2", b" 3"),
    _lengths(b" 2, 2"),
    _lengths(b" 2, 3"),
    _lengths(b" 2,"),
    _lengths(b""),
    _lengths(b" x"),
    _lengths(b" +2"),
    _lengths(b" -2"),
    _lengths(b" 002"),
    _lengths(b" " + b"9" * 30),
    Case("length and chunked", response(LENGTH, CHUNKED, body=CHUNKS)),
    Case("chunked and length", response(CHUNKED, LENGTH, body=CHUNKS)),
    _coding(b"gzip"),
    _coding(b"gzip, chunked"),
    _coding(b"chunked, gzip"),
    _coding(b"chunked, chunked"),
    _coding(b"identity"),
    _coding(b"CHUNKED"),
    # 3.5 manual, accept-unsafe-violations-in-http-response: an empty value is refused; 2.6 ignores it
    _coding(b"", 502),
    Case("chunked twice", response(CHUNKED, CHUNKED, body=CHUNKS)),
    Case("gzip with length", response(b"Transfer-Encoding: gzip", LENGTH, body=b"ok")),
    Case("chunked 1.0", response(CHUNKED, line=OK10, body=CHUNKS)),
    Case("chunked", response(CHUNKED, body=CHUNKS)),
    Case("chunked to 1.0", response(CHUNKED, body=CHUNKS), "get10"),
    Case("chunked to 1.0 keep-alive", response(CHUNKED, body=CHUNKS), "get10ka"),
    Case("chunked to head", response(CHUNKED), "head"),
    Case("extension and trailer", response(CHUNKED, b"Trailer: X-T", body=b"2;a=b\r\nok\r\n0\r\nX-T: v\r\n\r\n")),
    Case("trailer to 1.0", response(CHUNKED, body=b"2\r\nok\r\n0\r\nX-T: v\r\n\r\n"), "get10"),
    Case("bad chunk size", response(CHUNKED, body=b"zz\r\nok\r\n0\r\n\r\n")),
    Case("bad second chunk size", response(CHUNKED, body=b"2\r\nok\r\nzz\r\nok\r\n0\r\n\r\n")),
    Case("cut in chunk", response(CHUNKED, body=b"5\r\nok")),
    Case("last chunk missing", response(CHUNKED, body=b"2\r\nok\r\n")),
    Case("last line missing", response(CHUNKED, body=b"2\r\nok\r\n0\r\n")),
    Case("length", FINE),
    Case("length to 1.0", FINE, "get10"),
    Case("length to 1.0 keep-alive", FINE, "get10ka"),
    Case("body cut", response(b"Content-Length: 10", body=b"ok")),
    Case("body missing", response(b"Content-Length: 10")),
    Case("body too long", response(LENGTH, body=b"okextra")),
    Case("body after length zero", response(b"Content-Length: 0", body=b"extra")),
    Case("second response", FINE + FINE),
    Case("no length", response(body=b"ok")),
    Case("no length, close", response(b"Connection: close", body=b"ok")),
    Case("no length, keep-alive", response(b"Connection: keep-alive", body=b"ok")),
    Case("no length, empty", response()),
    Case("no length 1.0", response(line=OK10, body=b"ok")),
    Case("no length to 1.0", response(body=b"ok"), "get10"),
    Case("no length to 1.0 keep-alive", response(body=b"ok"), "get10ka"),
    Case("no length to head", response(), "head"),
    Case("no length 205", response(line=b"HTTP/1.1 205 Reset")),
    Case("1.0 with length", response(LENGTH, line=OK10, body=b"ok")),
    Case("1.0 with keep-alive", response(LENGTH, b"Connection: keep-alive", line=OK10, body=b"ok")),
    Case("1.0 to 1.0", response(LENGTH, line=OK10, body=b"ok"), "get10"),
    Case("1.0 to 1.0 keep-alive", response(LENGTH, line=OK10, body=b"ok"), "get10ka"),
    Case("close", response(LENGTH, b"Connection: close", body=b"ok")),
    Case("keep-alive", response(LENGTH, b"Connection: keep-alive", b"Keep-Alive: timeout=5", body=b"ok")),
    Case("connection names", response(LENGTH, b"Connection: X-A", b"X-A: b", b"Proxy-Connection: close", body=b"ok")),
    Case("upgrade in 200", response(LENGTH, b"Upgrade: h2,h2c", b"Connection: Upgrade", body=b"ok")),
    Case("upgrade in 426", response(LENGTH, b"Upgrade: f", b"Connection: Upgrade", line=b"HTTP/1.1 426 U", body=b"ok")),
    Case("100 first", CONTINUE + FINE),
    Case("103 first", HINTS + FINE),
    Case("100 103 100 first", CONTINUE + HINTS + CONTINUE + FINE),
    Case("100 first to 1.0", CONTINUE + FINE, "get10"),
    Case("103 first to 1.0", HINTS + FINE, "get10"),
    Case("102 first", b"HTTP/1.1 102 Processing\r\n\r\n" + FINE),
    Case("199 first", b"HTTP/1.1 199 X\r\n\r\n" + FINE),
    Case("100 with length first", b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n" + FINE),
    Case("100 in 1.0 first", b"HTTP/1.0 100 Continue\r\n\r\n" + FINE),
    Case("100 only", CONTINUE),
    # 2.6 counts the bytes of the 101 it threw away in the log line
    Case("101 unasked", response(b"Connection: upgrade", b"Upgrade: f", line=b"HTTP/1.1 101 Switching"), status3=502),
    Case("204", response(line=b"HTTP/1.1 204 No Content")),
    Case("204 with length zero", response(b"Content-Length: 0", line=b"HTTP/1.1 204 No Content")),
    Case("204 with body", response(LENGTH, line=b"HTTP/1.1 204 No Content", body=b"ok")),
    Case("204 with chunks", response(CHUNKED, line=b"HTTP/1.1 204 No Content", body=CHUNKS)),
    Case("304", response(line=b"HTTP/1.1 304 NM")),
    Case("304 with length", response(LENGTH, line=b"HTTP/1.1 304 NM")),
    Case("304 with body", response(LENGTH, line=b"HTTP/1.1 304 NM", body=b"ok")),
    Case("304 chunked", response(CHUNKED, line=b"HTTP/1.1 304 NM")),
    Case("length to head", response(LENGTH), "head"),
    Case("body to head", FINE, "head"),
    Case("404 to head", response(LENGTH, line=b"HTTP/1.1 404 NF"), "head"),
    Case("close to head", response(LENGTH, b"Connection: close"), "head"),
    Case("early answer to post", response(b"Content-Length: 0", line=b"HTTP/1.1 413 L"), "post"),
    Case("head of 14000", response(b"X: " + b"a" * 14_000, LENGTH, body=b"ok")),
    Case("head of 20000", response(b"X: " + b"a" * 20_000, LENGTH, body=b"ok")),
    *(
        Case(f"{n} headers", response(*(b"X-%d: y" % i for i in range(n - 1)), LENGTH, body=b"ok"))
        for n in (100, 101, 200)
    ),
    Case("body of 100000", response(b"Content-Length: 100000", body=b"a" * 100_000)),
    Case("silence", Held(b"")),
    Case("head stalls", Held(b"HTTP/1.1 200 OK\r\nX:")),
    Case("100 then silence", Held(CONTINUE)),
    Case("body stalls", Held(response(b"Content-Length: 10", body=b"ok")), how="close"),
    Case("chunk stalls", Held(response(CHUNKED, body=b"5\r\nok")), how="close"),
    Case("close-delimited body stalls", Held(response(body=b"ok")), how="close"),
]
ANSWERS = {b"/%d" % index: case.answer for index, case in enumerate(CASES)}


def _row(index: int, case: Case) -> Row:
    target = b"/%d" % index
    raw = {
        "get": request(target=target),
        "head": request(method=b"HEAD", target=target),
        "post": post(b"Content-Length: 3", target=target, body=b"abc"),
        "get10": request(target=target, version=b"HTTP/1.0"),
        "get10ka": request(b"Connection: keep-alive", target=target, version=b"HTTP/1.0"),
    }[case.kind]
    return Row(case.id, raw, case.how, status3=case.status3, flags3="PH--")


ROWS = [pytest.param(_row(index, case), id=case.id) for index, case in enumerate(CASES)]


def respond(raw: bytes, origin: Origin) -> bytes | None:
    """Answer with the bytes of the case named by the target."""
    return ANSWERS[raw.split(b" ")[1]]


@pytest.fixture(scope="module")
def sides(module_duel: DuelFactory) -> Duel:
    """Both programs, started once."""
    return module_duel(CONFIG, respond)


@pytest.mark.parametrize("row", ROWS)
def test_response(sides: Duel, row: Row) -> None:
    """A response is relayed or replaced as HAProxy does, with the same log line."""
    check(sides, row)


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        pytest.param(FINE, 1, id="length"),
        pytest.param(response(CHUNKED, body=CHUNKS), 1, id="chunked"),
        pytest.param(response(LENGTH, CHUNKED, body=CHUNKS), 2, id="length and chunked"),
        pytest.param(response(LENGTH, body=b"okextra"), 2, id="extra bytes"),
        pytest.param(response(LENGTH, line=b"HTTP/1.1 204 N", body=b"ok"), 2, id="204 with body"),
        pytest.param(response(LENGTH, line=OK10, body=b"ok"), 2, id="1.0"),
        pytest.param(response(LENGTH, b"Connection: keep-alive", line=OK10, body=b"ok"), 1, id="1.0 keep-alive"),
        pytest.param(response(LENGTH, b"Connection: close", body=b"ok"), 2, id="close"),
    ],
)
def test_server_connection_reuse(duel: DuelFactory, answer: bytes, connections: int) -> None:
    """Two requests of one client use one server connection only after a sound, persistent answer."""

    def act(side: Side) -> int:
        with Client(side.port) as client:
            for _ in range(2):
                client.send(request())
                client.read_response()
        return side.origin.connections

    pair = duel(CONFIG, lambda raw, origin: Kept(answer))
    assert pair.both(act) == (connections, connections)
