"""Streams that are ended from outside: the same bytes to the client, the same letters in the log as HAProxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.origin import Held, Origin
from tests.support.ports import free_port
from tests.support.runtime_socket import command
from tests.support.syslog import mask

CONFIG = """
global
    stats socket {dir}/socket level admin
    log 127.0.0.1:{syslog} local0
defaults
    log global
    mode http
    option httplog
    timeout connect 8s
    timeout client 8s
    timeout server 8s
listen http
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{origin}
listen tcp
    mode tcp
    option tcplog
    bind 127.0.0.1:{port_tcp}
    server s 127.0.0.1:{origin}
listen full
    bind 127.0.0.1:{port_full}
    server s 127.0.0.1:{dead_full}
"""
HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    b"/hang": Held(b""),
    b"/part": Held(HEAD + b"content-length: 100\r\n\r\nabcdef"),
    b"/close": Held(HEAD + b"\r\nabcdef"),
    b"/chunk": Held(HEAD + b"transfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n"),
    b"/upgrade": b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
}


def respond(request: bytes, origin: Origin) -> bytes:
    return ANSWERS[request.split(b" ")[1]]


@contextmanager
def full_port() -> Iterator[int]:
    """A port where connections begin and never stand: nobody takes those that are there already."""
    port = free_port()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        sock.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for each in waiting:
                each.close()


@pytest.fixture(scope="module")
def programs(module_duel: DuelFactory) -> Iterator[Duel]:
    with full_port() as port:
        yield module_duel(CONFIG, respond, dead_full=str(port))


GET = "GET /%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
UPGRADE = "GET /upgrade HTTP/1.1\r\nHost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello"
POST = "POST /hang HTTP/1.1\r\nHost: a\r\ncontent-length: 100\r\n\r\nabc"
CASES = {
    "waiting": ("http", GET % "hang", b""),
    "in a body": ("http", GET % "part", b"abcdef"),
    "in a body without length": ("http", GET % "close", b"abcdef"),
    "in chunks": ("http", GET % "chunk", b"abcdef"),
    "upgraded": ("http", UPGRADE, b"hello"),
    "in a request": ("http", POST, b""),
    "tcp": ("tcp", GET % "part", b"abcdef"),
    "connecting": ("full", GET % "hang", b""),
}


@pytest.mark.parametrize("name", CASES)
def test_ended(programs: Duel, name: str) -> None:
    proxy, request, mark = CASES[name]

    def act(side: Side) -> tuple[bytes, str]:
        port = side.ports["port" if proxy == "http" else f"port_{proxy}"]
        path = side.program.dir / "socket"
        got = b""
        with socket.create_connection(("127.0.0.1", port), 6) as sock:
            sock.sendall(request.encode())
            while mark not in got or not mark:
                if mark:
                    got += sock.recv(65536)
                elif f"{proxy},s,0,0,1," in command(path, "show stat"):
                    break
            if proxy == "http" and not mark:
                side.origin.wait_bytes(b"abc") if "POST" in request else side.origin.wait(1)
            assert command(path, f"shutdown sessions server {proxy}/s") == ""
            # After its 502 HAProxy keeps the connection for another request, whatever was asked.
            while not got.endswith(b"</html>\n") and (data := sock.recv(65536)):
                got += data
        side.origin.clear()
        return got, mask(side.syslog.take(1)[0], counts=True)

    programs.same(act)
