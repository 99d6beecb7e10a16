"""Connection handling, upgrades, pipelines, error replies and timeouts of HTTP/1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel
from tests.support.origin import Origin, default_respond
from tests.support.rows import KEPT_RULES, Row, check, chunked, post, request

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

STATUSES = (200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 422, 425, 429, 500, 501, 502, 503, 504)
CONFIG = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 1s
    timeout client 3s
    timeout server 3s
frontend fe
    bind 127.0.0.1:{port}
KEPT
    timeout tarpit 100ms
    http-request deny if { path /deny }
STATUSES
    http-request redirect location /x if { path /redirect }
    http-request return status 200 content-type text/plain string ok hdr connection upgrade if { path /own }
    http-request tarpit if { path /tarpit }
    http-request reject if { path /reject }
    use_backend empty if { path /empty }
    use_backend dead if { path /refused }
    default_backend be
frontend fe_close
    bind 127.0.0.1:{port_close}
    option httpclose
KEPT
    default_backend be
frontend fe_server_close
    bind 127.0.0.1:{port_server_close}
    option http-server-close
KEPT
    default_backend be
frontend fe_alone
    bind 127.0.0.1:{port_alone}
KEPT
backend be
    server s1 127.0.0.1:{origin1}
backend empty
backend dead
    server d1 127.0.0.1:{dead}
"""
CONFIG = CONFIG.replace("KEPT", KEPT_RULES).replace(
    "STATUSES", "\n".join(f"    http-request deny deny_status {s} if {{ path /status{s} }}" for s in STATUSES)
)

SOCKET = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
FOO = (b"Connection: upgrade", b"Upgrade: foo")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
ANSWERS = {
    b"/101": SWITCH + b"Upgrade: foo\r\nX: y\r\n\r\n",
    b"/socket": SWITCH + b"Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    b"/wrong": SWITCH + b"Upgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
    b"/missing": SWITCH + b"Upgrade: websocket\r\n\r\n",
    b"/offer": b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nok",
    b"/100": b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + OK,
}

