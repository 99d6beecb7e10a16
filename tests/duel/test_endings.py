"""How a TCP client without a server is sent away: with an end of the stream, never with a reset."""

from __future__ import annotations

import socket
import time

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Side

CONFIG = """
defaults
    mode tcp
    retries 0
    timeout connect 1s
    timeout client 2s
    timeout server 2s
listen none
    bind 127.0.0.1:{port}
listen dead
    bind 127.0.0.1:{port_dead}
    server s 127.0.0.1:{dead}
listen refused
    bind 127.0.0.1:{port_refused}
    tcp-request inspect-delay 100ms
    tcp-request content reject if WAIT_END
    server s 127.0.0.1:{origin}
"""


def ending(port: int, sent: bytes) -> str:
    """Send, wait, and tell how the other side closed."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        try:
            sock.sendall(sent)
            time.sleep(0.02)
            return "data" if sock.recv(1) else "end"
        except ConnectionError as error:
            return type(error).__name__


@pytest.mark.parametrize("sent", [b"", b"x", b"x" * 5000], ids=["nothing", "a byte", "more"])
def test_no_reset(module_duel: DuelFactory, sent: bytes) -> None:
    def act(side: Side) -> list[str]:
        return [ending(side.ports[name], sent) for name in ("port", "port_dead", "port_refused") for _ in range(5)]

    assert module_duel(CONFIG).same(act) == ["end"] * 15
