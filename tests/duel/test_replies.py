"""What both programs say by themselves, byte for byte: replies of rules, error pages and where they come from.

A row is a listener's rule, or the lines of one, and a request; the answer and the log line must be the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.syslog import mask
from tests.support.wire import Client

FILES: dict[str, bytes] = {
    "crlf.http": b"HTTP/1.1 403 No Way\r\nX-Type: crlf\r\nContent-Type: text/html\r\n\r\n<b>no</b>\r\n",
    "lf.http": b"HTTP/1.1 400 Bad\nX-Type: lf\nCache-Control: no-cache\nContent-Type: text/html\n\nbad\nline\n",
    "old.http": b"HTTP/1.0 403 Forbidden\r\nConnection: close\r\nX-Type: old\r\n\r\nold",
    "closed.http": b"HTTP/1.1 503 Sorry\r\nConnection: Close\r\nX-A: 1\r\nX-B:2\r\nx-a:  3  \r\n\r\nlater",
    "kept.http": b"HTTP/1.1 500 Oops\r\nConnection: keep-alive\r\nX-Type: kept\r\n\r\nkept",
    "length.http": b"HTTP/1.1 403 F\r\nContent-Length: 4\r\nX-Type: length\r\n\r\nbody",
    "reason.http": b"HTTP/1.1 403\r\nX-Type: none\r\n\r\n",
    "other.http": b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n",
    "oldlength.http": b"HTTP/1.0 403 F\r\nContent-Length: 4\r\nX-Type: oldlength\r\n\r\nbody",
    "closing.http": b"HTTP/1.1 403 F\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
    "nothing.http": b"HTTP/1.1 204 No Content\r\nX-Type: nothing\r\n\r\n",
    "empty": b"",
    "text": b'plain "text"  %[path]\nsecond %% line\n',
    "format": b'path "%[path]"  and\n%[src] %% end\n',
    "binary": bytes(range(256)),
    "large": b"0123456789abcdef" * 960,
}
REPLIES: dict[str, str] = {
    "return": "return",
    "status": "return status 418",
    "status-299": "return status 299",
    "status-503": "return status 503",
    "204": "return status 204 hdr x-a b",
    "304": "return status 304 hdr x-a b",
    "205": "return status 205 content-type text/plain string body",
    "string": 'return content-type text/plain string "a  b %[path] %% c"',
    "lf-string": 'return content-type text/plain lf-string "a  b %[path] %% c"',
    "lf-empty": "return content-type text/plain lf-string %[req.hdr(nope)]",
    "headers": 'return status 200 hdr X-One "%[path]  x" hdr x-two "a  b" hdr X-One 3 content-type a/b string x',
    "hdr-empty": "return hdr x-empty %[req.hdr(nope)]",
    "hdr-framing": "return hdr content-length 9 hdr Content-Type a/b hdr transfer-encoding chunked hdr x-a y",
    "hdr-close": "return hdr connection close",
    "hdr-close-case": "return hdr Connection Close",
    "hdr-kept": "return hdr connection keep-alive",
    "type-unused": "return content-type text/plain",
    "file": "return content-type text/plain file {files}/text",
    "file-binary": "return content-type a/b file {files}/binary",
    "file-large": "return content-type a/b file {files}/large",
    "file-empty": "return content-type a/b file {files}/empty hdr x-a b",
    "lf-file": "return content-type text/plain lf-file {files}/format hdr x-p %[path]",
    "redirecting": "return status 302 hdr location /x",
    "errorfile": "return errorfile {files}/crlf.http",
    "errorfile-status": "return status 200 errorfile {files}/crlf.http",
    "errorfile-lf": "return errorfile {files}/lf.http",
    "errorfile-old": "return errorfile {files}/old.http",
    "errorfile-closed": "return errorfile {files}/closed.http",
    "errorfile-kept": "return errorfile {files}/kept.http",
    "errorfile-length": "return errorfile {files}/length.http",
    "errorfile-oldlength": "return errorfile {files}/oldlength.http",
    "errorfile-closing": "return errorfile {files}/closing.http",
    "errorfile-reason": "return errorfile {files}/reason.http",
    "errorfile-other": "return errorfile {files}/other.http",
    "errorfile-nothing": "return errorfile {files}/nothing.http",
    "errorfile-silent": "return errorfile {files}/empty",
    "errorfile-hdr": "return errorfile {files}/crlf.http hdr x-a b",
    "section": "return status 403 errorfiles pages",
    "section-missing": "return status 404 errorfiles pages",
    "section-silent": "return status 500 errorfiles pages",
    "section-default": "return status 200 errorfiles pages",
    "default": "return status 503 default-errorfiles",
    "default-200": "return default-errorfiles",
    "deny": "deny",
    "deny-status": "deny status 403",
    "deny-deny-status": "deny deny_status 429",
    "deny-string": "deny content-type text/plain string no",
    "deny-string-status": 'deny deny_status 404 content-type text/plain lf-string "no %[path]" hdr x-a b',
    "deny-hdr": "deny hdr x-a b",
    "deny-errorfile": "deny errorfile {files}/old.http",
    "deny-silent": "deny errorfile {files}/empty",
    "deny-section": "deny deny_status 400 errorfiles pages",
    "deny-default": "deny deny_status 503 default-errorfiles",
    "tarpit": "tarpit",
    "tarpit-string": "tarpit status 200 content-type text/plain string slow",
    "tarpit-errorfile": "tarpit deny_status 403 errorfile {files}/crlf.http",
    "tarpit-silent": "tarpit errorfile {files}/empty",
    "auth": "auth",
    "auth-realm": 'auth realm "a b"',
    "auth-format": 'auth realm "%[path]"',
    "auth-quote": "auth realm 'a\"b\\c'",
    "reject": "reject",
    "redirect-cookie": "redirect location /x set-cookie A=1 code 303",
    "redirect-percent": "redirect location /x%[path] code 301",
    "redirect-nothing": "redirect location %[req.hdr(nope)] ignore-empty",
    "redirect-lines": "redirect location /x%[str(\"a%0d%0ab\"),url_dec]",
    "redirect-scheme-format": "redirect scheme %[str(https)]",
    "redirect-prefix-format": "redirect prefix %[req.hdr(host)]/pre",
}  # fmt: skip
RESPONSES: dict[str, str] = {
    "res-return": 'return status 200 content-type text/plain lf-string "was %[capture.req.uri]" hdr x-s %[src]',
    "res-return-file": "return content-type a/b file {files}/text",
    "res-errorfile": "return errorfile {files}/crlf.http",
    "res-silent": "return errorfile {files}/empty",
    "res-deny": "deny",
    "res-deny-status": "deny deny_status 403",
    "res-deny-string": "deny status 500 content-type text/plain string no",
    "res-deny-section": "deny deny_status 403 errorfiles pages",
    "res-default": "return status 503 default-errorfiles",
    "res-redirect": "redirect location /x%[status] code 303",
}
# What a listener says about its pages; a path names the status that it denies with.
PAGES: dict[str, tuple[str, ...]] = {
    "none": (),
    "length": ("errorfile 400 {files}/length.http", "errorfile 403 {files}/oldlength.http"),
    "files": ("errorfile 403 {files}/crlf.http", "errorfile 400 {files}/lf.http", "errorfile 503 {files}/closed.http"),
    "old": ("errorfile 403 {files}/old.http", "errorfile 400 {files}/old.http"),
    "silent": ("errorfile 403 {files}/empty", "errorfile 400 /dev/null", "errorfile 503 /dev/null"),
    "loc": ("errorloc 403 /f", "errorloc302 404 http://x/?%[path]", "errorloc303 400 /b", "errorloc 503 /s"),
    "section": ("errorfiles pages",),
    "some": ("errorfile 403 {files}/old.http", "errorfiles pages 400"),
    "overridden": ("errorfiles pages", "errorfile 403 {files}/old.http"),
    "overriding": ("errorfile 403 {files}/old.http", "errorfile 500 {files}/kept.http", "errorfiles pages"),
    "dynamic": (
        'http-error status 403 content-type text/plain lf-string "no %[path]" hdr x-a "%[method]"',
        "http-error status 400 content-type text/plain string bad",
        "http-error status 503",
        "http-error status 404 content-type text/plain file {files}/text",
        "http-error status 500 errorfile {files}/kept.http",
        "http-error status 401 content-type text/plain string who? hdr www-authenticate Digest",
    ),
    "reset": (
        "errorfile 403 {files}/old.http",
        "http-error status 403 default-errorfiles",
        "http-error status 400 errorfiles pages",
        "errorfile 404 {files}/crlf.http",
        "http-error status 404 errorfiles pages",
    ),
    "dynamic-then-file": ("http-error status 403 hdr a b", "errorfile 403 {files}/crlf.http"),
    "file-then-dynamic": ("errorfile 400 {files}/lf.http", "http-error status 400 content-type a/b string dynamic"),
}
STATUSES = ("403", "400", "404", "500", "503", "401")
PATHS = (*(f"/{s}" for s in STATUSES), "/none", "/back/404", "/back/403", "/refusing", "/again")
HEAD = """
global
    log 127.0.0.1:{syslog} local0