CONNECTION = [
    Row(
        f"{port} {version} {(connection or b'nothing').decode()}",
        request(*([] if connection is None else [b"Connection: " + connection]), version=version.encode()),
        port=port,
    )
    for port in ("port", "port_close", "port_server_close")
    for version in ("HTTP/1.0", "HTTP/1.1")
    for connection in (None, b"close", b"keep-alive", b"Keep-Alive, close", b"close, keep-alive")
]
TE = ["trailers", "trailers, gzip", "gzip", "gzip;q=0.5, trailers", "trailers;q=0.5", "gzip+trailers", "Trailers", ""]
HEADERS = [
    Row("connection twice", request(b"Connection: close", b"Connection: keep-alive")),
    Row("connection names and close", request(b"Connection: X-A, close", b"X-A: b")),
    Row("connection names and keep-alive", request(b"Connection: keep-alive, X-A", b"X-A: b")),
    Row("connection empty", request(b"Connection:")),
    Row("connection xclose", request(b"Connection: xclose")),
    Row("connection in capitals", request(b"CONNECTION: CLOSE")),
    Row("connection te", request(b"Connection: TE", b"TE: trailers")),
    Row(
        "hop by hop",
        request(
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: x",
            b"Trailer: X",
            b"Via: y",
        ),
    ),
    Row("proxy-connection close", request(b"Proxy-Connection: close")),
    Row("proxy-connection in 1.0", request(b"Proxy-Connection: keep-alive", version=b"HTTP/1.0")),
    *(Row(f"te {te}", request(*(b"TE: " + value.encode() for value in te.split("+")))) for te in TE),
    Row("expect with body", post(b"Expect: 100-continue", b"Content-Length: 3", body=b"abc")),
    Row("expect answered", post(b"Expect: 100-continue", b"Content-Length: 3", target=b"/100", body=b"abc")),
    Row("expect without body", post(b"Expect: 100-continue")),
    Row("expect on get", request(b"Expect: 100-continue")),
    Row("expect in 1.0", post(b"Expect: 100-continue", b"Content-Length: 3", version=b"HTTP/1.0", body=b"abc")),
    Row("expect other", post(b"Expect: foo", b"Content-Length: 3", body=b"abc")),
    *(Row(f"method {m}", request(method=m.encode())) for m in ("HEAD", "OPTIONS", "TRACE", "DELETE", "PATCH")),
]
UPGRADE = [
    Row("upgrade alone", request(b"Upgrade: foo")),
    Row("connection upgrade alone", request(b"Connection: upgrade")),
    Row("ignored", request(*FOO)),
    Row("ignored with close", request(b"Connection: upgrade, close", b"Upgrade: foo")),
    Row("ignored in 1.0", request(*FOO, version=b"HTTP/1.0")),
    Row("ignored with length zero", post(*FOO, b"Content-Length: 0")),
    Row("ignored list", request(b"Connection: Upgrade", b"Upgrade: foo, websocket/13")),
    Row("accepted", request(*FOO, target=b"/101"), "tunnel", b"ping"),
    Row("accepted with early data", request(*FOO, target=b"/101", body=b"early"), "tunnel", b"ping"),
    Row("accepted in close mode", request(*FOO, target=b"/101"), "tunnel", b"ping", port="port_close"),
    Row("accepted in server-close mode", request(*FOO, target=b"/101"), "tunnel", b"ping", port="port_server_close"),
    Row("websocket", request(*SOCKET, KEY, target=b"/socket"), "tunnel", b"ping"),
    Row("websocket ignored", request(*SOCKET, KEY)),
    Row("websocket in capitals", request(b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", KEY)),
    Row("websocket without key", request(*SOCKET)),
    Row("websocket with empty key", request(*SOCKET, b"Sec-WebSocket-Key:")),
    Row("websocket with wrong accept", request(*SOCKET, KEY, target=b"/wrong")),
    Row("websocket without accept", request(*SOCKET, KEY, target=b"/missing")),
    *(
        Row(f"offered by {who!r}, {version!r}, {said!r}", request(b"Connection: " + said, target=who, version=version))
        for who in (b"/offer", b"/own")
        for version in (b"HTTP/1.0", b"HTTP/1.1")
        for said in (b"close", b"keep-alive")
    ),
    Row("connect port 80", request(method=b"CONNECT", target=b"a:80"), "tunnel", b"ping"),
    Row("connect port 443", request(method=b"CONNECT", target=b"a:443", host=b"a:443"), "tunnel", b"ping"),
    Row("connect port 8443", request(method=b"CONNECT", target=b"a:8443", host=b"a:8443"), "tunnel", b"ping"),
    Row("connect without host", request(method=b"CONNECT", target=b"a:80", host=None), "tunnel", b"ping"),
    Row("connect with early data", request(method=b"CONNECT", target=b"a:80", body=b"early"), "tunnel", b"ping"),
    Row(
        "connect with length",
        request(b"Content-Length: 3", method=b"CONNECT", target=b"a:80", body=b"abc"),
        "tunnel",
        b"ping",
    ),
    Row("connect 1.0", request(method=b"CONNECT", target=b"a:80", version=b"HTTP/1.0"), "tunnel", b"ping"),
]
ONE, TWO = request(target=b"/1"), request(target=b"/2")
PIPELINE = [
    Row("two", ONE + TWO, logs=2),
    Row("ten", b"".join(request(target=b"/%d" % i) for i in range(10)), logs=10),
    Row(
        "get, post, head",
        ONE + post(b"Content-Length: 3", target=b"/2", body=b"abc") + request(method=b"HEAD", target=b"/3"),
        logs=3,
    ),
    Row("chunked, get", chunked(b"3\r\nabc\r\n0\r\n\r\n") + TWO, logs=2),
    Row("close first", request(b"Connection: close", target=b"/1") + TWO),
    Row("1.0 first", request(target=b"/1", version=b"HTTP/1.0") + TWO),
    Row("second bad", ONE + request(b"X A: b", target=b"/2"), logs=2),
    Row("crlf between", ONE + b"\r\n\r\n" + TWO, logs=2),
    Row("denied first", request(target=b"/deny") + TWO, logs=2),
    Row("one and eof", ONE, "half_close"),
    Row("eof in head", b"GET / HTTP/1.1\r\nHost", "half_close"),
    Row("eof in request line", b"GE", "half_close"),
    Row("eof at once", b"", "half_close"),
    Row("eof after crlf", b"\r\n\r\n", "half_close"),
    Row("hangup at once", b"", "hangup"),
    Row("reset at once", b"", "reset"),
]
DENY_POST = post(b"Content-Length: 3", target=b"/deny", body=b"abc")
ERRORS = [
    Row("deny", request(target=b"/deny")),
    Row("deny post", DENY_POST),
    Row("deny post without its body", DENY_POST.removesuffix(b"abc"), "close"),
    Row("deny 1.0", request(target=b"/deny", version=b"HTTP/1.0")),
    Row("deny 1.0 keep-alive", request(b"Connection: keep-alive", target=b"/deny", version=b"HTTP/1.0")),
    Row("deny head", request(method=b"HEAD", target=b"/deny")),
    Row("deny close", request(b"Connection: close", target=b"/deny")),
    Row("deny in close mode", request(target=b"/deny"), port="port_close"),
    *(Row(f"status {s}", request(target=b"/status%d" % s)) for s in STATUSES),
    Row("redirect", request(target=b"/redirect")),
    Row("redirect post", post(b"Content-Length: 3", target=b"/redirect", body=b"abc")),
    Row("redirect 1.0", request(target=b"/redirect", version=b"HTTP/1.0")),
    Row("redirect head", request(method=b"HEAD", target=b"/redirect")),
    Row("tarpit", request(target=b"/tarpit")),
    Row("reject", request(target=b"/reject")),
    Row("no server", request(target=b"/empty")),
    Row("no backend", request(), port="port_alone"),
    Row("refused", request(target=b"/refused")),
    Row("refused post", post(b"Content-Length: 3", target=b"/refused", body=b"abc")),
]
TABLES = {"connection": CONNECTION, "header": HEADERS, "upgrade": UPGRADE, "pipeline": PIPELINE, "error": ERRORS}

WAITS = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    default_backend be
frontend fe_marker
    bind 127.0.0.1:{port}
frontend fe
    bind 127.0.0.1:{port_client}
    timeout client 300ms
frontend fe_null
    bind 127.0.0.1:{port_null}
    timeout client 300ms
    option dontlognull
frontend fe_probes
    bind 127.0.0.1:{port_probes}
    timeout client 300ms
    option http-ignore-probes
frontend fe_request
    bind 127.0.0.1:{port_request}
    timeout http-request 300ms
frontend fe_keep
    bind 127.0.0.1:{port_keep}
    timeout http-request 600ms
    timeout http-keep-alive 200ms
frontend fe_body
    bind 127.0.0.1:{port_body}
    timeout http-request 200ms
    default_backend slow
backend be
    server s1 127.0.0.1:{origin1}
backend slow
    timeout server 400ms
    server s1 127.0.0.1:{origin1}
"""
NULL_PORTS = ("port_null", "port_probes")
LIMITED = ("port_client", "port_null", "port_probes", "port_request", "port_keep")
PARTIAL_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX"
SHORT = post(b"Content-Length: 10", body=b"abc")
TIMEOUTS = [
    *(Row(f"no byte: {p}", b"", "close", port=p, logs=int(p not in NULL_PORTS)) for p in LIMITED),
    *(Row(f"crlf: {p}", b"\r\n", "close", port=p) for p in LIMITED),
    *(Row(f"partial line: {p}", b"GE", "close", port=p) for p in LIMITED),
    *(Row(f"partial head: {p}", PARTIAL_HEAD, "close", port=p) for p in LIMITED),
    *(Row(f"idle: {p}", request(), "idle", port=p) for p in LIMITED),
    *(Row(f"idle, partial head: {p}", request(), "idle", PARTIAL_HEAD, port=p, logs=2) for p in LIMITED),
    *(Row(f"hangup: {p}", b"", "hangup", port=p, logs=0) for p in NULL_PORTS),
    *(Row(f"reset: {p}", b"", "reset", port=p, logs=0) for p in NULL_PORTS),
    *(
        Row(f"{name}: {p}", raw, "close", port=p)
        for p in ("port_body",)
        for name, raw in {
            "body stalls": SHORT,
            "no body": SHORT.removesuffix(b"abc"),
            "chunk stalls": chunked(b"5\r\nab"),
        }.items()
    ),
]


def respond(raw: bytes, origin: Origin) -> bytes:
    """Answer by target, else as usual."""
    return ANSWERS.get(raw.split(b" ")[1]) or default_respond(raw, origin)


@pytest.fixture(scope="module")
def sides(module_duel: DuelFactory) -> Duel:
    """Both programs, started once."""
    return module_duel(CONFIG, respond)


@pytest.fixture(scope="module")
def waiting(module_duel: DuelFactory) -> Duel:
    """Both programs with short timeouts, started once."""
    return module_duel(WAITS)


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{table}: {row.id!r}") for table, rows in TABLES.items() for row in rows]
)
def test_message(sides: Duel, row: Row) -> None:
    """Answer, persistence, forwarded bytes and log line are HAProxy's."""
    check(sides, row)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in TIMEOUTS])
def test_timeout(waiting: Duel, row: Row) -> None:
    """A stalled client is dismissed as HAProxy does, and logged or not."""
    check(waiting, row)
