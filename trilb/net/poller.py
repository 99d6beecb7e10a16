"""One edge-triggered epoll inside trio's, and the waiting that goes with it. HOT.

Theory of operation. A session is one task that may wait for two descriptors at once; trio waits for one. So every
descriptor is registered once, edge-triggered, in an epoll of our own; one task waits (through trio) for that epoll
to be readable, takes its events and reschedules the sessions they belong to.

Rules. I/O is tried first and parked only after EAGAIN. An edge nobody waits for is remembered in `Watch.edge`, so
none is lost between a try and a park. A session has one `Waiter`; whoever wakes it (an event, its deadline, a
queue) releases its watches first, so a late edge never wakes a task that sleeps elsewhere.
"""

from __future__ import annotations

import select
from collections.abc import Callable

import outcome
import trio

from trilb.base.clock import Clock
from trilb.net.timers import Wheel

_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_HANGUP = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_READABLE = select.EPOLLIN | _HANGUP
_MOST_EVENTS = 512
"""Events taken in one round. Arbitrary: large enough to amortise the round, small enough to stay fair."""

WOKEN, EXPIRED, ABORTED = 0, 1, 2


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

    __slots__ = ("_a", "_b", "_late", "_parked", "_wheel", "expires", "filed", "task")

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._a: Watch | None = None
        self._b: Watch | None = None
        self._parked = False
        self._late = False
        self.expires = 0.0
        self.filed = 0
        self.task = trio.lowlevel.current_task()

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
        reason: int = await trio.lowlevel.wait_task_rescheduled(self._abort)
        if reason == EXPIRED:
            raise Expired
        return reason

    def wake(self, reason: int = WOKEN) -> None:
        """Wake the task, if it is parked. Safe to call twice."""
        if self._parked:
            self._release()
            trio.lowlevel.reschedule(self.task, outcome.Value(reason))

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
        self._release()
        return trio.lowlevel.Abort.SUCCEEDED


class Poller:
    """The nested epoll and its task."""

    __slots__ = ("_epoll", "_watches", "clock")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._watches: dict[int, Watch] = {}

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

    async def run(self) -> None:
        """Dispatch events until cancelled."""
        epoll, watches = self._epoll, self._watches
        fd = epoll.fileno()
        try:
            while True:
                await trio.lowlevel.wait_readable(fd)
                self.clock.refresh()
                for ready, events in epoll.poll(0, _MOST_EVENTS):
                    watch = watches.get(ready)
                    if watch is None:
                        continue
                    watch.ready = True
                    if events & _HANGUP:
                        # A reset is only the peer's own doing if it had not ended politely before.
                        watch.broken = watch.broken or (not watch.hangup and bool(events & select.EPOLLERR))
                        watch.hangup = True
                    waiter = watch.waiter
                    if waiter is not None:
                        waiter.wake()
                    elif watch.call is not None:
                        watch.call()
                    elif watch.idle is not None:
                        if events & _READABLE:
                            watch.idle()
                    else:
                        watch.edge = True
        finally:
            epoll.close()
