"""Actions of http-request and http-response side by side: what the server gets, and what the client does.

Each backend carries the rules of one row and is chosen by header x-row.
"""

from __future__ import annotations

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.origin import Origin
from tests.support.wire import Client

TARGETS = (
    "/", "/a", "/a?b=1", "/a/b/../c/./d//e?z=1&a=2&m", "/%7euser/%2f%41?q=%c3%a9", "/a?", "/..", "/a/..",
    "/../a/../../b", "/./x", "/a/.", "http://h.example/p/q?r=1", "/x?b=2&a=1&b=1&a", "/%zz%4",
)  # fmt: skip
URI_RULES = {
    "set-path": ("http-request set-path /new",),
    "set-path-format": ("http-request set-path /pre%[path]",),
    "set-pathq": ("http-request set-pathq /new?x=y",),
    "set-query": ("http-request set-query k=v",),
    "set-query-format": ("http-request set-query %[query,url_dec]",),
    "set-query-empty": ("http-request set-query %[var(txn.none)]",),
    "set-uri": ("http-request set-uri /other?u",),
    "set-uri-absolute": ("http-request set-uri http://z.example%[pathq]",),
    "set-method": ("http-request set-method %[str(PATCH)]",),
    "replace-path": (r"http-request replace-path /(.*) /x/\1",),
    "replace-path-part": (r"http-request replace-path ^/a(/.*)?$ \1/z",),
    "replace-pathq": (r"http-request replace-pathq ([^?]*)(\?(.*))? \1/foo\2",),
    "replace-uri": (r"http-request replace-uri ^http://([^/]*)(.*) /\1\2",),
    "replace-escapes": (r"http-request replace-path /(.)(.*) /\x41\0\\\9\2",),
    "twice": ("http-request set-path /one", "http-request set-query q=%[path]", "http-request set-path /two"),
    "slashes": ("http-request normalize-uri path-merge-slashes",),
    "dot": ("http-request normalize-uri path-strip-dot",),
    "dotdot": ("http-request normalize-uri path-strip-dotdot",),
    "dotdot-full": ("http-request normalize-uri path-strip-dotdot full",),
    "unreserved": ("http-request normalize-uri percent-decode-unreserved",),
    "unreserved-strict": ("http-request normalize-uri percent-decode-unreserved strict",),
    "uppercase": ("http-request normalize-uri percent-to-uppercase",),
    "uppercase-strict": ("http-request normalize-uri percent-to-uppercase strict",),
    "sorted": ("http-request normalize-uri query-sort-by-name",),
}
OTHER_RULES = {
    "vars": (
        "http-request set-var(txn.a) path", "http-request set-var-fmt(req.b) %[var(txn.a)]-%[src]",
        "http-request set-header X-V %[var(req.b)]", "http-request unset-var(txn.a)",
        "http-request set-header X-W <%[var(txn.a)]>", "http-response set-header X-T %[var(req.b)]",
    ),
    "sess": ("http-request set-var(sess.n) var(sess.n),add(1)", "http-request set-header X-N %[var(sess.n)]"),
    "src": (
        "http-request set-src hdr(x-from)", "http-request set-src-port int(99)", "http-request set-dst hdr(x-to)",
        "http-request set-dst-port int(77)", "http-request set-header X-S %[src]:%[src_port]-%[dst]:%[dst_port]",
        "option forwardfor",
    ),
    "capture": ("http-request capture hdr(x-from) id 0", "http-request set-header X-C <%[capture.req.hdr(0)]>"),
    "body": ("http-request wait-for-body time 1s", "http-request set-header X-B %[req.body]"),
    "early-hint": (
        "http-request early-hint Link </a.css>;rel=preload", "http-request early-hint Link </b.js>;rel=preload",
        "http-request set-header X-After 1",
    ),
    "log-level": ("http-request set-log-level silent", "http-request set-nice 5", "http-request set-tos 0x10"),
    "timeouts": ("http-request set-timeout server 3s", "http-request set-timeout tunnel int(4000)"),
    "priority": ("http-request set-priority-class int(5)", "http-request set-priority-offset int(-5)"),
    "add-many": tuple(f"http-request add-header X-{n} %[path]" for n in range(5)),
    "response": (
        "http-response set-header X-R %[status]", "http-response replace-header X-R (.*) <\\1>",
        "http-response set-status 299 reason Odd", "http-after-response set-header X-A %[status]",
    ),
    "after-order": ("http-after-response add-header X-O 1", "http-response add-header X-O 2"),
    "strict": ("http-request strict-mode off", "http-request set-header X-S 1"),
    "auth": ("http-request auth realm Here unless { http_auth(users) }", "http-request set-header X-U 1"),
}  # fmt: skip
RULES = {**URI_RULES, **OTHER_RULES}
CONFIG = """
global
    expose-experimental-directives
userlist users
    user joe insecure-password secret
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port}
    declare capture request len 5
    http-after-response set-header X-Frontend f
""" + "".join(
    f"    use_backend {name} if {{ hdr(x-row) {name} }}\n" for name in RULES
) + "".join(
    f"backend {name}\n" + "".join(f"    {rule}\n" for rule in rules) + "    server s 127.0.0.1:{origin1}\n"
    for name, rules in RULES.items()
)  # fmt: skip
REQUESTS = {
    "get": "GET /p?q HTTP/1.1\r\nHost: h\r\n",
    "from": "GET /p HTTP/1.1\r\nHost: h\r\nX-From: 192.0.2.7\r\nX-To: 192.0.2.8\r\n",
    "six": "GET /p HTTP/1.1\r\nHost: h\r\nX-From: 2001:db8::7\r\nX-To: nonsense\r\n",
    "post": "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-From: abcdefgh\r\n",
    "old": "GET /p HTTP/1.0\r\nHost: h\r\n",
    "auth": "GET /p HTTP/1.1\r\nHost: h\r\nAuthorization: Basic am9lOnNlY3JldA==\r\n",
}


def observe(side: Side, head: str, row: str, body: bytes = b"") -> tuple[bytes, list[bytes]]:
    """What comes back, interim answers included, and what the server got."""
    side.origin.clear()
    with Client(side.port) as client:
        client.send(f"{head}X-Row: {row}\r\nConnection: close\r\n\r\n".encode("latin-1") + body)
        answer = client.read_all()
    requests, _ = side.origin.settle(0.2 if answer.startswith(b"HTTP/1.1 4") else 2.0)
    return answer, requests


def respond(raw: bytes, origin: Origin) -> bytes:
    """A plain answer."""
    return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-own: 1\r\n\r\nok"


@pytest.fixture(scope="module")
def duel(module_duel: DuelFactory) -> Duel:
    """One pair of programs for all rows."""
    return module_duel(CONFIG, respond)


@pytest.mark.parametrize("row", URI_RULES)
def test_uris(duel: Duel, row: str) -> None:
    """Every target is rewritten as HAProxy does it."""
    wrong = []
    for target in TARGETS:
        expected, found = duel.both(
            lambda side, t=target: observe(side, f"GET {t} HTTP/1.1\r\nHost: h.example\r\n", row)  # type: ignore[misc]
        )
        if found != expected:
            wrong.append((target, expected, found))
    assert not wrong


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("row", OTHER_RULES)
def test_actions(duel: Duel, row: str, request_name: str) -> None:
    """Requests and answers are HAProxy's."""
    body = b"a=1&b" if request_name == "post" else b""
    expected, found = duel.both(lambda side: observe(side, REQUESTS[request_name], row, body))
    assert found == expected
