"""One edge-triggered epoll inside trio's, and the waiting that goes with it. HOT.

Theory of operation. A session is one task that may wait for two descriptors at once; trio waits for one. So every
descriptor is registered once, edge-triggered, in an epoll of our own; one task waits (through trio) for that epoll
to be readable, takes its events and lets the sessions they belong to go on.

A session's coroutine runs as a `Tasklet`. While it does nothing but wait for descriptors the poller steps it itself,
in place of its trio task, which sleeps: the way through trio's scheduler costs twice as much (bench/micro/step.py).
Everything else (a deadline, a queue, a cancellation, its end, an exception) wakes the task, and there the coroutine
goes on as if it had never been away.

Rules. I/O is tried first and parked only after EAGAIN. An edge nobody waits for is remembered in `Watch.edge`, so
none is lost between a try and a park. A session has one `Waiter`; whoever wakes it (an event, its deadline, a
queue) releases its watches first, so a late edge never wakes a task that sleeps elsewhere. A tasklet that is away must
not use trio's own primitives, which would take the poller's task for its own: it asks for `home` first.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Coroutine
from typing import Final

import trio

from trilb.base.clock import Clock
from trilb.net.timers import Wheel
from trilb.net.trap import HOME, PARK, TURN, relay, suspend

_EVENTS: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_HANGUP: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_READABLE: Final = select.EPOLLIN | _HANGUP
_MOST_EVENTS: Final = 512
"""Events taken in one round. Arbitrary: large enough to amortise the round, small enough to stay fair."""
_ROUNDS: Final = 4
"""Rounds, while there are events, before trio's other tasks get their turn."""

WOKEN: Final = 0
EXPIRED: Final = 1
ABORTED: Final = 2


class Expired(Exception):
    """The waiter's deadline passed while it was parked."""


class Watch:
    """A registered descriptor: who waits for it, and what is known of it.

    `edge`: something happened while nobody waited. `ready`: reading may give something, so it is worth a try.
    `hangup`: the peer has ended; `broken`: by a reset.
    """

    __slots__ = ("broken", "call", "edge", "fd", "hangup", "idle", "ready", "waiter")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.edge = False
        self.ready = True
        self.hangup = False
        self.broken = False
        self.waiter: Waiter | None = None
        self.idle: Callable[[], None] | None = None
        self.call: Callable[[], None] | None = None
        """Called for every event, by the poller's task: it must not wait, nor raise."""


