"""The statistics page and the runtime socket, as a browser and an operator use them."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.wire import exchange, parse_response

CONFIG = """
global
    stats socket {socket} mode 600 level {level}
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
listen web
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two}
listen stats
    bind 127.0.0.1:{stats}
    stats uri /stats
    stats admin if LOCALHOST
listen closed
    bind 127.0.0.1:{closed}
    stats uri /stats
    stats auth me:secret
    stats hide-version
listen other
    bind 127.0.0.1:{scoped}
    stats uri /stats
    stats scope .
    stats admin if TRUE
    server three 127.0.0.1:{two}
"""


@dataclass
class Served:
    """A running trilb with its ports."""

    port: int
    stats: int
    closed: int
    scoped: int
    socket: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two servers behind trilb, and its pages."""
    path = str(tmp_path_factory.mktemp("s") / "s.sock")
    ports = {"port": free_port(), "stats": free_port(), "closed": free_port(), "scoped": free_port()}
    with Origin(name="one") as one, Origin(name="two") as two:
        text = CONFIG.format(socket=path, level="admin", one=one.port, two=two.port, **ports)
        with Program.trilb(text, **ports):
            yield Served(socket=path, **ports)


def get(port: int, target: str, *headers: str) -> tuple[int, dict[str, str], str]:
    lines = [f"GET {target} HTTP/1.1", "Host: h", *headers, "", ""]
    status, fields, body = parse_response(exchange(port, "\r\n".join(lines).encode()))
    return status, dict(fields), body.decode()


def post(port: int, body: str, *headers: str) -> tuple[int, dict[str, str]]:
    lines = ["POST /stats HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers, "", body]
    status, fields, _ = parse_response(exchange(port, "\r\n".join(lines).encode()))
    return status, dict(fields)


def status_of(served: Served, server: str) -> str:
    _, _, text = get(served.stats, "/stats;csv")
    header, *rows = text.splitlines()
    names = header.removeprefix("# ").split(",")
    row = next(row.split(",") for row in rows if row.startswith(f"web,{server},"))
    return row[names.index("status")]


def test_the_page_lists_proxies_and_servers(served: Served) -> None:
    status, fields, body = get(served.stats, "/stats")
    assert status == 200
    assert fields["content-type"] == "text/html; charset=utf-8"
    for word in (">web</a></h2>", 'value="one"', ">Backend<", "</span> no check</span>"):
        assert word in body


def test_a_server_is_drained_and_brought_back_by_the_form(served: Served) -> None:
    assert post(served.stats, "b=web&s=two&action=maint") == (
        303,
        {
            "cache-control": "no-cache",
            "content-type": "text/plain",
            "content-length": "0",
            "location": "/stats;st=DONE",
        },
    )
    assert status_of(served, "two") == "MAINT"
    for _ in range(4):
        assert b"x-server: one" in exchange(served.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert post(served.stats, "b=web&s=two&action=ready")[1]["location"] == "/stats;st=DONE"
    assert status_of(served, "two") == "no check"


def test_who_sees_a_part_changes_a_part(served: Served) -> None:
    status, fields = post(served.scoped, "b=web&s=two&action=maint")
    assert (status, fields["location"]) == (303, "/stats;st=DENY")
    assert status_of(served, "two") == "no check"
    assert post(served.scoped, "b=other&s=three&action=ready")[1]["location"] == "/stats;st=DONE"


def test_without_its_condition_nothing_changes(served: Served) -> None:
    right = base64.b64encode(b"me:secret").decode()
    status, fields = post(served.closed, "b=web&s=two&action=maint", f"Authorization: Basic {right}")
    assert (status, fields["location"]) == (303, "/stats;st=DENY")
    assert status_of(served, "two") == "no check"
    _, _, body = get(served.closed, "/stats", f"Authorization: Basic {right}")
    assert "<form method=post" not in body
    assert "type=checkbox name=s" not in body


def test_a_form_that_stops_halfway_changes_nothing(served: Served) -> None:
    head = b"POST /stats HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\nb=web&s=two&action=maint"
    raw = exchange(served.stats, head, half_close=True)
    assert parse_response(raw)[0] == 400
    assert status_of(served, "two") == "no check"


def test_a_form_in_chunks(served: Served) -> None:
    body = b"18\r\nb=web&s=two&action=drain\r\n0\r\n\r\n"
    head = b"POST /stats HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"location: /stats;st=DONE" in exchange(served.stats, head + body)
    assert status_of(served, "two") == "DRAIN"
    assert post(served.stats, "b=web&s=two&action=ready")[1]["location"] == "/stats;st=DONE"


def test_what_a_check_said_is_text(served: Served) -> None:
    from trilb.admin import page_rows
    from trilb.admin.columns import COLUMNS, POSITION
    from trilb.admin.views import Row

    row = Row.__new__(Row)
    row.kind = "S"
    row.values = [None] * len(COLUMNS)
    said = {"check_status": "L7STS", "last_chk": "<script>'\"&", "svname": "a", "status": "DOWN", "addr": "<b>"}
    more: dict[str, str | int] = {**said, "iid": 2, "sid": 1, "check_code": 500, "cookie": '"><i>', "tracked": "<u>/s"}
    for name, value in more.items():
        row.values[POSITION[name]] = value
    text = page_rows.draw(row, None, admin=True, legends=True)
    assert "<b>L7STS/500</b>" in text
    assert "&lt;script&gt;&#x27;&quot;&amp;" in text
    assert not any(tag in text for tag in ("<script", "<u>", "<b><", '"><i>'))


def test_another_sites_form_changes_nothing(served: Served) -> None:
    status, fields = post(served.stats, "b=web&s=two&action=maint", "Origin: http://evil.example")
    assert (status, fields["location"]) == (303, "/stats;st=DENY")
    assert status_of(served, "two") == "no check"


def test_a_password_is_asked_for(served: Served) -> None:
    assert get(served.closed, "/stats")[0] == 401
    wrong = base64.b64encode(b"me:wrong").decode()
    assert get(served.closed, "/stats", f"Authorization: Basic {wrong}")[0] == 401
    right = base64.b64encode(b"me:secret").decode()
    status, _, body = get(served.closed, "/stats", f"Authorization: Basic {right}")
    assert status == 200
    assert "trilb 0." not in body


def ask(path: str, text: str) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(path)
        sock.sendall(text.encode() + b"\n")
        out = b""
        while data := sock.recv(65536):
            out += data
        return out.decode()


def test_the_runtime_socket(served: Served) -> None:
    assert Path(served.socket).stat().st_mode & 0o777 == 0o600
    assert "Name: HAProxy\n" in ask(served.socket, "show info")
    assert ask(served.socket, "disable server web/one; show stat").startswith("\n# pxname,svname,")
    assert status_of(served, "one") == "MAINT"
    assert ask(served.socket, "enable server web/one") == "\n"
    assert ask(served.socket, "enable server web/nope") == "No such server.\n\n"
    assert ask(served.socket, "bogus").startswith("Unknown command, but maybe one of the following ones")
