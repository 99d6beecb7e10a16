"""HTTP/2 towards clients: what the server is sent, what the client gets, what is logged."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel, Side
from tests.support.h2wire import Got, H2Client, get
from tests.support.origin import Origin, default_respond, reply
from tests.support.syslog import mask

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

CONFIG = """
global
    log 127.0.0.1:{syslog} local0
userlist users
    user joe insecure-password secret
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 1s
    timeout client 3s
    timeout server 3s
frontend fe
    bind 127.0.0.1:{port} proto h2
    bind 127.0.0.1:{plain}
    capture request header host len 40
    http-request set-header x-seen "%[url] %[path] %[query] %[base] %[req.ver] %[fc_http_major] %[req.hdr_cnt(cookie)]"
    http-request deny if { path /deny }
    http-request return status 200 content-type text/plain string done if { path /return }
    http-request redirect location /x if { path /redirect }
    http-request redirect prefix https://other if { path /prefix }
    http-request redirect scheme https if { path /scheme }
    http-request set-path /new if { path /setpath }
    http-request set-uri /new?y if { path /seturi }
    http-request set-uri http://other/new if { path /setabsolute }
    http-request set-query z=1 if { path /setquery }
    http-request set-header host other if { path /sethost }
    http-request set-header x-hdrs %[req.hdrs,hex] if { path /hdrs }
    http-request set-header x-body %[req.body] if { path /body }
    http-request auth if { path /auth } !{ http_auth(users) }
    http-request replace-path (.*)/rp(.*) \\1/other\\2 if { path_beg /rp }
    http-request replace-pathq /rq(.*) /other\\1 if { path_beg /rq }
    http-request replace-uri (.*)/ru(.*) \\1/other\\2 if { path_beg /ru }
    http-request replace-uri .*/rx(.*) /other\\1 if { path_beg /rx }
    http-request set-pathq /new?a=b if { path /setpathq }
    http-request del-header host if { path /delhost }
    http-request set-method PUT if { path /setmethod }
    monitor-uri /monitor
    use_backend dead if { path /refused }
    use_backend cookies if { path /cookies }
    default_backend be
backend be
    server s1 127.0.0.1:{origin1}
backend cookies
    cookie SRV insert
    server s1 127.0.0.1:{origin1} cookie one
backend dead
    server d1 127.0.0.1:{dead}
