"""Malformed and unusual requests: refused alike, or forwarded alike byte for byte."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel
from tests.support.rows import KEPT_RULES, LAST_CHUNK, Row, check, chunked, post, request

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

CONFIG = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 3s
    timeout server 1s
frontend fe
    bind 127.0.0.1:{port}
KEPT
    default_backend be
frontend fe_h1
    bind 127.0.0.1:{port_h1} proto h1
    default_backend be
backend be
    server s1 127.0.0.1:{origin1}
""".replace("KEPT", KEPT_RULES)


def _length(value: bytes, body: bytes = b"abc") -> bytes:
    return post(b"Content-Length:" + value, body=body)


def _coding(value: bytes, body: bytes = LAST_CHUNK) -> bytes:
    return post(b"Transfer-Encoding: " + value, body=body)


CONTENT_LENGTH = [
    Row("twice the same", post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc")),
    Row("twice different", post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd")),
    Row("list of the same", _length(b" 3, 3")),
    Row("list of different", _length(b" 3, 4")),
    Row("trailing comma", _length(b" 3,")),
    Row("leading comma", _length(b" ,3")),
    Row("digits then letter", _length(b" 3x")),
    Row("word", _length(b" abc")),
    Row("empty", _length(b"", b"")),
    Row("blank", _length(b"   ", b"")),
    Row("plus", _length(b" +3")),
    Row("minus", _length(b" -3")),
    Row("hexadecimal", _length(b" 0x3")),
    Row("inner space", _length(b" 1 3")),
    Row("leading zeros", _length(b" 0003")),
    Row("spaces around", _length(b"\t 3  \t")),
    Row("no space", _length(b"3")),
    Row("folded", _length(b"\r\n 3"), answers=1),
    Row("2^63-1 then eof", _length(b" 9223372036854775807"), "cut", b"abc"),
    Row("2^63", _length(b" 9223372036854775808")),
    # 2.6 overflows and forwards it; a length which does not fit is an error
    Row("2^64", _length(b" 18446744073709551616"), "close", status3=400),
    Row("forty nines", _length(b" " + b"9" * 40)),
    Row("zero", _length(b" 0", b"")),
    Row("name in odd case", post(b"cOnTeNt-LeNgTh: 3", body=b"abc")),
    Row("name with underscore", post(b"Content_Length: 3", b"Content-Length: 0")),
    Row("body cut by eof", _length(b" 10"), "cut", b"abc"),
    Row("body missing at eof", _length(b" 10", b""), "cut", b"\r\n\r\n"),
    Row("on get", request(b"Content-Length: 3", body=b"abc")),
    Row("on head", request(b"Content-Length: 3", method=b"HEAD", body=b"abc")),
    Row("on trace", request(b"Content-Length: 3", method=b"TRACE", body=b"abc")),
    Row("post without", post()),
    Row("put without", request(method=b"PUT")),
    Row("1.0 get", request(b"Content-Length: 3", version=b"HTTP/1.0", body=b"abc"), "close"),
    Row("1.0 get zero", request(b"Content-Length: 0", version=b"HTTP/1.0")),
    Row("1.0 head", request(b"Content-Length: 3", method=b"HEAD", version=b"HTTP/1.0", body=b"abc"), "close"),
    Row("1.0 delete", request(b"Content-Length: 3", method=b"DELETE", version=b"HTTP/1.0", body=b"abc"), "close"),
    Row("1.0 post", post(b"Content-Length: 3", version=b"HTTP/1.0", body=b"abc")),
    Row("1.0 put", request(b"Content-Length: 3", method=b"PUT", version=b"HTTP/1.0", body=b"abc")),
    Row("1.0 options", request(b"Content-Length: 3", method=b"OPTIONS", version=b"HTTP/1.0", body=b"abc")),
]

ABC = b"3\r\nabc\r\n0\r\n\r\n"
TRANSFER_ENCODING = [
    Row("chunked", _coding(b"chunked", ABC)),
    Row("CHUNKED", _coding(b"CHUNKED", ABC)),
    Row("length then chunked", post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=ABC)),
    Row("chunked then length", post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=ABC)),
    Row("bad length then chunked", post(b"Content-Length: x", b"Transfer-Encoding: chunked", body=ABC)),
    Row("gzip", _coding(b"gzip", b"")),
    Row("gzip with length", post(b"Transfer-Encoding: gzip", b"Content-Length: 3", body=b"abc")),
    Row("identity", _coding(b"identity", b"")),
    # reg-tests: 422, as 2.6.12 does already
    Row("gzip, chunked", _coding(b"gzip, chunked"), "close"),
    Row("gzip then chunked", post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", body=ABC), "close"),
    Row("chunked, gzip", _coding(b"chunked, gzip")),
    Row("chunked, chunked", _coding(b"chunked, chunked")),
    Row("chunked, gzip, chunked", _coding(b"chunked, gzip, chunked")),
    Row("chunked twice", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=ABC)),
    Row("chunked with parameter", _coding(b"chunked;q=1")),
    Row("empty", _coding(b"")),
    Row("leading comma", _coding(b", chunked"), "close"),
    Row("xchunked", _coding(b"xchunked")),
    Row("quoted", _coding(b'"chunked"')),
    Row("vertical tab", _coding(b"\x0bchunked")),
    Row("1.0 chunked", post(b"Transfer-Encoding: chunked", version=b"HTTP/1.0", body=ABC)),
    Row(
        "1.0 chunked keep-alive",
        post(b"Transfer-Encoding: chunked", b"Connection: keep-alive", version=b"HTTP/1.0", body=ABC),
    ),
    Row("1.0 gzip", post(b"Transfer-Encoding: gzip", version=b"HTTP/1.0")),
    Row("1.0 get chunked", request(b"Transfer-Encoding: chunked", version=b"HTTP/1.0", body=ABC), "close"),
    Row("get chunked", request(b"Transfer-Encoding: chunked", body=ABC)),
]

