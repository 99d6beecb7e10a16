"""What a connection's coroutine begins as: a tasklet that has no task until it needs one, or a trio task.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- a coroutine that ends at once: a tasklet 0.76 us (1.00), a task 4.61 us (6.09).
"""

from __future__ import annotations

import trio

from bench.micro import compare, count
from trilb.base.clock import Clock
from trilb.net.poller import Poller, Tasklet

TOGETHER = 50


async def nothing() -> None:
    """A session that has nothing to do."""


def tasklets(often: int) -> None:
    """Each begins in the task that accepts."""

    async def run() -> None:
        poller = Poller(Clock(trio.current_time))
        async with trio.open_nursery() as nursery:
            for number in range(often):
                Tasklet(poller, nursery).begin(nothing())
                if not number % TOGETHER:
                    await trio.lowlevel.checkpoint()

    trio.run(run)


def tasks(often: int) -> None:
    """Each is a task of the nursery."""

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(often):
                nursery.start_soon(nothing)
                if not number % TOGETHER:
                    await trio.lowlevel.checkpoint()

    trio.run(run)


def main(often: int) -> None:
    """Print the figures."""
    compare("a coroutine that ends at once", {"a tasklet": tasklets, "a task": tasks}, often)


if __name__ == "__main__":
    main(count(20_000))