"""
M, S, P, A = (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/p?q=1"), (b":authority", b"a")
POST = (b":method", b"POST")
Fields = Sequence[tuple[bytes, bytes]]


def respond(request: bytes, origin: Origin) -> bytes | None:
    """Answers of all kinds, by path."""
    path = request.split(b" ")[1].partition(b"?")[0]
    if path == b"/chunked":
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n"
    if path == b"/trailers":
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
    if path == b"/close":
        return b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nhello"
    if path == b"/old":
        return b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nhello"
    if path == b"/204":
        return b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"
    if path == b"/304":
        return b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"
    if path == b"/hop":
        return reply(headers=("Connection: keep-alive, x-b", "Keep-Alive: 5", "X-B: c", "Proxy-Connection: x"))
    if path == b"/junk":
        return b"junk\r\n\r\n"
    if path == b"/empty":
        return None
    if path == b"/hints":
        return b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + reply()
    return default_respond(request, origin)


@pytest.fixture(scope="module")
def pair(module_duel: DuelFactory) -> Duel:
    """Both programs for all tests of the module."""
    return module_duel(CONFIG, respond)


def converse(side: Side, fields: Fields, body: bytes | None, trailers: Fields) -> tuple[list[bytes], object, list[str]]:
    """One request: what the server got, what came back, the log."""
    side.origin.clear()
    with H2Client(side.port) as client:
        number = client.begin(fields, end=body is None)
        if body is not None:
            client.data(number, body, end=not trailers)
        if trailers:
            client.trailers(number, trailers)
        got = client.finish(number)
        log = [mask(line, counts=True) for line in side.syslog.take(1)]
    return [_masked(request) for request in side.origin.requests], _summary(got), log


def _masked(request: bytes) -> bytes:
    return re.sub(rb"(?i)(sec-websocket-key: )\S+", rb"sec-websocket-key: KEY", request)


def _summary(got: Got) -> object:
    return got.status, got.fields, got.interim, got.body, got.trailers, got.reset, got.ended


PATHS = (
    "/ /p?q=1 /chunked /trailers /close /old /204 /304 /hop /hints /deny /return /redirect /prefix /scheme /setpath "
    "/seturi /setabsolute /setquery /sethost /hdrs /refused /cookies /junk "
    "/auth /rp?x /rq?x /ru?x /rx?x /setpathq?x /delhost /setmethod"
).split()


@pytest.mark.parametrize("path", PATHS)
def test_answers(pair: Duel, path: str) -> None:
    """GET of everything."""
    pair.same(lambda side: converse(side, get(path.encode(), (b"x-a", b"1"), host=b"A.example"), None, ()))


def test_authorization(pair: Duel) -> None:
    """An absolute URI makes no proxy of us: the credentials are in `authorization`."""
    joe = (b"authorization", b"Basic am9lOnNlY3JldA==")
    pair.same(lambda side: converse(side, get(b"/auth", joe), None, ()))
    pair.same(lambda side: converse(side, get(b"/auth", (b"proxy-authorization", joe[1])), None, ()))


@pytest.mark.parametrize("path", ["/", "/deny", "/return", "/204", "/refused"])
def test_head(pair: Duel, path: str) -> None:
    """HEAD of some."""
    pair.same(lambda side: converse(side, get(path.encode(), method=b"HEAD"), None, ()))


REQUESTS: list[tuple[str, Fields, bytes | None, Fields]] = [
    ("no authority", [M, S, P], None, ()),
    ("host only", [M, S, P, (b"host", b"b:80"), (b"x", b"1")], None, ()),
    ("host and authority", [M, S, P, A, (b"host", b"b"), (b"x", b"1")], None, ()),
    ("default port", [M, S, P, (b":authority", b"B.example:80")], None, ()),
    ("other port", [M, S, P, (b":authority", b"b:81")], None, ()),
    ("https", [M, (b":scheme", b"https"), P, (b":authority", b"b:443")], None, ()),
    ("other scheme", [M, (b":scheme", b"ftp"), P, (b":authority", b"b:80")], None, ()),
    ("cookies", [M, S, P, A, (b"cookie", b"a=1"), (b"x", b"1"), (b"cookie", b"b=2"), (b"z", b"2")], None, ()),
    ("blanks", [M, S, P, A, (b"x", b""), (b"te", b"trailers"), (b"accept-encoding", b"gzip")], None, ()),
    ("options", [(b":method", b"OPTIONS"), S, (b":path", b"*"), A], None, ()),
    ("own method", [(b":method", b"FOO"), S, P, A], None, ()),
    ("utf-8 path", [M, S, (b":path", b"/\xc3\xa9"), A], None, ()),
    ("post", [POST, S, P, A, (b"x", b"1")], b"hello", ()),
    ("post with length", [POST, S, P, A, (b"content-length", b"5"), (b"x", b"1")], b"hello", ()),
    ("post of nothing", [POST, S, P, A], None, ()),
    ("post of length 0", [POST, S, P, A, (b"content-length", b"0")], None, ()),
    ("post of empty data", [POST, S, P, A], b"", ()),
    ("get with body", [M, S, P, A], b"hello", ()),
    ("post denied", [POST, S, (b":path", b"/deny"), A, (b"content-length", b"5")], b"hello", ()),
    ("expect", [POST, S, P, A, (b"expect", b"100-continue"), (b"content-length", b"5")], b"hello", ()),
    ("relative path", [M, S, (b":path", b"x"), A], None, ()),
    ("empty path", [M, S, (b":path", b""), A], None, ()),
    ("blank in the path", [M, S, (b":path", b"/a b"), A], None, ()),
    ("fragment", [M, S, (b":path", b"/a#b"), A], None, ()),
    ("control in the path", [M, S, (b":path", b"/a\x01"), A], None, ()),
    ("absolute path", [M, S, (b":path", b"http://b/"), A], None, ()),
    ("bad method", [(b":method", b"GET?"), S, P, A], None, ()),
    ("PRI", [(b":method", b"PRI"), S, (b":path", b"*"), A], None, ()),
    ("empty method", [(b":method", b""), S, P, A], None, ()),
    ("bad scheme", [M, (b":scheme", b"http://b/?"), P, A], None, ()),
    ("empty scheme", [M, (b":scheme", b""), P, A], None, ()),
    ("path twice", [M, S, P, P, A], None, ()),
    ("unknown pseudo-header", [M, S, P, A, (b":x", b"1")], None, ()),
    ("status", [M, S, P, A, (b":status", b"200")], None, ()),
    ("late pseudo-header", [M, S, P, (b"x", b"1"), A], None, ()),
    ("no path", [M, S, A], None, ()),
    ("no scheme", [M, P, A], None, ()),
    ("no method", [S, P, A], None, ()),
    ("upper case", [M, S, P, A, (b"Foo", b"x")], None, ()),
    ("blank in a name", [M, S, P, A, (b"fo o", b"x")], None, ()),
    ("colon in a name", [M, S, P, A, (b"fo:o", b"x")], None, ()),
    ("NUL in a value", [M, S, P, A, (b"foo", b"x\0y")], None, ()),
    ("control in a value", [M, S, P, A, (b"foo", b"x\x01y")], None, ()),
    ("connection", [M, S, P, A, (b"connection", b"close")], None, ()),
    ("transfer-encoding", [M, S, P, A, (b"transfer-encoding", b"chunked")], None, ()),
    ("upgrade", [M, S, P, A, (b"upgrade", b"x")], None, ()),
    ("keep-alive", [M, S, P, A, (b"keep-alive", b"5")], None, ()),
    ("proxy-connection", [M, S, P, A, (b"proxy-connection", b"x")], None, ()),
    ("te", [M, S, P, A, (b"te", b"gzip, trailers")], None, ()),
    ("two hosts", [M, S, P, (b"host", b"b"), (b"host", b"c")], None, ()),
    ("blank in the authority", [M, S, P, (b":authority", b"a b")], None, ()),
    ("user in the authority", [M, S, P, (b":authority", b"u:p@b")], None, ()),
    ("empty authority", [M, S, P, (b":authority", b"")], None, ()),
    ("authority twice", [M, S, P, A, A], None, ()),
    ("empty length", [M, S, P, A, (b"content-length", b"")], None, ()),
    ("length with a comma", [M, S, P, A, (b"content-length", b"0,")], None, ()),
    ("two lengths", [POST, S, P, A, (b"content-length", b"5"), (b"content-length", b"5")], b"hello", ()),
    ("CONNECT with a path", [(b":method", b"CONNECT"), S, P, A], None, ()),
]


@pytest.mark.parametrize(("name", "fields", "body", "trailers"), REQUESTS, ids=[each[0] for each in REQUESTS])
def test_requests(pair: Duel, name: str, fields: Fields, body: bytes | None, trailers: Fields) -> None:
    """Requests of all kinds, right and wrong."""
    pair.same(lambda side: converse(side, fields, body, trailers))


def test_trailers_of_a_request(pair: Duel) -> None:
    """Trailers of a request reach the server."""
    pair.same(lambda side: converse(side, [POST, S, P, A], b"hello", [(b"x-t", b"1")]))


@pytest.mark.parametrize("protocol", [b"websocket", b"other"])
def test_extended_connect(pair: Duel, protocol: bytes) -> None:
    """An extended CONNECT that a server answers with 200 is no tunnel."""

    def act(side: Side) -> object:
        side.origin.clear()
        with H2Client(side.port) as client:
            fields = [(b":method", b"CONNECT"), (b":protocol", protocol), S, P, A, (b"origin", b"x")]
            number = client.begin(fields, end=False)
            got = client.streams[number]
            client.pump(lambda: got.ended)
        return got.status, got.body, got.ended, sorted(_masked(side.origin.requests[0]).lower().split(b"\r\n"))

    pair.same(act)
    for side in (pair.haproxy, pair.trilb):
        side.syslog.take(1)


def test_reset_while_waiting(duel: DuelFactory) -> None:
    """A client that gives its stream up is told of in the log at once."""

    def silent(request: bytes, origin: Origin) -> None:
        origin.stopping.wait(3)

    both = duel(CONFIG, silent)

    def act(side: Side) -> str:
        with H2Client(side.port) as client:
            number = client.begin(get(b"/"))
            side.origin.wait(1)
            client.reset(number)
            return mask(side.syslog.take(1, 2.0)[0], counts=True)

    both.same(act)


def test_requests_of_a_connection(pair: Duel) -> None:
    """Ten requests on one connection, then a plain client that upgrades by the preface."""

    def act(side: Side) -> object:
        out: list[object] = []
        with H2Client(side.port) as client:
            for _ in range(10):
                got = client.ask(get(b"/"))
                out.append((got.status, got.body, mask(side.syslog.take(1)[0], counts=True)))
        with H2Client(side.ports["plain"]) as client:
            got = client.ask(get(b"/"))
            out.append((got.status, got.body, mask(side.syslog.take(1)[0], counts=True)))
        return out

    pair.same(act)


def test_gone_before_the_preface(pair: Duel) -> None:
    """A client that ends, or says something else, before it has said hello is logged."""

    def act(side: Side) -> object:
        with H2Client(side.port, start=False) as client:
            client.raw(b"PRI * HT")
            client.sock.shutdown(socket.SHUT_WR)
            client.wait_closed()
        first = mask(side.syslog.take(1)[0], counts=True)
        with H2Client(side.port, start=False) as client:
            client.raw(b"something else, and more of that")
            client.wait_closed()
        return first, mask(side.syslog.take(1)[0], counts=True)

    pair.same(act)


def test_idle_end(duel: DuelFactory) -> None:
    """`timeout http-keep-alive` ends a connection by GOAWAY, before and after its first request."""
    text = CONFIG.replace(
        "frontend fe\n", "frontend fe\n    timeout http-keep-alive 300ms\n    timeout http-request 200ms\n"
    )
    both = duel(text, respond)

    def act(side: Side) -> object:
        with H2Client(side.port) as client:
            client.wait_closed(2.0)
            early = client.goaways, client.closed
        with H2Client(side.port) as client:
            client.ask(get(b"/"))
            client.wait_closed(2.0)
        side.syslog.take(1)
        return early, client.goaways, client.closed, side.syslog.pending()

    both.same(act)