LINES = [
    Row("lf everywhere", b"GET / HTTP/1.1\nHost: a\nX-A: b\n\n"),
    Row("lf after request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    Row("lf after header", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    Row("lf at end", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    Row("cr in value", request(b"X-A: a\rb")),
    Row("cr in name", request(b"X\rA: b")),
    Row("cr as line end", b"GET / HTTP/1.1\rHost: a\r\r"),
    Row("cr cr lf", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    # 3.5 manual, accept-unsafe-violations-in-http-request: refused unless relaxed; 2.6 forwards it
    Row("nul in value", request(b"X-A: a\0b"), status3=400),
    Row("nul in name", request(b"X\0A: b")),
    Row("nul in target", request(target=b"/a\0b")),
    Row("nul in method", request(method=b"G\0T")),
    Row("space before colon", request(b"X-A : b")),
    Row("tab before colon", request(b"X-A\t: b")),
    Row("fold", request(b"X-A: b\r\n  c", b"X-B: d")),
    Row("fold by tab", request(b"X-A: b\r\n\tc")),
    Row("fold after lf", request(b"X-A: b\n c")),
    Row("several folds", request(b"X: b \r\n \r\n c \r\n  d")),
    Row("fold before value", request(b"X:\r\n b")),
    Row("empty fold", request(b"X: b\r\n ")),
    Row("fold of request line", b"GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n"),
    Row("empty name", request(b": b")),
    Row("no colon", request(b"XA")),
    Row("space in name", request(b"X A: b")),
    *(
        Row(f"name with {c}", request(b"X" + c.encode("latin-1") + b"A: b"))
        for c in '(),/:;<=>?@[\\]{}"\x7f\x80\xff\x01'
    ),
    Row("every token character", request(b"!#$%&'*+-.^_`|~09azAZ: b")),
    Row("control in value", request(b"X-A: a\x01b")),
    Row("delete in value", request(b"X-A: a\x7fb")),
    Row("tab in value", request(b"X-A: a\tb")),
    Row("vt and ff in value", request(b"X-A: a\x0bb\x0cc")),
    Row("latin-1 in value", request(b"X-A: a\x80\xffb")),
    Row("utf-8 in value", request("X-A: é€".encode())),
    Row("empty values", request(b"X-A:", b"X-B: ")),
    Row("space around value", request(b"X-A: \t b c \t ")),
    Row("no space before value", request(b"X-A:b")),
    Row("duplicate headers", request(b"X-A: 1", b"x-a: 2", b"X-B: 3", b"X-A: 1")),
    Row("no header", b"GET / HTTP/1.1\r\n\r\n"),
]

VERSIONS = [
    *("HTTP/0.9", "HTTP/1.0", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.7", "HTTP/11.1", "HTTP/1.10", "HTTP/1."),
    *("HTTP/1", "HTTP/", "HTTP", "HTTP/a.b", "HTTP/1.1x", "HTTP/1,1", "HTTP/-1.1", "http/1.1", "Http/1.1"),
    *("HTTPS/1.1", "RTSP/1.0"),
]
REQUEST_LINE = [
    Row("method in lower case", request(method=b"get")),
    Row("unknown method", request(method=b"FOO")),
    Row("method of odd token", request(method=b"M-S!")),
    Row("method with bracket", request(method=b"G(T")),
    Row("method with colon", request(method=b"G:T")),
    Row("method above ascii", request(method=b"G\x80T")),
    Row("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Row("control in target", request(target=b"/a\x01b")),
    # 3.5 manual: 127 always blocked, above only when relaxed; 2.6 lets 127 and 128 pass
    Row("delete in target", request(target=b"/a\x7fb"), status3=400),
    Row("0x80 in target", request(target=b"/a\x80b"), status3=400),
    Row("0x81 in target", request(target=b"/a\x81b")),
    Row("utf-8 in target", request(target="/é".encode())),
    Row("tab in target", request(target=b"/a\tb")),
    Row("space in target", request(target=b"/a b")),
    Row("unwise characters in target", request(target=b'/"<>\\^`{|}')),
    Row("fragment in target", request(target=b"/a#b")),
    Row("bad percent in target", request(target=b"/%zz%")),
    Row("dots and slashes in target", request(target=b"/a/../b//c/./d")),
    Row("double slash first", request(target=b"//a/b")),
    Row("no target", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
    Row("double spaces", b"GET  /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    Row("trailing space", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    Row("tabs", b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    Row("query only", request(target=b"?a=b")),
    Row("no slash", request(target=b"admin")),
    Row("no slash, path", request(target=b"admin/a/b")),
    Row("authority for get", request(target=b"a:80")),
    Row("star for options", request(method=b"OPTIONS", target=b"*")),
    # reg-test h1_request_target_validation: refused since 3.0
    Row("star for get", request(target=b"*"), status3=400),
    Row("star and path", request(method=b"OPTIONS", target=b"*/test"), status3=400),
    Row("connect with absolute form", request(method=b"CONNECT", target=b"http://a:80"), "half_close", status3=400),
    Row("connect without port", request(method=b"CONNECT", target=b"a")),
    Row("connect with empty port", request(method=b"CONNECT", target=b"a:")),
    Row("connect with path", request(method=b"CONNECT", target=b"/")),
    Row("leading crlf", b"\r\n" + request()),
    Row("leading crlfs", b"\r\n\r\n\r\n" + request()),
    Row("leading lf", b"\n" + request()),
    Row("leading cr", b"\r" + request()),
    Row("leading space", b" " + request()),
    Row("proxy protocol", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + request(), answers=1),
    Row("tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 64, answers=1),
    Row("binary", b"\0\1\2\3\r\n\r\n"),
    Row("http/0.9", b"GET /\r\n"),
    Row("http/0.9 post", b"POST /\r\n\r\n"),
    *(Row(f"version {v}", request(version=v.encode())) for v in VERSIONS),
    # reg-tests h1_to_h2_upgrade and tcp_to_http_upgrade: 405 where the preface is not an upgrade; 2.6: 400
    Row("pri", b"PRI * HTTP/2.0\r\n\r\nnot the preface", "close", status3=405),
    Row("preface to h1", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "close", port="port_h1", status3=405),
]

HOST = [
    Row("missing", request(host=None)),
    Row("missing in 1.0", request(host=None, version=b"HTTP/1.0")),
    Row("twice the same", request(b"Host: a")),
    Row("twice in other case", request(b"Host: A")),
    Row("twice different", request(b"Host: b")),
    Row("twice with default port", request(b"Host: a:80")),
    Row("empty", request(host=b"")),
    Row("list", request(host=b"a, b")),
    Row("odd characters", request(host=b"a b/c@d")),
    Row("bad port", request(host=b"a:x")),
    Row("upper case", request(host=b"ExAmple.COM:80")),
    Row("absolute", request(target=b"http://a/x")),
    Row("absolute in upper case", request(target=b"HTTP://A/x")),
    Row("absolute of other host", request(target=b"http://b/x")),
    Row("absolute without host", request(target=b"http://b/x", host=None)),
    Row("absolute without host in 1.0", request(target=b"http://b/x", host=None, version=b"HTTP/1.0")),
    # reg-test h1_host_normalization: an empty path becomes a slash, a query without path is fine
    Row("absolute without path", request(target=b"http://a"), forwarded3=b"GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n"),
    Row(
        "absolute with query only",
        request(target=b"http://a?x=y"),
        forwarded3=b"GET http://a?x=y HTTP/1.1\r\nhost: a\r\n\r\n",
    ),
    Row(
        "absolute with default port and query only",
        request(target=b"http://a:80?x=y", host=b"a:80"),
        forwarded3=b"GET http://a?x=y HTTP/1.1\r\nhost: a\r\n\r\n",
    ),
    Row(
        "absolute with only a colon",
        request(target=b"http://:", host=b":80"),
        forwarded3=b"GET http:/// HTTP/1.1\r\nhost: \r\n\r\n",
    ),
    Row("default port in both", request(target=b"http://a:80/x", host=b"a:80")),
    Row("default port in target", request(target=b"http://a:80/x")),
    Row("default port in host", request(target=b"http://a/x", host=b"a:80")),
    Row("https default port in both", request(target=b"https://a:443/x", host=b"a:443")),
    Row("https with port 80", request(target=b"https://a:80/x", host=b"a:80")),
    Row("empty port in target", request(target=b"http://a:/x")),
    Row("empty port in host", request(target=b"http://a/x", host=b"a:")),
    Row("default port and empty port", request(target=b"http://a:80/x", host=b"a:")),
    Row("empty port and default port", request(target=b"http://a:/x", host=b"a:80")),
    Row("other port in target", request(target=b"http://a:8080/x")),
    Row("other port in host", request(target=b"http://a/x", host=b"a:81")),
    Row("other port in both", request(target=b"http://a:8080/x", host=b"a:8080")),
    Row("different ports", request(target=b"http://a:80/x", host=b"a:81")),
    Row("user information", request(target=b"http://u:p@a/x")),
    Row("user information and port", request(target=b"http://u:p@a:80/x", host=b"a:80")),
    Row("other scheme", request(target=b"ftp://a/x")),
    Row("empty authority", request(target=b"http:///x", host=b"")),
    Row("empty host with absolute", request(target=b"http://a/x", host=b"")),
    Row("ipv6", request(target=b"http://[::1]:80/x", host=b"[::1]:80")),
    Row("connect to other host", request(method=b"CONNECT", target=b"b:80")),
    Row("connect to other port", request(method=b"CONNECT", target=b"a:81")),
    Row("connect to other default port", request(method=b"CONNECT", target=b"a:80", host=b"a:443")),
]

SIZES = [
    Row("target of 8000", request(target=b"/" + b"a" * 8000)),
    Row("target of 20000", request(target=b"/" + b"a" * 20_000)),
    Row("value of 15000", request(b"X-A: " + b"a" * 15_000)),
    Row("value of 16400", request(b"X-A: " + b"a" * 16_400)),
    Row("value of 40000", request(b"X-A: " + b"a" * 40_000)),
    *(Row(f"{n} headers", request(*(b"X-%d: y" % i for i in range(n - 1)))) for n in (99, 100, 101, 102, 200)),
]

CHUNKS = [
    Row("two chunks", chunked(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")),
    Row("extension", chunked(b"3;ext=1\r\nabc\r\n0;x\r\n\r\n")),
    Row("open quote in extension", chunked(b'3;ext="a\r\nabc\r\n0\r\n\r\n')),
    Row("controls in extension", chunked(b"3;a\x01\x00\x80\r\nabc\r\n0\r\n\r\n")),
    Row("long extension", chunked(b"3;" + b"x" * 5000 + b"\r\nabc\r\n0\r\n\r\n")),
    Row("space after size", chunked(b"3 \r\nabc\r\n0\r\n\r\n")),
    Row("tab after size", chunked(b"3\t;a\r\nabc\r\n0\r\n\r\n")),
    Row("space before size", chunked(b" 3\r\nabc\r\n0\r\n\r\n"), answers=1),
    Row("leading zeros", chunked(b"000000000000000000003\r\nabc\r\n000\r\n\r\n")),
    Row("both cases", chunked(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n")),
    Row("bare lf", chunked(b"3\nabc\n0\n\n")),
    Row("lf after data", chunked(b"3\r\nabc\n0\r\n\r\n")),
    Row("lf at end", chunked(b"3\r\nabc\r\n0\r\n\n")),
    *(
        Row(f"size {s!r}", chunked(s.encode() + b"\r\nabc\r\n0\r\n\r\n"), answers=1)
        for s in ("xyz", "", "-3", "+3", "0x3", "3g", "3.0", "10000000000000", "ffffffffffffffff", "10000000000000000")
    ),
    Row("largest size then eof", chunked(b"fffffffffffff\r\nabc"), "cut", b"abc"),
    Row("data too long", chunked(b"3\r\nabcd\r\n0\r\n\r\n"), answers=1),
    Row("data too short", chunked(b"3\r\nab\r\n0\r\n\r\n"), answers=1),
    Row("cr only", chunked(b"3\rabc\r\n0\r\n\r\n"), answers=1),
    Row("trailer", chunked(b"3\r\nabc\r\n0\r\nX-T: v\r\n\r\n")),
    Row("empty body with trailers", chunked(b"0\r\nX-T:  v \r\nx-u:\r\nA: b\r\n c\r\n\r\n")),
    Row("announced trailer", chunked(b"3\r\nabc\r\n0\r\nX-T: v\r\n\r\n", b"Trailer: X-T", b"TE: trailers")),
    # what frames or routes a message is no trailer; 2.6 passes it on from time to time
    Row(
        "length as trailer",
        chunked(b"3\r\nabc\r\n0\r\nContent-Length: 3\r\nX: y\r\n\r\n"),
        forwarded3=b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{abc}0\r\nx: y\r\n\r\n",
    ),
    # 2.6 checks trailer names or not, differently from one process to the next; a bad name is an error
    Row("bad trailer name", chunked(b"3\r\nabc\r\n0\r\nX T: v\r\n\r\n"), answers=1, status3=400),
    Row("trailer without colon", chunked(b"3\r\nabc\r\n0\r\nnocolon\r\n\r\n"), answers=1),
    Row("trailer folded first", chunked(b"3\r\nabc\r\n0\r\n : v\r\n\r\n"), answers=1, status3=400),
    Row("too many trailers", chunked(b"0\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(105)) + b"\r\n"), answers=1),
    Row("last line missing at eof", chunked(b"3\r\nabc\r\n0\r\n"), "cut", b"abc"),
    Row("last chunk missing at eof", chunked(b"3\r\nabc\r\n"), "cut", b"abc"),
    Row("eof in data", chunked(b"3\r\nab"), "cut", b"ab"),
    Row("eof in size", chunked(b"3"), "cut", b"\r\n\r\n"),
    Row("eof after head", chunked(b""), "cut", b"\r\n\r\n"),
]

TABLES = {
    "length": CONTENT_LENGTH,
    "coding": TRANSFER_ENCODING,
    "lines": LINES,
    "request": REQUEST_LINE,
    "host": HOST,
    "size": SIZES,
    "chunk": CHUNKS,
}
# Where 2.6 is lax and trilb deliberately is not: what smuggling is made of gets 400 and never reaches a server.
STRICT = {
    ("length", "folded"),
    *(
        ("lines", row)
        for row in (
            "lf everywhere",
            "lf after request line",
            "lf after header",
            "lf at end",
            "fold",
            "fold by tab",
            "fold after lf",
            "several folds",
            "fold before value",
            "empty fold",
            "vt and ff in value",
        )
    ),
    *(("request", row) for row in ("0x81 in target", "leading lf", "version HTTP/0.9")),
    ("host", "twice the same"),
    ("host", "twice in other case"),
    *(
        ("chunk", row)
        for row in (
            "controls in extension",
            "bare lf",
            "lf after data",
            "lf at end",
            "data too short",
            "empty body with trailers",
        )
    ),
}
ROWS = [
    pytest.param(replace(row, status3=400) if (table, row.id) in STRICT else row, id=f"{table}: {row.id!r}")
    for table, rows in TABLES.items()
    for row in rows
]


@pytest.fixture(scope="module")
def sides(module_duel: DuelFactory) -> Duel:
    """Both programs, started once."""
    return module_duel(CONFIG)


@pytest.mark.parametrize("row", ROWS)
def test_request(sides: Duel, row: Row) -> None:
    """A request is refused or forwarded as HAProxy does, with the same answer and log line."""
    check(sides, row)
