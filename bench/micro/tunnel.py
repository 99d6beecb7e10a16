"""A tunnel's small messages: read and written, or moved by splice(2) through a pipe. Long ones are in `splice`.

A short read tells that there is no more; after a splice only another one tells. In the race `tcp-small` the change from
one to the other, with as few tries as that allows, took 27.0 us a message to 10.7 (compiled; a scheduler that steps
sessions itself came in between). The send and the read of the two ends are in the figures both ways.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- 100 bytes: copy 4.40 us (1.00), splice 6.32 us (1.44).
- 4000 bytes: copy 4.74 us (1.00), splice 6.84 us (1.44).
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, suppress

from bench.micro import Work, compare, count

FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


def connected(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = stack.enter_context(socket.create_connection(listener.getsockname()))
        here = stack.enter_context(listener.accept()[0])
    return here, there


def messages(kind: str, size: int) -> Work:
    """One message after the other from end to end of a tunnel, in one thread."""

    def work(often: int) -> None:
        data = bytes(size)
        with ExitStack() as stack:
            (source, sender), (sink, receiver) = connected(stack), connected(stack)
            source.setblocking(False)
            out, into = os.pipe2(os.O_NONBLOCK)
            stack.callback(os.close, out)
            stack.callback(os.close, into)
            for _ in range(often):
                sender.sendall(data)
                if kind == "copy":
                    # A short read has emptied the socket: nothing more is asked.
                    sink.sendall(source.recv(16384))
                else:
                    moved = os.splice(source.fileno(), into, 1 << 20, flags=FLAGS)
                    while moved:
                        moved -= os.splice(out, sink.fileno(), moved, flags=FLAGS)
                    with suppress(BlockingIOError):
                        os.splice(source.fileno(), into, 1 << 20, flags=FLAGS)
                receiver.recv(size)

    return work


def main(often: int) -> None:
    """Print the figures; each has the same send and read of the two ends in it."""
    for size in (100, 4000):
        compare(f"{size} bytes", {"copy": messages("copy", size), "splice": messages("splice", size)}, often)


if __name__ == "__main__":
    main(count(20_000))
