"""Deadlines and the poller, on a mock clock and real socket pairs."""

from __future__ import annotations

import errno
import socket

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from trilb.base.clock import Clock
from trilb.net.conn import Broken, Conn, connect
from trilb.net.poller import Expired, Poller, Waiter
from trilb.net.timers import TICK, Wheel


async def test_never_early_and_at_most_two_ticks_late(autojump_clock: MockClock) -> None:
    wheel = Wheel(Clock(trio.current_time))
    late: list[float] = []

    async def sleeper(seconds: float) -> None:
        waiter = Waiter(wheel)
        start = trio.current_time()
        waiter.arm(seconds)
        with pytest.raises(Expired):
            await waiter.park(None)
        late.append(trio.current_time() - start - seconds)
        waiter.finish()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wheel.run)
        async with trio.open_nursery() as sleepers:
            for n in range(50):
                sleepers.start_soon(sleeper, 0.01 + n * 0.37)
        nursery.cancel_scope.cancel()
    assert len(late) == 50
    assert min(late) >= 0
    assert max(late) <= 2 * TICK + 1e-9


async def test_a_deadline_that_moves_on_is_not_reached(autojump_clock: MockClock) -> None:
    wheel = Wheel(Clock(trio.current_time))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wheel.run)
        waiter = Waiter(wheel)

        async def move() -> None:
            for _ in range(20):
                waiter.arm(1.0)
                await trio.sleep(0.5)
            waiter.wake()

        nursery.start_soon(move)
        assert await waiter.park(None) == 0
        nursery.cancel_scope.cancel()


async def test_a_wheel_with_nobody_waiting_sleeps(autojump_clock: MockClock) -> None:
    turns = 0

    def now() -> float:
        nonlocal turns
        turns += 1
        return trio.current_time()

    wheel = Wheel(Clock(now))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wheel.run)
        await trio.sleep(1000)
        waiter = Waiter(wheel)
        wheel.clock.refresh()
        began = trio.current_time()
        waiter.arm(100)
        with pytest.raises(Expired):
            await waiter.park(None)
        assert 100 <= trio.current_time() - began <= 100 + TICK + 1e-6
        nursery.cancel_scope.cancel()
    assert turns < 10


class Timed:
    """Something with a deadline, and when it was told that it has passed."""

    def __init__(self, wheel: Wheel) -> None:
        self.wheel = wheel
        self.expires = 0.0
        self.filed = 0
        self.told: list[float] = []

    def expire(self) -> None:
        self.told.append(self.wheel.clock.now)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("arm"), st.integers(0, 3), st.floats(0, 40)),
            st.tuples(st.just("drop"), st.integers(0, 3), st.just(0.0)),
            st.tuples(st.just("pass"), st.just(0), st.floats(0, 60)),
        ),
        max_size=30,
    )
)
def test_a_wheel_says_when_it_must_turn(steps: list[tuple[str, int, float]]) -> None:
    """Whoever lets it turn only then, and looks anew when it is told to, misses nobody and is never early."""
    time = 1000.0
    wheel = Wheel(Clock(lambda: time), 1.0)
    rings = wheel.next()

    def sooner() -> None:
        nonlocal rings
        rings = wheel.next()

    wheel.sooner = sooner
    waiting = [Timed(wheel) for _ in range(4)]
    for what, which, seconds in steps:
        waiter = waiting[which]
        if what == "arm":
            waiter.expires = time + seconds
            waiter.told.clear()
            if not waiter.filed or waiter.expires < wheel.time_of(waiter.filed):
                wheel.file(waiter)
        elif what == "drop":
            waiter.expires = 0.0
            waiter.told.clear()
            wheel.drop(waiter)
        else:
            until = time + seconds
            while rings <= until:
                time = max(time, rings)
                wheel.turn()
                rings = wheel.next()
                assert rings > time
            time = until
            wheel.clock.refresh()
        for each in waiting:
            if each.told:
                assert each.expires <= each.told[0] <= each.expires + 2
            elif each.expires:
                assert time < each.expires + 2


async def test_an_edge_nobody_waited_for_is_not_lost() -> None:
    clock = Clock(trio.current_time)
    poller, wheel = Poller(clock), Wheel(clock)
    left, right = socket.socketpair()
    left.setblocking(False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        conn, waiter = Conn(left, poller), Waiter(wheel)
        assert conn.receive() is None
        right.send(b"x")
        await trio.sleep(0.05)
        # The event came while we slept elsewhere.
        assert conn.watch.ready
        with trio.fail_after(2):
            await waiter.park(conn.watch)
        assert conn.receive() == b"x"
        right.close()
        with trio.fail_after(2):
            while (data := conn.receive()) is None:
                await waiter.park(conn.watch)
        assert data == b""
        conn.close()
        nursery.cancel_scope.cancel()


async def test_a_cancelled_park_leaves_nothing_behind() -> None:
    clock = Clock(trio.current_time)
    poller, wheel = Poller(clock), Wheel(clock)
    left, right = socket.socketpair()
    left.setblocking(False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        conn, waiter = Conn(left, poller), Waiter(wheel)
        assert conn.receive() is None
        with trio.move_on_after(0.02):
            await waiter.park(conn.watch)
            await waiter.park(conn.watch)
        assert conn.watch.waiter is None
        right.send(b"late")
        await trio.sleep(0.05)
        assert conn.receive() == b"late"
        conn.close()
        right.close()
        nursery.cancel_scope.cancel()


async def test_a_deadline_that_passes_between_a_wake_and_its_task(mock_clock: MockClock) -> None:
    """An event and the deadline in one round: the task is awake already, and hears of it before it sleeps again."""
    wheel = Wheel(Clock(trio.current_time))
    ends: list[str] = []

    async def session() -> None:
        waiter = Waiter(wheel)
        waiters.append(waiter)
        waiter.arm(0.2)
        try:
            for _ in range(3):
                await waiter.park(None)
                ends.append("woken")
        except Expired:
            ends.append("expired")
        waiter.arm(1)
        await waiter.park(None)
        ends.append("woken")

    waiters: list[Waiter] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(5)
        waiters[0].wake()
        wheel.turn()
        await trio.testing.wait_all_tasks_blocked()
        assert ends == ["woken", "expired"]
        waiters[0].wake()


async def test_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as if the server refused: whoever connects is ready for that."""

    def none(*words: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    poller = Poller(Clock(trio.current_time))
    monkeypatch.setattr("_socket.socket", none)
    with pytest.raises(Broken, match="Too many open files"):
        connect(socket.AF_INET, ("127.0.0.1", 1), poller)


async def test_a_task_that_outlives_the_poller_by_a_turn() -> None:
    """Which of two tasks that are cancelled together comes first is chance; the other one must not fail."""
    poller = Poller(Clock(trio.current_time))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        conn = Conn(ours, poller)
        assert conn.receive() is None
        conn.close()
