"""Sample fetches side by side: the same value, or none, for the same request.

Header x-n chooses the expression, the rest of the request is what it looks at.
"""

from __future__ import annotations

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.wire import Client

PLAIN = """
method path pathq query url req.ver req_ver capture.req.method capture.req.uri capture.req.ver url_ip url_port
base base32 base32+src,hex url32 url32+src,hex urlp(a) urlp(b) urlp(A) urlp(a,;) urlp(e) url_param(a) urlp_val(a)
urlp_val(n)
hdr(x-a) hdr(x-a,1) hdr(x-a,2) hdr(x-a,-1) hdr(x-a,-2) hdr(x-a,9) hdr(host) req.hdr(X-A) req.fhdr(x-a)
req.fhdr(x-a,1) req.fhdr(x-a,-2) hdr_cnt(x-a) req.hdr_cnt(nope) req.fhdr_cnt(x-a) hdr_val(x-n1) hdr_val(x-n1,1)
req.hdr_val(x-a) hdr_ip(x-ip) hdr_ip(x-ip,1) req.hdr_ip(x-ip,2) req.hdr_names(-) req.hdr_cnt(x-empty) hdr(x-empty)
req.fhdr(x-empty) req.hdrs,length
cook(a) req.cook(a) req.cook(b) cook(q) cook_cnt(a) req.cook_cnt(nope) cook_val(n) req.cook_val(a)
req.body req.body_len req.body_size req.body_param(a) req.body_param(b) req.body,length
http_auth(users) http_auth_type http_auth_user http_auth_pass
src dst dst_port,mul(0) fc_http_major fc_src dst_is_local src_is_local fe_name so_id so_name
fe_defbe be_conn(other) nbsrv(other) srv_is_up(other/o) srv_conn(other/o) srv_weight(other/o)
srv_iweight(other/o) srv_uweight(other/o) srv_queue(other/o) srv_conn_free(other/o) be_conn_free(other)
connslots(other) queue(other) avg_queue(other) connslots(limited) be_conn_free(limited) srv_conn_free(limited/l)
nbproc stopping proc http_first_req req.proto_http hostname,length uuid,length
always_true always_false str(x) int(7) int(-7) bool(true) bool(0) ipv4(1.2.3.4) ipv6(::1) bin(41420a),hex meth(GET)
env(TRILB_NOPE) date,mul(0) rand(1) var(txn.nope) var(txn.set) var(txn.ip) var(txn.n)
var(txn.b) var(txn.bin),hex var(sess.n) txn.nope
capture.req.hdr(0) capture.req.hdr(1) capture.req.hdr(2) unique-id
wait_end
req.ssl_hello_type req.ssl_ver req.ssl_sni req.ssl_alpn req.ssl_ec_ext req.ssl_st_ext
res.hdr(x) status
""".split()
EXPRESSIONS = [word for word in PLAIN if word not in ("txn.nope", "res.hdr(x)", "status")]
RESPONSES = """
status res.ver res.hdr(x-s) res.hdr(x-s,1) res.fhdr(x-s) shdr(x-s) res.hdr_cnt(x-s) shdr_cnt(nope) res.hdr_val(x-v)
res.hdr_ip(x-i) res.hdr_names res.cook(sid) scook(other) res.cook_cnt(sid) res.cook_val(num) srv_name srv_id
capture.res.hdr(0) capture.res.ver capture.req.uri be_name fe_name txn.none var(txn.set) src
capture.req.hdr(0) unique-id res.hdrs,length res.ssl_hello_type
""".split()
RESPONSES.remove("txn.none")


def name(index: int, prefix: str = "n") -> str:
    """What x-n says."""
    return f"{prefix}{index}"


