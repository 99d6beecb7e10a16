"""Header rules, option forwardfor, and the replies that deny, return, auth and redirect generate: exact bytes.

The first element of a path names the backend, which carries the rules; a `forward` row names its listener.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel, Side
from tests.support.origin import Origin
from tests.support.syslog import mask
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
    timeout connect 1s
    timeout client 3s
    timeout server 3s
    timeout tarpit 20ms
"""
SERVER = "    server s 127.0.0.1:{origin1}\n"
Rules = dict[str, tuple[str, ...]]


def group(prefix: str, rules: dict[str, str], before: str = "http-request ") -> Rules:
    """Backends of one rule each."""
    return {f"{prefix}-{name}": (f"{before}{rule}",) for name, rule in rules.items()}


REQUEST_RULES: Rules = {
    "none": (),
    **group(
        "set",
        {
            "new": "set-header X-New v",
            "old": "set-header X-A v",
            "case": "set-header x-a V",
            "format": 'set-header X-A "%[src] a%%b %[req.hdr(host)] %ci %[path] {} %[req.hdr(x-b)]"',
            "nothing": "set-header X-A %[req.hdr(nope)]",
            "host": "set-header Host other",
            "length": "set-header X-Length %[req.hdr(x-a),length]",
            "connection": "set-header Connection close",
            "if": "set-header X-A v if { req.hdr(x-b) 2 }",
            "unless": "set-header X-A v unless { req.hdr(x-b) 2 }",
            "uri": "set-uri /new?q=1",
            "path": "set-path /new",
            "pathq": "set-pathq /new?z",
            "query": "set-query z=1",
            "method": "set-method PUT",
        },
    ),
    **group("add", {"new": "add-header X-New v", "old": "add-header X-A v", "count": "add-header X-A %[hdr_cnt(x-a)]"}),
    **group(
        "del",
        {
            "old": "del-header X-A",
            "case": "del-header x-a",
            "nothing": "del-header nope",
            "host": "del-header Host",
            "str": "del-header X-A -m str",
            "beg": "del-header x- -m beg",
            "end": "del-header b -m end",
            "sub": "del-header -a -m sub",
            "reg": "del-header ^x-[ab]$ -m reg",
        },
    ),
    **group(
        "replace",
        {
            "header": r"replace-header X-A (.*)1 \\1z",
            "header-list": r"replace-header X-List ^(.*),(.*)$ \\2;\\1",
            "header-no-match": "replace-header X-A nope z",
            "value": "replace-value X-A 1 z",
            "value-list": r"replace-value X-List ^(.*)$ <\\1>",
            "path": r"replace-path /(.*) /pre/\\1",
            "pathq": r"replace-pathq /(.*) /pre/\\1",
            "uri": r"replace-uri /(.*) /pre/\\1",
        },
    ),
    "order": (
        "http-request add-header X-New 1", "http-request set-header Host z", "http-request del-header X-B",
        "http-request add-header X-A 3", "http-request replace-header X-A 3 4", "http-request del-header X-List",
    ),
    "order-all": (
        "http-request set-header X-A %[req.hdr_cnt(x-a)]", "http-request set-var(txn.a) req.hdr(x-a)",
        "http-request add-header X-Var %[var(txn.a)]", "http-response add-header X-Var %[var(txn.a)]",
    ),
}  # fmt: skip
RESPONSE_RULES: Rules = {
    **group(
        "res",
        {
            "set": "set-header X-R v",
            "add": "add-header X-R v",
            "del": "del-header X-R",
            "del-beg": "del-header x- -m beg",
            "replace": r"replace-header X-R (.*) <\\1>",
            "replace-value": r"replace-value X-List b <b>",
            "status": "set-status 418",
            "status-reason": 'set-status 503 reason "Slow Down"',
            "connection": "set-header Connection close",
            "cache": "set-header Cache-Control no-store",
            "format": "set-header X-R %[status]-%[res.hdr(x-r)]-%b-%s",
            "deny": "deny",
            "deny-status": "deny deny_status 404",
            "redirect": "redirect location /other",
            "return": "return status 202 content-type text/plain string hello hdr X-Y z",
        },
        "http-response ",
    ),
    "request-acl": (
        "acl a req.hdr(x-a) -m found",
        "http-response set-header X-N 1 if a",
        "http-response set-header X-M 1 unless a",
    ),
    "mixed-acl": ("acl a req.hdr(x-a) -m found", "acl a status 200", "http-response set-header X-N 1 if a"),
    "after": ("http-response set-header X-R v", "http-after-response set-header X-After 1"),
    "after-deny": ("http-request deny", "http-after-response set-header X-After %[status]"),
    "after-redirect": ("http-request redirect location /x", "http-after-response del-header cache-control"),
    "after-return": ("http-request return status 200", "http-after-response add-header X-After 1"),
    "server-close": ("option http-server-close",),
    "close": ("option httpclose",),
}
DENY_STATUSES = (200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 422, 425, 429, 500, 501, 502, 503, 504)
REPLY_RULES: Rules = {
    **{f"deny-status-{s}": (f"http-request deny deny_status {s}",) for s in DENY_STATUSES},
    **{f"deny-return-{s}": (f"http-request deny status {s}",) for s in (200, 401, 403, 404, 503)},
    "deny-content": ("http-request deny status 403 content-type text/plain string no hdr X-W y",),
    "tarpit": ("http-request tarpit",),
    "tarpit-status": ("http-request tarpit deny_status 429",),
    "auth": ("http-request auth",),
    "auth-realm": ("http-request auth realm My\\ Realm",),
    "return": ("http-request return",),
    "return-204": ("http-request return status 204",),
    "return-string": ("http-request return status 200 content-type text/plain string hi",),
    "return-format": ('http-request return status 404 content-type "a/b" lf-string "%[path]" hdr X-P "%[method]"',),
    "return-headers": ("http-request return status 200 hdr X-1 a hdr X-2 %[src]",),
    "return-default": ("http-request return status 503 default-errorfiles",),
    "monitor-fail": ("http-request return status 200 content-type text/html string ok if { nbsrv ge 1 }",),
}
REDIRECTS = {
    **{f"location-{c}": f"location /new code {c}" for c in (301, 302, 303, 307, 308)},
    "location-format": "location http://h%[path]?x=%[query]",
    "location-empty": "location %[req.hdr(nope)]",
    "location-ignore-empty": "location %[req.hdr(nope)] ignore-empty",
    "location-drop": "location /new?a=b drop-query",
    "location-append": "location /new append-slash",
    "prefix": "prefix http://n",
    "prefix-slash": "prefix http://n/",
    "prefix-root": "prefix /",
    "prefix-path": "prefix /pre",
    "prefix-drop": "prefix http://n drop-query",
    "prefix-append": "prefix http://n append-slash",
    "prefix-drop-append": "prefix http://n drop-query append-slash",
    "scheme": "scheme https",
    "scheme-301": "scheme https code 301",
    "scheme-drop": "scheme https drop-query",
    "set-cookie": "location /n set-cookie SEEN=1",
    "set-cookie-name": "location /n set-cookie SEEN",
    "clear-cookie": "location /n clear-cookie SEEN=",
    "clear-cookie-value": "location /n clear-cookie SEEN=1",
    "prefix-cookie": "prefix /x code 301 set-cookie SEEN=1",
}
REDIRECT_RULES: Rules = {
    **group("redirect", REDIRECTS, "http-request redirect "),
    "redirect-old": ("redirect prefix /pre code 307",),
    "redirect-if": ("redirect location /n if { req.hdr(x-a) 1 }",),
}
GROUPS: dict[str, Rules] = {
    "request": REQUEST_RULES,
    "response": RESPONSE_RULES,
    "reply": REPLY_RULES,
    "redirect": REDIRECT_RULES,
}
# name -> options of the listener, options of its backend
FORWARD = {
    "plain": ("option forwardfor", ""),
    "header": ("option forwardfor header X-Client", ""),
    "except": ("option forwardfor except 127.0.0.0/8", ""),
    "except-host": ("option forwardfor except 127.0.0.1", ""),
    "except-other": ("option forwardfor except 10.0.0.0/8", ""),
    "if-none": ("option forwardfor if-none", ""),
    "header-if-none": ("option forwardfor header X-Cl if-none", ""),
    "except-header": ("option forwardfor except 127.0.0.1 header X-Cl", ""),
    "backend": ("", "option forwardfor header X-Be"),
    "both": ("option forwardfor", "option forwardfor"),
    "both-header": ("option forwardfor header X-Fe", "option forwardfor header X-Be"),
    "both-header-front": ("option forwardfor header X-Fe", "option forwardfor"),
    "both-except-back": ("option forwardfor", "option forwardfor except 127.0.0.0/8"),
    "both-except-front": ("option forwardfor except 127.0.0.0/8 header X-Fe", "option forwardfor header X-Be"),
    "both-if-none-front": ("option forwardfor if-none", "option forwardfor"),
    "both-if-none-back": ("option forwardfor", "option forwardfor if-none"),
    "both-if-none": ("option forwardfor if-none", "option forwardfor if-none"),
    "after-rules": ("option forwardfor", "http-request del-header X-Forwarded-For"),
    "before-add": ("option forwardfor", "http-request add-header X-Last 1"),
    "original": ("option originalto", ""),
    "original-both": ("option originalto header X-O\n    option forwardfor", "option originalto except 10.0.0.0/8"),
}
FORWARD_CONFIG = CONFIG + "".join(
    f"frontend fe-{name}\n    bind 127.0.0.1:{{port_{name.replace('-', '_')}}}\n"
    f"    {front}\n    default_backend {name}\n"
    f"backend {name}\n    {back}\n{SERVER}"
    for name, (front, back) in FORWARD.items()
)

