"""A session's coroutine: stepped by the poller while it waits, by its own task for everything else."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trilb.base.clock import Clock
from trilb.net.conn import Conn
from trilb.net.poller import Expired, Poller, Tasklet, Waiter
from trilb.net.timers import Wheel


class Sketch:
    """A poller at work, and what tasklets told."""

    def __init__(self, nursery: trio.Nursery) -> None:
        clock = Clock(trio.current_time)
        self.poller, self.wheel = Poller(clock), Wheel(clock)
        self.nursery = nursery
        self.said: list[object] = []

    def pair(self) -> tuple[socket.socket, Conn]:
        """A socket of a test's own, and the connection at its other end."""
        own, other = socket.socketpair()
        other.setblocking(False)
        return own, Conn(other, self.poller)


@asynccontextmanager
async def sketch() -> AsyncIterator[Sketch]:
    """A poller and a wheel that turn until the end of the block."""
    async with trio.open_nursery() as nursery:
        made = Sketch(nursery)
        nursery.start_soon(made.poller.run)
        nursery.start_soon(made.wheel.run)
        await wait_all_tasks_blocked(0.001)
        yield made
        nursery.cancel_scope.cancel()


async def arrived(conn: Conn, waiter: Waiter) -> bytes:
    """What comes; a new descriptor's first event says only that it may be written to."""
    while (data := conn.receive()) is None:
        await waiter.park(conn.watch)
    return data


async def read(made: Sketch, conn: Conn, tasklet: Tasklet, count: int, seconds: float | None = None) -> None:
    """Read `count` times, telling what came and whether the poller was who let it go on."""
    waiter = Waiter(made.wheel, tasklet)
    waiter.arm(seconds)
    try:
        for _ in range(count):
            made.said.append((await arrived(conn, waiter), tasklet.away))
    except (Expired, trio.Cancelled) as error:
        made.said.append((type(error), tasklet.away))
        raise
    finally:
        waiter.finish()
        conn.close()


async def ride(made: Sketch, conn: Conn, count: int, seconds: float | None = None) -> None:
    """A tasklet that reads; what ends it is told too."""
    tasklet = Tasklet(made.poller)
    try:
        await tasklet.run(read(made, conn, tasklet, count, seconds))
    except BaseException as error:
        made.said.append(type(error))
        if isinstance(error, trio.Cancelled):
            raise
    else:
        made.said.append("done")


async def told(made: Sketch, count: int) -> list[object]:
    """What was said, once there are `count` words."""
    with trio.fail_after(5):
        while len(made.said) < count:
            await trio.sleep(0.001)
    return made.said


async def test_the_poller_steps_it() -> None:
    async with sketch() as made:
        own, conn = made.pair()
        own.send(b"at once")
        made.nursery.start_soon(ride, made, conn, 2)
        assert await told(made, 1) == [(b"at once", False)]
        own.send(b"later")
        assert await told(made, 3) == [(b"at once", False), (b"later", True), "done"]
        own.close()


async def test_a_deadline_is_the_own_tasks() -> None:
    async with sketch() as made:
        own, conn = made.pair()
        made.nursery.start_soon(ride, made, conn, 2, 0.05)
        await wait_all_tasks_blocked(0.001)
        own.send(b"one")
        assert await told(made, 3) == [(b"one", True), (Expired, False), Expired]
        own.close()


async def test_it_is_cancelled_where_it_sleeps() -> None:
    async with sketch() as made:
        own, conn = made.pair()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ride, made, conn, 2)
                await wait_all_tasks_blocked(0.001)
                own.send(b"one")
                await told(made, 1)
                scope.cancel()
        assert made.said == [(b"one", True), (trio.Cancelled, False), trio.Cancelled]
        assert conn.watch.waiter is None
        own.close()


async def test_a_fault_is_the_own_tasks_and_not_the_pollers() -> None:
    async def fail(made: Sketch, conn: Conn, tasklet: Tasklet) -> None:
        await arrived(conn, Waiter(made.wheel, tasklet))
        raise LookupError("away")

    async with sketch() as made:
        own, conn = made.pair()
        other, good = made.pair()

        async def run() -> None:
            tasklet = Tasklet(made.poller)
            with pytest.raises(LookupError, match="away"):
                await tasklet.run(fail(made, conn, tasklet))
            made.said.append("raised")

        made.nursery.start_soon(run)
        made.nursery.start_soon(ride, made, good, 1)
        await wait_all_tasks_blocked(0.001)
        own.send(b"x")
        assert await told(made, 1) == ["raised"]
        other.send(b"y")
        assert await told(made, 3) == ["raised", (b"y", True), "done"]
        conn.close()
        for each in (own, other):
            each.close()


async def test_home_is_where_trio_is() -> None:
    async def go(made: Sketch, conn: Conn, tasklet: Tasklet) -> None:
        task = trio.lowlevel.current_task()
        await arrived(conn, Waiter(made.wheel, tasklet))
        made.said.append((tasklet.away, trio.lowlevel.current_task() is task))
        await tasklet.home()
        made.said.append((tasklet.away, trio.lowlevel.current_task() is task))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0)
        await tasklet.home()
        made.said.append("home")

    async with sketch() as made:
        own, conn = made.pair()
        tasklets: list[Tasklet] = []

        async def run() -> None:
            tasklets.append(Tasklet(made.poller))
            await tasklets[0].run(go(made, conn, tasklets[0]))

        made.nursery.start_soon(run)
        await wait_all_tasks_blocked(0.001)
        own.send(b"x")
        assert await told(made, 3) == [(True, False), (False, True), "home"]
        conn.close()
        own.close()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_turns(cancelled: bool) -> None:
    """Who breathes lets the others go on, away or at home; one that waits for its turn may be cancelled."""

    async def busy(made: Sketch, conn: Conn, tasklet: Tasklet, name: str) -> None:
        waiter = Waiter(made.wheel, tasklet)
        for number in range(2 if not cancelled else 10_000_000):
            await waiter.breathe()
            if number < 2:
                made.said.append((name, number, tasklet.away))
            if not number:
                await arrived(conn, waiter)

    async with sketch() as made:
        pairs = [made.pair(), made.pair()]

        async def run(conn: Conn, name: str) -> None:
            tasklet = Tasklet(made.poller)
            await tasklet.run(busy(made, conn, tasklet, name))
            made.said.append(name)

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                for (_, conn), name in zip(pairs, "ab", strict=True):
                    nursery.start_soon(partial(run, conn, name))
                await told(made, 2)
                assert sorted(made.said, key=str) == [("a", 0, False), ("b", 0, False)]
                for own, _ in pairs:
                    own.send(b"x")
                await told(made, 4)
                if cancelled:
                    scope.cancel()
        assert sorted(made.said[2:4], key=str) == [("a", 1, True), ("b", 1, True)]
        assert sorted(made.said[4:], key=str) == ([] if cancelled else ["a", "b"])
        assert not any(tasklet._turn for tasklet in made.poller.turns)
        for own, conn in pairs:
            own.close()
            conn.close()