HEAD = """
userlist users
    group admins users joe
    group others users joe,ann
    user joe insecure-password secret
    user ann insecure-password other
    user hashed password $5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
backend other
    server o 127.0.0.1:{origin1} weight 7
backend limited
    server l 127.0.0.1:{origin1} maxconn 5 maxqueue 3
frontend fe
    bind 127.0.0.1:{port} name bound
    option http-buffer-request
    unique-id-format %{+X}o%ci-fixed
    capture request header X-A len 4
    capture request header Host len 64
    declare capture request len 8
    capture response header X-S len 6
    http-request set-var(txn.set) path
    http-request set-var(txn.ip) src
    http-request set-var(txn.n) int(42)
    http-request set-var(txn.b) bool(true)
    http-request set-var(txn.bin) bin(00ff41)
    http-request set-var(sess.n) var(sess.n),add(1)
    http-request capture path id 2
"""
CONFIG = (
    HEAD
    + "".join(
        f'    http-request return status 200 content-type text/plain lf-string "[%[{expr}]]"'
        f" if {{ req.fhdr(x-n) {name(n)} }} {{ {expr} -m found }}\n"
        for n, expr in enumerate(EXPRESSIONS)
    )
    + "    http-request return status 200 content-type text/plain string missing if { req.fhdr(x-n) -m beg n }\n"
    + "".join(
        f'    http-response set-header X-Found "[%[{expr}]]"'
        f" if {{ capture.req.hdr(1) -m end {name(n, 'r')}. }} {{ {expr} -m found }}\n"
        for n, expr in enumerate(RESPONSES)
    )
    + "    default_backend other\n"
)
AUTH = "Authorization: Basic am9lOnNlY3JldA=="
REQUESTS: dict[str, tuple[str, tuple[str, ...], bytes]] = {
    "plain": ("GET / HTTP/1.1", (), b""),
    "query": ("GET /a/b.html?a=1&b=two&n=12x&e=&a=3 HTTP/1.1", (), b""),
    "odd query": ("GET /a;a=5;b=6?=x&&A=9&a HTTP/1.1", (), b""),
    "headers": (
        "GET /h HTTP/1.1",
        (
            "X-A: one, two", "X-B: b", "x-a: \"three, four\", five", "X-N1: 12, 13x", "X-Ip: 1.2.3.4, 5.6.7.8:99",
            "X-Empty:",
        ),
        b"",
    ),
    "addresses": ("GET / HTTP/1.1", ("X-Ip: ::1", "X-Ip: nonsense", "X-N1: -5"), b""),
    "cookies": ("GET /c HTTP/1.1", ("Cookie: a=1; b=2, c=3; a=4; n=17z; q=\"x; y\"", "Cookie: a=last"), b""),
    "post": ("POST /p HTTP/1.1", ("Content-Length: 15", "Content-Type: text/plain"), b"a=1&b=x%20y&A=2"),
    "chunked": ("POST /p HTTP/1.1", ("Transfer-Encoding: chunked",), b"4\r\na=12\r\n4\r\n&b=3\r\n0\r\n\r\n"),
    "auth": ("GET /auth HTTP/1.1", (AUTH,), b""),
    "bad auth": ("GET /auth HTTP/1.1", ("Authorization: Basic am9lOm5vcGU=",), b""),
    "hashed auth": ("GET /auth HTTP/1.1", ("Authorization: Basic aGFzaGVkOkhlbGxvIHdvcmxkIQ==",), b""),
    "bearer": ("GET /auth HTTP/1.1", ("Authorization: Bearer abc",), b""),
    "absolute": ("GET http://a.example/p/q?r=1 HTTP/1.1", (), b""),
    "options": ("OPTIONS * HTTP/1.1", (), b""),
    "head method": ("PUT /x HTTP/1.1", ("Content-Length: 0",), b""),
}  # fmt: skip
ANSWER = (
    b"HTTP/1.1 201 Created\r\nX-S: one, two\r\nX-S: three\r\nX-V: 12, 13\r\nX-I: 1.2.3.4\r\n"
    b"Set-Cookie: sid=abc; path=/\r\nSet-Cookie: num=5; secure\r\nSet-Cookie: sid=def\r\nContent-Length: 0\r\n\r\n"
)


def ask(side: Side, n: str, request: tuple[str, tuple[str, ...], bytes]) -> bytes:
    """The value an expression has for a request, on a connection of its own."""
    line, headers, body = request
    head = [line, f"Host: a.example.{n}.", f"X-N: {n}", *headers, "", ""]
    with Client(side.port) as client:
        client.send("\r\n".join(head).encode("latin-1") + body)
        return client.read_response()


@pytest.fixture(scope="module")
def duel(module_duel: DuelFactory) -> Duel:
    """One pair of programs for all rows."""
    return module_duel(CONFIG, lambda raw, origin: ANSWER)


@pytest.mark.parametrize("what", REQUESTS)
def test_request_fetches(duel: Duel, what: str) -> None:
    """Every request fetch has HAProxy's value."""
    request = REQUESTS[what]
    wrong = []
    for n, expr in enumerate(EXPRESSIONS):
        expected, found = duel.both(lambda side, n=n: ask(side, name(n), request))  # type: ignore[misc]
        if found != expected:
            wrong.append((expr, expected.partition(b"\r\n\r\n")[2], found.partition(b"\r\n\r\n")[2]))
    assert not wrong


def test_response_fetches(duel: Duel) -> None:
    """Every response fetch has HAProxy's value."""
    wrong = []
    for n, expr in enumerate(RESPONSES):
        expected, found = duel.both(lambda side, n=n: ask(side, name(n, "r"), REQUESTS["headers"]))  # type: ignore[misc]
        if found != expected:
            wrong.append((expr, expected[-60:], found[-60:]))
    assert not wrong
