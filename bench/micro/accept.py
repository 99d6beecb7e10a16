"""What a new connection asks of the system before its session begins: what it did not inherit, or all of it each time.

Who connects and closes is in the figures both ways.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- a connection: inherited 18.9 us (1.00), each 26.6 us (1.41).
"""

from __future__ import annotations

import _socket
import ipaddress
import socket

from bench.micro import Work, compare, count

MOST = 100


def packed(address: str) -> bytes:
    """By the standard library's class."""
    return ipaddress.ip_address(address).packed


def connections(kind: str) -> Work:
    """Accept what waits, in lots; who connects is in the figure both ways."""

    def work(often: int) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=MOST) as listener:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            family, of, where = int(listener.family), int(listener.type), listener.getsockname()
            for _ in range(0, often, MOST):
                clients = [socket.create_connection(where) for _ in range(min(often, MOST))]
                for client in clients:
                    if kind == "inherited":
                        number, peer = listener._accept()  # type: ignore[attr-defined]
                        sock = _socket.socket(family, of, 0, number)
                        sock.setblocking(False)
                        socket.inet_aton(peer[0])
                    else:
                        sock, peer = listener.accept()
                        sock.setblocking(False)
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        packed(peer[0])
                        packed(sock.getsockname()[0])
                    sock.close()
                    client.close()

    return work


def main(often: int) -> None:
    """Print the figures."""
    compare("a connection", {"inherited": connections("inherited"), "each": connections("each")}, often)


if __name__ == "__main__":
    main(count(5000))