class Waiter:
    """A task's way to sleep: on one or two watches, or on nothing but a wake, until its deadline.

    `expires` is in the loop's seconds; set it with `arm`. 0.0 means never. `_late`: the deadline passed between a wake
    and the task's turn, and the task has not heard of it.
    """

    __slots__ = ("_a", "_b", "_late", "_parked", "_reason", "_task", "_tasklet", "_wheel", "expires", "filed")

    def __init__(self, wheel: Wheel, tasklet: Tasklet | None = None) -> None:
        self._wheel = wheel
        self._tasklet = tasklet
        self._reason = WOKEN
        self._a: Watch | None = None
        self._b: Watch | None = None
        self._parked = False
        self._late = False
        self.expires = 0.0
        self.filed = 0
        self._task = trio.lowlevel.current_task() if tasklet is None else None

    def arm(self, seconds: float | None) -> None:
        """Let the next parks fail with Expired after `seconds`; None is never."""
        if seconds is None:
            self.expires = 0.0
            self._late = False
            return
        self.until(self._wheel.clock.now + seconds)

    def until(self, when: float) -> None:
        """Let the next parks fail with Expired at `when` (the loop's seconds); 0.0 is never."""
        self.expires = when
        self._late = False
        if when and (not self.filed or when < self._wheel.time_of(self.filed)):
            self._wheel.file(self)

    def finish(self) -> None:
        """The task ends: forget the deadline."""
        self.expires = 0.0
        self._late = False
        if self.filed:
            self._wheel.drop(self)

    async def park(self, a: Watch | None, b: Watch | None = None) -> int:
        """Sleep until something happens on a watch, or `wake`. Raises Expired at the deadline.

        Returns at once when an edge was remembered; the caller tries its I/O again in any case.
        """
        if self._late:
            self._late = False
            raise Expired
        if a is not None and a.edge:
            a.edge = False
            if b is not None:
                b.edge = False
            return WOKEN
        if b is not None and b.edge:
            b.edge = False
            return WOKEN
        if a is not None:
            a.waiter = self
        if b is not None:
            b.waiter = self
        self._a, self._b = a, b
        self._parked = True
        self._reason = WOKEN
        if self._tasklet is None:
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        else:
            self._tasklet.parked = self
            await suspend(PARK)
        if self._reason == EXPIRED:
            raise Expired
        return self._reason

    async def breathe(self) -> None:
        """Let other sessions run: ready I/O never yields by itself."""
        if self._tasklet is not None and self._tasklet.away:
            await suspend(TURN)
        else:
            await trio.lowlevel.checkpoint()

    def happened(self) -> None:
        """Called by the poller: something happened on a watch."""
        if self._parked:
            self._release()
            if self._tasklet is not None:
                self._tasklet.step()
            elif self._task is not None:
                trio.lowlevel.reschedule(self._task)

    def wake(self, reason: int = WOKEN) -> None:
        """Wake the task, if it is parked. Safe to call twice."""
        if self._parked:
            self._release()
            self._reason = reason
            if self._tasklet is not None:
                self._tasklet.wake()
            elif self._task is not None:
                trio.lowlevel.reschedule(self._task)

    def expire(self) -> None:
        """Called by the wheel when the deadline has passed."""
        if self._parked:
            self.wake(EXPIRED)
        else:
            self._late = True

    def _release(self) -> None:
        self._parked = False
        if self._a is not None:
            self._a.waiter = None
        if self._b is not None:
            self._b.waiter = None

    def _abort(self, raise_cancel: object) -> trio.lowlevel.Abort:
        self.leave()
        return trio.lowlevel.Abort.SUCCEEDED

    def leave(self) -> None:
        """The task goes on for another reason."""
        if self._parked:
            self._release()


class Tasklet:
    """A session's coroutine, stepped by the poller while it only waits for descriptors, else by its own trio task.

    It begins without a task and gets one when it first needs it (most never do): it costs memory, and more time than
    the rest of a new connection. `away`: it is not its own task that steps it. `parked`: the waiter it sleeps with.
    """

    __slots__ = (
        "_called",
        "_coro",
        "_ended",
        "_error",
        "_nursery",
        "_poller",
        "_send",
        "_turn",
        "away",
        "parked",
        "task",
    )

    def __init__(self, poller: Poller, nursery: trio.Nursery | None = None) -> None:
        self._poller = poller
        self._nursery = nursery
        self.task: trio.lowlevel.Task | None = None
        self.away = True
        self.parked: Waiter | None = None
        self._coro: Coroutine[object, object, None] | None = None
        self._send: Callable[[object], object] | None = None
        self._called = False
        self._turn = False
        self._ended = False
        self._error: BaseException | None = None

    def begin(self, coro: Coroutine[object, object, None]) -> None:
        """Run it until it must wait; what it raises in the end is raised in the nursery, which has a `shelter`."""
        self._coro = coro
        self._send = coro.send
        self._poller.homeless.add(self)
        self.step()

    async def run(self, coro: Coroutine[object, object, None]) -> None:
        """Run it in a task that is there already, this one. Raises what it raises."""
        self._coro = coro
        self._send = coro.send
        self._called = True
        await self._run()

    def step(self) -> None:
        """Let the coroutine go on, in a task that is not its own. Never raises."""
        assert self._send is not None
        try:
            trap = self._send(None)
        except StopIteration:
            self._ended = True
            if self.task is None and not self._called:
                self._poller.homeless.discard(self)
                return
        except BaseException as error:  # noqa: BLE001
            self._ended = True
            self._error = error
        else:
            if trap is PARK:
                return
            if trap is TURN and self._poller.busy:
                self._turn = True
                self._poller.turns.append(self)
                return
        self.wake()

    def wake(self) -> None:
        """Let it go on in its own task."""
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)
        elif not self._called:
            self.settle()

    def settle(self) -> None:
        """Give it a task of its own."""
        assert self._nursery is not None
        self._called = True
        self._poller.homeless.discard(self)
        self._nursery.start_soon(self._run)

    async def _run(self) -> None:
        """Its own task."""
        coro = self._coro
        assert coro is not None
        self.task = trio.lowlevel.current_task()
        value: object = None
        error: BaseException | None = None
        self._turn = False
        if self.parked is not None:
            self.parked.leave()
        while not self._ended:
            self.away = False
            try:
                trap = coro.send(value) if error is None else coro.throw(error)
            except StopIteration:
                return
            value = error = None
            if trap is not PARK:
                # Something of trio's: its turn is this task's.
                value = await relay(trap)
                continue
            self.away = True
            try:
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            except BaseException as reason:  # noqa: BLE001
                # Cancelled: the coroutine hears of it where it sleeps.
                error = reason
        if self._error is not None:
            raise self._error

    def turn(self) -> None:
        """Called by the poller: others had theirs."""
        if self._turn:
            self._turn = False
            self.step()

    async def home(self) -> None:
        """Go on in the own task: asked for before anything of trio's is used."""
        if self.away:
            await suspend(HOME)

    def _abort(self, raise_cancel: object) -> trio.lowlevel.Abort:
        self._turn = False
        if self.parked is not None:
            self.parked.leave()
        return trio.lowlevel.Abort.SUCCEEDED


