"""tcp-request connection, session and content, tcp-response content, TCP that becomes HTTP: side by side.

A row names its listener, what the client sends (each piece after a short moment) and how it ends its side. What
comes back, what the origin got and the log line must be the same.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.syslog import mask

RULES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "accept": ("tcp-request content accept", "tcp-request content reject"),
    "reject": ("tcp-request content reject",),
    "connection-reject": ("tcp-request connection reject if { src 127.0.0.0/8 }",),
    "connection-accept": ("tcp-request connection accept", "tcp-request connection reject"),
    "session-reject": ("tcp-request session reject",),
    "http-or-reject": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content accept if HTTP",
        "tcp-request content reject",
    ),
    "method": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content reject if { method POST }",
        "tcp-request content accept",
    ),
    "path": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content accept if { path_beg /a }",
        "tcp-request content reject",
    ),
    "length": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content accept if { req.len ge 5 }",
        "tcp-request content reject",
    ),
    "wait-end": (
        "tcp-request inspect-delay 150ms",
        "tcp-request content reject if { src 10.0.0.0/8 }",
        "tcp-request content accept if WAIT_END",
    ),
    "payload": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content accept if { req.payload(0,3) -m str abc }",
        "tcp-request content reject",
    ),
    "not-payload": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content reject unless { req.payload(0,3) -m str abc }",
    ),
    "two-alternatives": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content accept if { req.payload(0,2) -m str ab } || { req.payload(0,4) -m str xyzw }",
        "tcp-request content reject",
    ),
    "switch-waiting": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content accept if { req.len ge 3 }",
        "use_backend other if { req.payload(0,3) -m str abc }",
    ),
}  # fmt: skip
RESPONSES: dict[str, tuple[str, ...]] = {
    "response-reject": ("tcp-response content reject",),
    "response-accept": ("tcp-response content accept", "tcp-response content reject"),
    "response-close": ("tcp-response content close if { res.len gt 0 }",),
    "response-payload": (
        "tcp-response inspect-delay 300ms",
        "tcp-response content reject if { res.payload(0,2) -m str no }",
    ),
    "backend-content": (
        "tcp-request inspect-delay 300ms",
        "tcp-request content reject if { req.payload(0,2) -m str no }",
    ),
}  # fmt: skip
HEAD = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 1s
    timeout client 1s
    timeout server 3s
backend other
    server o 127.0.0.1:{origin2}
"""
CONFIG = (
    HEAD
    + "".join(
        f"listen {name}\n    bind 127.0.0.1:{{p_{name.replace('-', '_')}}}\n"
        + "".join(f"    {rule}\n" for rule in rules)
        + "    server s 127.0.0.1:{origin1}\n"
        for name, rules in RULES.items()
    )
    + "".join(
        f"frontend {name}\n    bind 127.0.0.1:{{p_{name.replace('-', '_')}}}\n    default_backend b-{name}\n"
        f"backend b-{name}\n" + "".join(f"    {rule}\n" for rule in rules) + "    server s 127.0.0.1:{origin1}\n"
        for name, rules in RESPONSES.items()
    )
)


@dataclass(frozen=True)
class Row:
    """What a client does; an empty piece is a pause."""

    listener: str
    pieces: tuple[bytes, ...]
    ends: bool = False

    @property
    def id(self) -> str:
        """Shown by pytest."""
        return f"{self.listener} {b'|'.join(self.pieces).decode()!r}{' end' if self.ends else ''}"


GET, POST = b"GET /abc HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
ROWS = [
    *(Row(name, (b"abc\n",)) for name in RULES),
    *(Row(name, (GET,)) for name in RULES),
    *(Row(name, (POST,)) for name in ("method", "path", "http-or-reject")),
    *(Row(name, (b"ab", b"cdefgh\n")) for name in ("payload", "not-payload", "length", "switch-waiting")),
    *(Row(name, (b"xy", b"zw\n")) for name in ("payload", "two-alternatives", "not-payload", "wait-end")),
    *(Row(name, (b"GET /a HT", b"TP/1.1\r\nHost: a\r\n\r\n")) for name in ("http-or-reject", "path", "method")),
    *(Row(name, (b"a",), ends=True) for name in ("length", "payload", "http-or-reject", "wait-end")),
    *(Row(name, ()) for name in ("length", "wait-end", "session-reject", "connection-reject", "reject")),
    *(Row(name, (b"abc\n",)) for name in RESPONSES),
    *(Row(name, (b"no\n",)) for name in RESPONSES),
    *(Row(name, (b"n", b"o\n")) for name in ("response-payload", "backend-content")),
]


def run(side: Side, row: Row) -> tuple[bytes, list[str]]:
    """What the client receives, and the log lines."""
    port = side.ports[f"p_{row.listener.replace('-', '_')}"]
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(3)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got = b""
        try:
            for number, piece in enumerate(row.pieces):
                if number:
                    time.sleep(0.05)
                client.sendall(piece)
            if row.ends:
                client.shutdown(socket.SHUT_WR)
            while data := client.recv(4096):
                got += data
                if not row.ends and got.endswith(b"\n"):
                    with suppress(OSError):
                        client.shutdown(socket.SHUT_WR)
        except ConnectionError:
            got += b"<reset>"
        except TimeoutError:
            got += b"<timeout>"
    if row.listener.endswith("-reject") and "response" not in row.listener:
        # Whether the client's bytes were read before the close is chance, in HAProxy too.
        got = got.removesuffix(b"<reset>")
    quiet = row.listener in ("connection-reject", "session-reject")
    lines = [] if quiet else [mask(line, counts=True) for line in side.syslog.take(1)]
    return got, lines


@pytest.fixture(scope="module")
def duel(module_duel: DuelFactory) -> Duel:
    """One pair of programs for all rows."""
    return module_duel(CONFIG, lambda raw, origin: origin.name.encode() + b":" + raw[:9] + b"\n", raw=True)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_tcp_rules(duel: Duel, row: Row) -> None:
    """Same bytes back, same log line."""
    expected, found = duel.both(lambda side: run(side, row))
    assert found == expected
