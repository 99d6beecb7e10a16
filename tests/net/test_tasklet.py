"""A session's coroutine: stepped by the poller while it waits, by its own task for everything else."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


def ride(made: Sketch, conn: Conn, count: int, seconds: float | None = None) -> Tasklet:
    """A tasklet that reads; what ends it is told too."""
    tasklet = Tasklet(made.poller, made.nursery)

    async def go() -> None:
        try:
            await read(made, conn, tasklet, count, seconds)
        except Expired:
            made.said.append("expired")
        else:
            made.said.append("done")

    tasklet.begin(go())
    return tasklet


async def told(made: Sketch, count: int) -> list[object]:
    """What was said, once there are `count` words."""
    with trio.fail_after(5):
        while len(made.said) < count:
            await trio.sleep(0.001)
    return made.said


async def test_the_poller_steps_it() -> None:
    """From beginning to end without a task of its own."""
    async with sketch() as made:
        own, conn = made.pair()
        own.send(b"at once")
        tasklet = ride(made, conn, 2)
        assert made.said == [(b"at once", True)]
        assert made.poller.homeless == {tasklet}
        own.send(b"later")
        assert await told(made, 3) == [(b"at once", True), (b"later", True), "done"]
        assert tasklet.task is None
        assert not made.poller.homeless
        own.close()


async def test_a_deadline_is_the_own_tasks() -> None:
    async with sketch() as made:
        own, conn = made.pair()
        tasklet = ride(made, conn, 2, 0.05)
        own.send(b"one")
        assert await told(made, 3) == [(b"one", True), (Expired, False), "expired"]
        assert tasklet.task is not None
        own.close()


@pytest.mark.parametrize("settled", [False, True])
async def test_it_is_cancelled_where_it_sleeps(settled: bool) -> None:
    """With a task or without."""
    async with sketch() as made:
        own, conn = made.pair()
        async with trio.open_nursery() as nursery:
            made.nursery, keep = nursery, made.nursery
            nursery.start_soon(made.poller.shelter)
            tasklet = ride(made, conn, 3)
            if settled:
                tasklet.settle()
            await wait_all_tasks_blocked(0.001)
            own.send(b"one")
            await told(made, 1)
            nursery.cancel_scope.cancel()
        made.nursery = keep
        assert made.said == [(b"one", True), (trio.Cancelled, False)]
        assert conn.watch.waiter is None
        assert not made.poller.homeless
        own.close()


async def test_a_fault_is_the_nurserys_and_not_the_pollers() -> None:
    async def fail(made: Sketch, conn: Conn, tasklet: Tasklet) -> None:
        await arrived(conn, Waiter(made.wheel, tasklet))
        raise LookupError("away")

    async with sketch() as made:
        own, conn = made.pair()
        other, good = made.pair()
        with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="away")):
            async with trio.open_nursery() as nursery:
                tasklet = Tasklet(made.poller, nursery)
                tasklet.begin(fail(made, conn, tasklet))
                own.send(b"x")
                await trio.sleep_forever()
        ride(made, good, 1)
        other.send(b"y")
        assert await told(made, 2) == [(b"y", True), "done"]
        conn.close()
        for each in (own, other):
            each.close()


async def test_home_is_where_trio_is() -> None:
    async def go(made: Sketch, conn: Conn, tasklet: Tasklet) -> None:
        made.said.append((tasklet.away, trio.lowlevel.current_task() is tasklet.task))
        await tasklet.home()
        made.said.append((tasklet.away, trio.lowlevel.current_task() is tasklet.task))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0)
        await tasklet.home()
        await arrived(conn, Waiter(made.wheel, tasklet))
        made.said.append((tasklet.away, trio.lowlevel.current_task() is tasklet.task))
        await tasklet.home()
        made.said.append((tasklet.away, trio.lowlevel.current_task() is tasklet.task))

    async with sketch() as made:
        own, conn = made.pair()
        tasklet = Tasklet(made.poller, made.nursery)
        tasklet.begin(go(made, conn, tasklet))
        await wait_all_tasks_blocked(0.001)
        own.send(b"x")
        assert await told(made, 4) == [(True, False), (False, True), (True, False), (False, True)]
        conn.close()
        own.close()


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_turns(cancelled: bool, settled: bool) -> None:
    """Who breathes lets the others go on, away or at home; one that waits for its turn may be cancelled."""

    async def busy(made: Sketch, conn: Conn, tasklet: Tasklet, name: str) -> None:
        waiter = Waiter(made.wheel, tasklet)
        if settled:
            await tasklet.home()
        for number in range(2 if not cancelled else 10_000_000):
            await waiter.breathe()
            if number < 2:
                made.said.append((name, number))
            if not number:
                await arrived(conn, waiter)
        made.said.append(name)

    async with sketch() as made:
        pairs = [made.pair(), made.pair()]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.poller.shelter)
            for (_, conn), name in zip(pairs, "ab", strict=True):
                tasklet = Tasklet(made.poller, nursery)
                tasklet.begin(busy(made, conn, tasklet, name))
            # A turn taken away is over when the poller next looks, which a first event makes it do.
            for own, _ in pairs:
                own.send(b"x")
            await told(made, 4 if cancelled else 6)
            nursery.cancel_scope.cancel()
        for name in "ab":
            assert [word for word in made.said if name in str(word)] == [(name, 0), (name, 1), name][: 3 - cancelled]
        for own, conn in pairs:
            own.close()
            conn.close()


async def test_a_number_given_anew_has_not_the_old_ones_events() -> None:
    """Two events of one round: who hears of the first closes the second's descriptor and opens another."""
    async with sketch() as made:
        own, conn = made.pair()
        peer, other = made.pair()
        number = other.fd
        mine, spare = socket.socketpair()
        opened: list[Conn] = []

        async def go(tasklet: Tasklet) -> None:
            waiter = Waiter(made.wheel, tasklet)
            while conn.receive() is None or not opened:
                await waiter.park(conn.watch, other.watch)
                if not opened and other.watch.fd >= 0 and own.fileno() < 0:
                    other.close()
                    os.dup2(spare.fileno(), number)
                    anew = socket.socket(fileno=number)
                    anew.setblocking(False)
                    opened.append(Conn(anew, made.poller))
                    return

        tasklet = Tasklet(made.poller, made.nursery)
        tasklet.begin(go(tasklet))
        await wait_all_tasks_blocked(0.001)
        own.close()
        peer.close()
        with trio.fail_after(5):
            while not opened:
                await trio.sleep(0.001)
        await wait_all_tasks_blocked(0.001)
        assert not opened[0].watch.hangup
        opened[0].close()
        conn.close()
        mine.close()
        spare.close()
