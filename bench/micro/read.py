"""How bytes are read that are looked at as bytes: recv, or recv_into a buffer that is kept, and a copy of what came.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- 200 bytes sent and read: recv(16384) 0.97 us (1.00), recv(65536) 0.95 us (0.98), recv_into and a copy 1.05 us
  (1.09).
- 4096 bytes sent and read: recv(16384) 1.29 us (1.00), recv(65536) 1.26 us (0.98), recv_into and a copy 1.4 us
  (1.08).
- 65536 bytes sent and read: recv(65536) 5.35 us (1.00), recv_into and a copy 6.95 us (1.30).
"""

from __future__ import annotations

import socket

from bench.micro import Work, compare, count


def main(often: int) -> None:
    """Print the figures."""
    ours, theirs = socket.socketpair()
    buffer = bytearray(65536)
    view = memoryview(buffer)

    def fresh(data: bytes, most: int) -> Work:
        def work(n: int) -> None:
            for _ in range(n):
                theirs.send(data)
                ours.recv(most)

        return work

    def kept(data: bytes) -> Work:
        def work(n: int) -> None:
            for _ in range(n):
                theirs.send(data)
                bytes(view[: ours.recv_into(buffer)])

        return work

    with ours, theirs:
        for size in (200, 4096, 65536):
            data = bytes(size)
            ways = {
                "recv(16384)": fresh(data, 16384),
                "recv(65536)": fresh(data, 65536),
                "recv_into and a copy": kept(data),
            }
            if size > 16384:
                del ways["recv(16384)"]
            compare(f"{size} bytes sent and read", ways, often if size < 65536 else often // 4 or 1)


if __name__ == "__main__":
    main(count(50_000))