# name -> request, where PATH is that of the row
COMMON = ("Host: h", "X-A: 1", "X-B: 2", "X-a: 11", "X-List: a, b,c")
REQUESTS = {
    "get": ("GET PATH?q=1 HTTP/1.1", *COMMON),
    "head": ("HEAD PATH?q=1 HTTP/1.1", *COMMON),
    "1.0": ("GET PATH HTTP/1.0",),
    "1.0 keep": ("GET PATH HTTP/1.0", "Connection: keep-alive"),
    "close": ("GET PATH HTTP/1.1", "Host: h", "Connection: close"),
    "post": ("POST PATH HTTP/1.1", "Host: h", "Content-Length: 3", "", "abc"),
    "slash": ("GET PATH/ HTTP/1.1", "Host: h:80"),
    "absolute": ("GET http://x:81PATH?q HTTP/1.1", "Host: x:81"),
    "fragments": ("GET PATH?a=/b?c HTTP/1.1", "Host: H"),
}
FORWARDED = {
    "absent": ("GET / HTTP/1.1", "Host: h", "X-A: 1"),
    "present": ("GET / HTTP/1.1", "Host: h", "X-Forwarded-For: 1.1.1.1", "X-Cl: 2", "X-Fe: 3", "X-Be: 4", "X-A: 1"),
    "twice": ("GET / HTTP/1.1", "Host: h", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2, 3.3.3.3", "X-O: 5"),
}
USUAL = ("get", "close", "1.0", "1.0 keep")
ASKED = {
    "request": ("get", "1.0 keep", "slash", "absolute"),
    "response": (*USUAL, "head", "post"),
    "reply": (*USUAL, "head", "post"),
    "redirect": (*USUAL, "head", "post", "slash", "absolute", "fragments"),
}


@dataclass(frozen=True)
class Row:
    """One request to a backend of a group."""

    group: str
    name: str
    request: str

    @property
    def raw(self) -> bytes:
        """The bytes to send."""
        lines = (FORWARDED if self.group == "forward" else REQUESTS)[self.request]
        text = "\r\n".join(lines) if "" in lines else "\r\n".join((*lines, "", ""))
        return text.replace("PATH", f"/{self.name}/x").encode()


ROWS = {name: [Row(name, rule, r) for rule in rules for r in ASKED[name]] for name, rules in GROUPS.items()}
FORWARD_ROWS = [Row("forward", name, r) for name in FORWARD for r in FORWARDED]


def respond(raw: bytes, _origin: Origin) -> bytes:
    """Answer with some headers to work on."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-R: 1\r\nX-r: 2\r\nX-List: a, b\r\nCache-Control: max-age=5\r\n\r\n"
    )
    return head if raw.startswith(b"HEAD ") else head + b"ok"


def config(rules: Rules) -> str:
    """Build the configuration of a group."""
    text = CONFIG + "frontend fe\n    bind 127.0.0.1:{port}\n"
    text += "".join(f"    use_backend {name} if {{ path_beg /{name}/ }}\n" for name in rules)
    for name, lines in rules.items():
        text += f"backend {name}\n" + "".join(f"    {line}\n" for line in lines) + SERVER
    return text


def observe(side: Side, row: Row) -> tuple[bytes, list[bytes], str]:
    """Return response, what the origin got, log line."""
    side.origin.clear()
    port = f"port_{row.name.replace('-', '_')}" if row.group == "forward" else "port"
    with Client(side.ports[port], timeout=2.0) as client:
        client.send(row.raw)
        answer = client.read_response(row.raw.split(b" ")[0].decode())
    line = mask(side.syslog.take(1, 1.0)[0], counts=True)
    return answer, list(side.origin.requests), line


def check(duel: Duel, row: Row) -> None:
    """Assert that both programs treat the row alike."""
    expected, found = duel.both(lambda side: observe(side, row))
    assert found == expected


def params(rows: list[Row]) -> pytest.MarkDecorator:
    """Parametrize over these rows."""
    return pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.name} {row.request}") for row in rows])


@pytest.fixture(scope="module")
def request_rules(module_duel: DuelFactory) -> Duel:
    """Both programs with the rules for requests."""
    return module_duel(config(GROUPS["request"]), respond)


@params(ROWS["request"])
def test_request(request_rules: Duel, row: Row) -> None:
    """Forwarded requests are HAProxy's."""
    check(request_rules, row)


@pytest.fixture(scope="module")
def response_rules(module_duel: DuelFactory) -> Duel:
    """Both programs with the rules for responses."""
    return module_duel(config(GROUPS["response"]), respond)


@params(ROWS["response"])
def test_response(response_rules: Duel, row: Row) -> None:
    """Responses are HAProxy's."""
    check(response_rules, row)


@pytest.fixture(scope="module")
def reply_rules(module_duel: DuelFactory) -> Duel:
    """Both programs with the rules that answer."""
    return module_duel(config(GROUPS["reply"]), respond)


@params(ROWS["reply"])
def test_reply(reply_rules: Duel, row: Row) -> None:
    """Generated replies are HAProxy's."""
    check(reply_rules, row)


@pytest.fixture(scope="module")
def redirect_rules(module_duel: DuelFactory) -> Duel:
    """Both programs with the rules that redirect."""
    return module_duel(config(GROUPS["redirect"]), respond)


@params(ROWS["redirect"])
def test_redirect(redirect_rules: Duel, row: Row) -> None:
    """Redirects are HAProxy's."""
    check(redirect_rules, row)


@pytest.fixture(scope="module")
def forward(module_duel: DuelFactory) -> Duel:
    """Both programs with option forwardfor in all its forms."""
    return module_duel(FORWARD_CONFIG, respond)


@params(FORWARD_ROWS)
def test_forwardfor(forward: Duel, row: Row) -> None:
    """Added headers are HAProxy's."""
    check(forward, row)
