"""Replies that HAProxy 2.6 does not know, and what is refused or told at load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.wire import Client
from trilb.base.diagnostic import Severity
from trilb.config import reader
from trilb.config.conditions import Facts
from trilb.config.model import Source as Body
from trilb.config.sources import Source
from trilb.http.reasons import reason_of
from trilb.vocabulary import language

CONFIG = """
defaults
    mode http
    timeout client 1s
    timeout server 1s
    timeout connect 1s
frontend fe
    bind 127.0.0.1:{port}
    http-request redirect location /new keep-query if { path /keep }
    http-request redirect location /new?a=b keep-query if { path /more }
    http-request redirect location /n set-cookie-fmt A=%[path] if { path /cookie }
    http-request silent-drop rst-ttl 5 if { path /drop }
    http-request silent-drop if { path /vanish }
    http-request deny deny_status 414 if { path /414 }
    http-request deny deny_status 431 if { path /431 }
"""
ANSWERS = {
    "/keep": b"location: /new\r\n",
    "/keep?x=1&y": b"location: /new?x=1&y\r\n",
    "/more": b"location: /new?a=b\r\n",
    "/more?x=1": b"location: /new?a=b&x=1\r\n",
    "/cookie": b"set-cookie: A=/cookie; path=/;\r\n",
    "/414": b"HTTP/1.1 414 ",
    "/431": b"HTTP/1.1 431 ",
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a running trilb."""
    number = free_port()
    with Program.trilb(CONFIG, port=number):
        yield number


@pytest.mark.parametrize("target", ANSWERS)
def test_newer(port: int, target: str) -> None:
    """Options of redirect and statuses that came after 2.6."""
    with Client(port, timeout=2.0) as client:
        client.send(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert ANSWERS[target] in client.read_response()


def test_drop_with_ttl(port: int) -> None:
    """A reset that dies on its way still arrives when there is no way: on loopback the client sees it."""
    with Client(port, timeout=2.0) as client:
        client.send(b"GET /drop HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.read_response() == b""


HEAD = """http-errors pages
 errorfile 403 {dir}/page
defaults
 mode http
 timeout client 1s
listen l
 bind :8000
 """
REFUSED = {
    "http-request return status 600": "600",
    "http-request return string x": "content type must be defined",
    "http-request return lf-string x": "content type must be defined with a log-format",
    "http-request return content-type a/b string x file {dir}/text": "'string' already defined",
    "http-request return errorfile {dir}/page default-errorfiles": "'errorfile' already defined",
    "http-request return status 204 content-type a/b string x": "no body expected for 204",
    "http-request return status 201 default-errorfiles": "201",
    "http-request return errorfiles nope": "unknown http-errors section 'nope'",
    "http-request return file {dir}/absent": "absent",
    "http-request return content-type a/b file {dir}/huge": "exceeds the buffer size",
    "http-request return errorfile {dir}/huge": "larger than a buffer",
    "http-request return errorfile {dir}/chunked": "must not be chunked",
    "http-request return errorfile {dir}/wrong": "content-length 9, its body has 2 bytes",
    "http-request return errorfile {dir}/early": "no final answer",
    "http-request return errorfile {dir}/text": "must hold a whole answer",
    "http-request return errorfile {dir}/field": "no header field",
    "http-request return hdr x-a": "'hdr' expects <name> and <value>",
    "http-request return deny_status 403": "unknown argument 'deny_status'",
    "http-request deny deny_status 201": "201 not handled",
    "http-request deny stauts 403": "did you mean 'status'",
    "http-request auth realm a b": "unexpected argument 'b'",
    "http-request silent-drop rst-ttl 0": "rst-ttl",
    "http-request redirect location /x code 304": "301, 302, 303, 307 or 308",
    "http-request redirect code 301": "'location', 'prefix' or 'scheme'",
    "http-response redirect prefix /x": "a response only supports 'redirect location'",
    "http-error content-type a/b string x": "expects a status",
    "http-error status 299": "299 not handled",
    "errorfile 299 {dir}/page": "299 not handled",
    "errorfiles nope": "unknown http-errors section 'nope'",
    "errorfiles pages 299": "299 not handled",
    "errorloc 403": "expects more arguments",
    "monitor fail": "'if' or 'unless'",
    "option http-restrict-req-hdr-names": "'preserve', 'delete' or 'reject'",
}
TOLD = {
    "http-request return content-type a/b": "content-type 'a/b' ignored",
    "http-request return errorfile {dir}/page hdr a b": "hdr parameters ignored",
    "http-request return hdr content-length 3": "always ignored",
    "http-request return status 404 errorfiles pages": "404 is not declared",
    "errorfiles pages 404": "404 is not declared",
    "errorfile 403 {dir}/page more": "ignores 'more'",
}
FILES = {
    "page": b"HTTP/1.1 403 No\r\nX: 1\r\n\r\nno",
    "text": b"text\n",
    "huge": b"x" * 20000,
    "chunked": b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "wrong": b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nno",
    "early": b"HTTP/1.1 100 Continue\r\n\r\n",
    "field": b"HTTP/1.1 403 No\r\nno field\r\n\r\n",
}


def said(tmp_path: Path, line: str) -> dict[Severity, list[str]]:
    """What reading this line in a listen section says, by weight."""
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    text = (HEAD + line + "\n").replace("{dir}", str(tmp_path))
    _, report = reader.read([Source("f.cfg", text)], language(), Facts("3.5.0", {}))
    return {weight: [d.text for d in report.entries if d.severity is weight] for weight in Severity}


@pytest.mark.parametrize("line", REFUSED)
def test_refused(tmp_path: Path, line: str) -> None:
    """What makes no sense is refused, and it is said why."""
    alerts = said(tmp_path, line)[Severity.ALERT]
    assert len(alerts) == 1
    assert REFUSED[line] in alerts[0]


@pytest.mark.parametrize("line", TOLD)
def test_told(tmp_path: Path, line: str) -> None:
    """What has no effect is told, and accepted."""
    entries = said(tmp_path, line)
    assert not entries[Severity.ALERT]
    assert any(TOLD[line] in text for text in entries[Severity.WARNING])


def test_error_pages_in_order(tmp_path: Path) -> None:
    """Later lines about a status win, `default-errorfiles` takes back what there was."""
    (tmp_path / "page").write_bytes(FILES["page"])
    lines = (
        "http-errors pages",
        "errorfile 403 {dir}/page",
        "errorfile 404 {dir}/page",
        "defaults",
        "mode http",
        "errorloc 403 /x",
        "errorloc 500 /y",
        "http-error status 404 hdr a b",
        "backend b",
        "errorfiles pages 403",
        "http-error status 500 default-errorfiles",
        "backend c",
    )
    text = "\n".join(lines).replace("{dir}", str(tmp_path))
    config, report = reader.read([Source("f.cfg", text + "\n")], language(), Facts("3.5.0", {}))
    assert not [d for d in report.entries if d.severity is Severity.ALERT]
    b, c = config.proxies
    assert b.errorfiles[403].page == FILES["page"]
    assert b.errorfiles[404].source is Body.NOTHING
    assert 500 not in b.errorfiles
    assert b"Location: /x\r\n" in c.errorfiles[403].page
    assert b"Location: /y\r\n" in c.errorfiles[500].page


@pytest.mark.parametrize(
    ("status", "text"), [(418, b"I'm a teapot"), (299, b"Success"), (399, b"Redirection"), (599, b"Server Error")]
)
def test_reason(status: int, text: bytes) -> None:
    """A status without a phrase has that of its class."""
    assert reason_of(status) == text
