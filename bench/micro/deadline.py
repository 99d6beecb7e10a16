"""What a deadline costs a wait that it does not end: the lazy wheel, or a cancel scope of trio's for each.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- a wait that is woken: the wheel 8.79 us (1.00), no deadline 7.66 us (0.87), move_on_after 14.1 us (1.60).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

import trio

from bench.micro import Work, compare, count
from trilb.base.clock import Clock
from trilb.net.poller import Waiter
from trilb.net.timers import Wheel

Wait = Callable[[Waiter], Coroutine[object, object, None]]


async def no_deadline(waiter: Waiter) -> None:
    """A wait that may last."""
    await waiter.park(None)


async def wheel(waiter: Waiter) -> None:
    """A deadline in the waiter's slot."""
    waiter.arm(30.0)
    await waiter.park(None)


async def scope(waiter: Waiter) -> None:
    """A deadline of trio's."""
    with trio.move_on_after(30.0):
        await waiter.park(None)


def waits(way: Wait) -> Work:
    """A task that waits, and one that wakes it."""

    async def run(often: int) -> None:
        clock = Clock()
        clock.follow(trio.current_time)
        turning = Wheel(clock)
        waiters: list[Waiter | None] = [None]

        async def sleeper() -> None:
            waiter = waiters[0] = Waiter(turning)
            for _ in range(often):
                await way(waiter)
            waiter.finish()
            waiters.clear()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeper)
            while waiters:
                await trio.lowlevel.checkpoint()
                if waiters and waiters[0] is not None:
                    waiters[0].wake()

    return lambda often: trio.run(run, often)


def main(often: int) -> None:
    """Print the figures."""
    ways = {"the wheel": waits(wheel), "no deadline": waits(no_deadline), "move_on_after": waits(scope)}
    compare("a wait that is woken", ways, often)


if __name__ == "__main__":
    main(count(20_000))
