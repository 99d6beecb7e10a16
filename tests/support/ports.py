"""Free local ports."""

from __future__ import annotations

import random
import socket

_given: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """Return a free 127.0.0.1 port outside the ephemeral range, never the same twice in one process."""
    for _ in range(1000):
        port = _random.randrange(10_000, 32_000)
        if port in _given:
            continue
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free port")