http-errors pages
    errorfile 400 {files}/lf.http
    errorfile 403 {files}/length.http
    errorfile 500 {files}/empty
    errorfile 200 {files}/other.http
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 2s
    timeout server 2s
    timeout tarpit 20ms
"""


def _field(name: str) -> str:
    return "p_" + name.replace("-", "_")


CONFIG = (
    HEAD
    + "frontend fe\n    bind 127.0.0.1:{port}\n"
    + "".join(f"    http-request {rule} if {{ path /{name} }}\n" for name, rule in REPLIES.items())
    + "    default_backend be\nbackend be\n    server s 127.0.0.1:{origin1}\n"
    + "".join(f"    http-response {rule} if {{ capture.req.uri /{name} }}\n" for name, rule in RESPONSES.items())
    + "".join(
        f"frontend {name}\n    bind 127.0.0.1:{{{_field(name)}}}\n"
        + "".join(f"    {line}\n" for line in lines)
        + "".join(f"    http-request deny deny_status {s} if {{ path /{s} }}\n" for s in STATUSES if s != "401")
        + "    http-request auth if { path /401 }\n    use_backend back if { path_beg /back }\n"
        + "    use_backend refusing if { path /refusing }\n    use_backend again if { path_beg /again }\n"
        for name, lines in PAGES.items()
    )
    + "backend back\n    errorfile 404 {files}/kept.http\n    http-request deny deny_status 404 if { path /back/404 }\n"
    + "    http-request deny if { path /back/403 }\n"
    + "backend again\n    errorfile 403 {files}/kept.http\n    http-error status 403 default-errorfiles\n"
    + "    http-request deny\n"
    + "backend refusing\n    retries 0\n    server s 127.0.0.1:{dead}\n"
    + "frontend monitored\n    bind 127.0.0.1:{port2}\n    monitor-uri /alive\n    errorfile 200 {files}/nothing.http\n"
    + "    monitor fail if { hdr(x-fail) yes }\n    monitor fail unless { hdr(host) h }\n    http-request deny\n"
    + "frontend proxying\n    bind 127.0.0.1:{port3}\n    option http-use-proxy-header\n    http-request auth\n"
)
REQUESTS = {
    "get": b"GET PATH HTTP/1.1\r\nHost: h\r\n\r\n",
    "head": b"HEAD PATH HTTP/1.1\r\nHost: h\r\n\r\n",
    "1.0 keep": b"GET PATH HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "close": b"GET PATH HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "post": b"POST PATH HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
}
BAD = {
    "garbage": b"nonsense\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost h\r\n\r\n",
}


@pytest.fixture(scope="module")
def replies(module_duel: DuelFactory, tmp_path_factory: pytest.TempPathFactory) -> Duel:
    """Both programs with every row."""
    files = tmp_path_factory.mktemp("files")
    for name, data in FILES.items():
        Path(files, name).write_bytes(data)
    return module_duel(CONFIG, files=str(files))


def observe(side: Side, port: str, raw: bytes, *, logged: bool = True) -> tuple[bytes, str]:
    """The answer and the log line."""
    method = raw.split(b" ")[0].decode()
    side.syslog.pending()
    with Client(side.ports[port], timeout=2.0) as client:
        client.send(raw)
        answer = client.read_response(method)
    line = mask(side.syslog.take(1, 1.0)[0], counts=True) if logged else ""
    return answer, line


@pytest.mark.parametrize("request_name", ["get", "head", "1.0 keep", "post"])
@pytest.mark.parametrize("name", [*REPLIES, *RESPONSES])
def test_reply(replies: Duel, name: str, request_name: str) -> None:
    """A rule's answer is HAProxy's."""
    raw = REQUESTS[request_name].replace(b"PATH", f"/{name}".encode())
    expected, found = replies.both(lambda side: observe(side, "port", raw))
    assert found == expected


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", PAGES)
def test_page(replies: Duel, name: str, path: str) -> None:
    """An error page comes from where HAProxy takes it."""
    raw = REQUESTS["get"].replace(b"PATH", path.encode())
    expected, found = replies.both(lambda side: observe(side, _field(name), raw))
    assert found == expected


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["none", "silent", "dynamic", "file-then-dynamic"])
def test_bad_request(replies: Duel, name: str, bad: str) -> None:
    """What is no request gets a built-in page, whatever is computed for others; or nothing."""
    expected, found = replies.both(lambda side: observe(side, _field(name), BAD[bad]))
    assert found == expected


@pytest.mark.parametrize(("name", "file"), [("files", "lf.http"), ("old", "old.http"), ("section", "lf.http")])
def test_bad_request_file(replies: Duel, name: str, file: str) -> None:
    """An error file for 400 is sent as it is, as the manual has it; HAProxy 2.6 sends its own page all the same."""
    answer, _ = observe(replies.trilb, _field(name), BAD["garbage"])
    assert answer == FILES[file]


@pytest.mark.parametrize("raw", [
    b"GET /alive HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /alive HTTP/1.1\r\nHost: h\r\nX-Fail: yes\r\n\r\n",
    b"GET /alive HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /alive?x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /alive HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"GET http://h/alive HTTP/1.0\r\nHost: h\r\n\r\n",
])  # fmt: skip
def test_monitor(replies: Duel, raw: bytes) -> None:
    """Monitors are told what HAProxy tells them."""
    expected, found = replies.both(lambda side: observe(side, "port2", raw, logged=False))
    assert found == expected


@pytest.mark.parametrize("raw", [
    b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
])  # fmt: skip
def test_proxied(replies: Duel, raw: bytes) -> None:
    """A proxied request is asked by 407."""
    expected, found = replies.both(lambda side: observe(side, "port3", raw))
    assert found == expected
