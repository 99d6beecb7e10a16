"""Free local ports."""

from __future__ import annotations

import random
import socket

# A port is given away before its user listens on it, and a "dead" one never is listened on: what keeps other
# test processes off is an abstract unix socket named after the port, which the kernel drops with this process.
_claims: list[socket.socket] = []
_random = random.SystemRandom()


def free_port() -> int:
    """Return a free 127.0.0.1 port outside the ephemeral range, kept from every other test process until exit."""
    for _ in range(1000):
        port = _random.randrange(10_000, 32_000)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind(f"\0trilb-test-port-{port}")
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        _claims.append(claim)
        return port
    raise RuntimeError("no free port")
