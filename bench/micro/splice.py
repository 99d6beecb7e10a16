"""How a body crosses: through a pipe by splice(2), or through a buffer of ours by recv_into and send.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- 1 MiB: splice 321 us (1.00), copy 430 us (1.34).
"""

from __future__ import annotations

import os
import socket
import threading
import time

from bench.micro import Work, compare, count

SIZE = 1 << 20


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection, which is what bodies come by."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.create_connection(listener.getsockname())
        here, _ = listener.accept()
    return here, there


def bodies(kind: str) -> Work:
    """A thread sends, a thread throws away, and the bytes cross between them; processor time is that of this thread."""

    def work(often: int) -> None:
        (source, sender), (sink, receiver) = connected(), connected()
        data, total = bytes(SIZE), SIZE * often

        def give() -> None:
            for _ in range(often):
                sender.sendall(data)

        def take() -> None:
            kept, left = bytearray(1 << 18), total
            while left:
                left -= receiver.recv_into(kept)

        threads = [threading.Thread(target=give), threading.Thread(target=take)]
        with source, sender, sink, receiver:
            for thread in threads:
                thread.start()
            (by_pipe if kind == "splice" else by_copy)(source, sink, total)
            for thread in threads:
                thread.join()

    return work


def by_pipe(source: socket.socket, sink: socket.socket, left: int) -> None:
    """Kernel to kernel."""
    out, into = os.pipe()
    while left:
        moved = os.splice(source.fileno(), into, SIZE)
        left -= moved
        while moved:
            moved -= os.splice(out, sink.fileno(), moved)
    os.close(out)
    os.close(into)


def by_copy(source: socket.socket, sink: socket.socket, left: int) -> None:
    """Through user space."""
    buffer = memoryview(bytearray(1 << 16))
    while left:
        got = source.recv_into(buffer)
        sink.sendall(buffer[:got])
        left -= got


def main(often: int) -> None:
    """Print the figures."""
    compare("1 MiB", {"splice": bodies("splice"), "copy": bodies("copy")}, often, time.thread_time)


if __name__ == "__main__":
    main(count(200))