def _dispatch(watch: Watch, events: int) -> None:
    watch.ready = True
    if events & _HANGUP:
        # A reset is only the peer's own doing if it had not ended politely before.
        watch.broken = watch.broken or (not watch.hangup and bool(events & select.EPOLLERR))
        watch.hangup = True
    waiter = watch.waiter
    if waiter is not None:
        waiter.happened()
    elif watch.call is not None:
        watch.call()
    elif watch.idle is not None:
        if events & _READABLE:
            watch.idle()
    else:
        watch.edge = True


class Poller:
    """The nested epoll and its task."""

    __slots__ = ("_epoll", "_watches", "busy", "clock", "homeless", "turns")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._watches: dict[int, Watch] = {}
        self.busy = False
        """Is it letting tasklets go on?"""
        self.turns: list[Tasklet] = []
        """Who goes on once others had their turn."""
        self.homeless: set[Tasklet] = set()
        """Who has no task of its own."""

    def add(self, fd: int) -> Watch:
        """Register a non-blocking descriptor."""
        watch = Watch(fd)
        # When all is cancelled a task may have one more turn after the poller's last: its next wait ends it.
        if not self._epoll.closed:
            self._watches[fd] = watch
            self._epoll.register(fd, _EVENTS)
        return watch

    def narrow(self, watch: Watch, *, writes: bool = False) -> None:
        """Hear only of what can be read, or (`writes`) of both again."""
        if watch.fd in self._watches and not self._epoll.closed:
            self._epoll.modify(watch.fd, _EVENTS if writes else _EVENTS & ~select.EPOLLOUT)

    def remove(self, watch: Watch) -> None:
        """Forget a descriptor; call it before closing."""
        # When all is cancelled the poller may be gone before its users.
        if self._watches.pop(watch.fd, None) is not None and not self._epoll.closed:
            self._epoll.unregister(watch.fd)
        watch.fd = -1

    async def shelter(self) -> None:
        """Run in the nursery of the tasklets: when it is cancelled, all of them get a task that hears of it."""
        try:
            await trio.sleep_forever()
        finally:
            for tasklet in list(self.homeless):
                tasklet.settle()

    async def run(self) -> None:
        """Dispatch events until cancelled."""
        epoll, watches = self._epoll, self._watches
        fd = epoll.fileno()
        try:
            while True:
                if self.turns:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(fd)
                self.busy = True
                for _ in range(_ROUNDS):
                    found = epoll.poll(0, _MOST_EVENTS)
                    if not found and not self.turns:
                        break
                    self.clock.refresh()
                    turns, self.turns = self.turns, []
                    # Whose events these are is looked up before anybody goes on: a number closed now may be given anew.
                    for watch, events in [(watches.get(number), events) for number, events in found]:
                        if watch is not None and watch.fd >= 0:
                            _dispatch(watch, events)
                    for tasklet in turns:
                        tasklet.turn()
                self.busy = False
        finally:
            epoll.close()
