"""How a session waits for a descriptor: trio's wait_readable, or one edge-triggered epoll inside trio's.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- a wake, with a send and two reads, of 64 sessions: nested epoll 5.25 us (1.00), trio's wait_readable 6.56 us (1.25).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack

import trio

from bench.micro import Work, compare, count
from trilb.base.clock import Clock
from trilb.net.poller import Poller, Tasklet, Waiter
from trilb.net.timers import Wheel

PAIRS = 32
Talk = Callable[[socket.socket, int, bool, Poller, Wheel], Coroutine[object, object, None]]


async def by_trio(sock: socket.socket, often: int, begins: bool, poller: Poller, wheel: Wheel) -> None:
    """Say a byte, wait for one."""
    for _ in range(often):
        if begins:
            sock.send(b"x")
        while True:
            try:
                sock.recv(64)
                break
            except BlockingIOError:
                await trio.lowlevel.wait_readable(sock)
        if not begins:
            sock.send(b"x")


async def nested(
    sock: socket.socket, often: int, begins: bool, poller: Poller, wheel: Wheel, tasklet: Tasklet | None = None
) -> None:
    """The same over the poller."""
    watch = poller.add(sock.fileno())
    waiter = Waiter(wheel, tasklet)
    for _ in range(often):
        if begins:
            sock.send(b"x")
        while True:
            try:
                sock.recv(64)
                break
            except BlockingIOError:
                await waiter.park(watch)
        if not begins:
            sock.send(b"x")
    poller.remove(watch)


async def stepped(sock: socket.socket, often: int, begins: bool, poller: Poller, wheel: Wheel) -> None:
    """The same as a tasklet, which the poller steps."""
    tasklet = Tasklet(poller)
    await tasklet.run(nested(sock, often, begins, poller, wheel, tasklet))


def talks(way: Talk) -> Work:
    """PAIRS of sessions that talk to each other, in one trio; counted are wakes."""

    async def run(often: int) -> None:
        clock = Clock()
        clock.follow(trio.current_time)
        poller, wheel = Poller(clock), Wheel(clock)
        with ExitStack() as stack:
            async with trio.open_nursery() as everything:
                everything.start_soon(poller.run)
                async with trio.open_nursery() as nursery:
                    for _ in range(PAIRS):
                        for number, sock in enumerate(socket.socketpair()):
                            sock.setblocking(False)
                            stack.enter_context(sock)
                            nursery.start_soon(way, sock, often, number == 0, poller, wheel)
                everything.cancel_scope.cancel()

    return lambda often: trio.run(run, max(1, often // PAIRS // 2))


def main(often: int) -> None:
    """Print the figures."""
    ways = {"nested epoll": talks(nested), "trio's wait_readable": talks(by_trio)}
    compare(f"a wake, with a send and two reads, of {2 * PAIRS} sessions", ways, often)


if __name__ == "__main__":
    main(count(20_000))
