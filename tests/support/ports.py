"""Free local ports."""

from __future__ import annotations

import random
import socket

_BLOCK = 32
"""Ports claimed at once. A descriptor for each port would be some thousands in a process that runs many tests."""

# A port is given away before its user listens on it, and a "dead" one never is listened on: what keeps other
# test processes off is an abstract unix socket named after its block, which the kernel drops with this process.
_claims: list[socket.socket] = []
_left: list[int] = []
_random = random.SystemRandom()


def _claim() -> None:
    """Keep other test processes from a block of ports until exit."""
    for _ in range(1000):
        begin = _random.randrange(10_000, 32_000 - _BLOCK, _BLOCK)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0trilb-test-ports-{begin}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        _left.extend(range(begin, begin + _BLOCK))
        return
    raise RuntimeError("no free port")


def free_port() -> int:
    """Return a free 127.0.0.1 port outside the ephemeral range, kept from every other test process until exit."""
    while True:
        if not _left:
            _claim()
        port = _left.pop()
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
