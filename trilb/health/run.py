"""When checks are done: one task a check, which sleeps, lets its prober try, and has the result taken into account.

What is tried is the prober's business (`Check.prober`), what follows from it `settle`'s. Checks begin and end here, at
start as well as when the runtime socket adds or removes a server.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import partial

import trio

from trilb.health.verdict import interval
from trilb.live.check import UNKNOWN, Check
from trilb.live.server import MAINT, Server
from trilb.net.poller import Expired, Waiter
from trilb.net.timers import Wheel

CHECK_TICK = 0.005
"""Seconds of a tick of the wheel that checks wait on: those of one tick follow one another, and hold up traffic."""
_COARSE = 1.0
"""Seconds from which on a pause is left to the wheel, which costs a third of a timer of trio's and is a tick late."""


class Checks:
    """The tasks of all checks."""

    def __init__(self, wheel: Wheel, nursery: trio.Nursery, spread: int = 0) -> None:
        """`spread` is `spread-checks`: by how many percent of itself an interval may be longer or shorter."""
        self._wheel = wheel
        self._nursery = nursery
        self._spread = spread / 100
        self._scopes: dict[Check, trio.CancelScope] = {}
        self._turning = False
        """The wheel turns from the first check on: without any it would cost for nothing."""

    def begin_all(self, servers: Iterable[Server], most: float = 0.0) -> None:
        """Begin every check of these servers, the first ones spread over the smallest interval, or over `most`."""
        pairs = [(s, c) for s in servers for c in (s.check, s.agent) if c is not None and c.prober is not None]
        least = min((check.inter for _, check in pairs), default=0.0)
        for at, (server, check) in enumerate(pairs):
            # A check with a longer interval has the more time (configuration.txt, `max-spread-checks`; observed).
            over = max(least, interval(server, check))
            if most:
                over = min(over, most)
            self.begin(server, check, over * at / len(pairs))

    def begin(self, server: Server, check: Check, offset: float = 0.0) -> None:
        """Check `server` from `offset` seconds from now on, until `end`."""
        if not self._turning:
            self._turning = True
            self._nursery.start_soon(self._wheel.run)
        scope = self._scopes[check] = trio.CancelScope()
        self._nursery.start_soon(partial(self._watch, server, check, offset, scope))

    def end(self, check: Check) -> None:
        """Let go of a check: its server is removed."""
        scope = self._scopes.pop(check, None)
        if scope is not None:
            scope.cancel()

    async def _watch(self, server: Server, check: Check, offset: float, scope: trio.CancelScope) -> None:
        assert check.prober is not None
        waiter = Waiter(self._wheel)
        try:
            with scope:
                await trio.sleep(offset)
                while True:
                    if check.enabled and (check is server.agent or not server.admin & MAINT):
                        await self._once(server, check, waiter)
                    await self._pause(check, interval(server, check), waiter, hastens=server.observer is not None)
        finally:
            waiter.finish()

    async def _once(self, server: Server, check: Check, waiter: Waiter) -> None:
        clock = self._wheel.clock
        check.begun = clock.refresh()
        assert check.prober is not None
        check.busy, check.text, check.result = True, "", UNKNOWN
        try:
            await check.prober.probe(server, check, waiter)
        finally:
            check.busy = False
        now = clock.refresh()
        # What was found while it went into maintenance says nothing of it.
        if check.enabled and (check is server.agent or not server.admin & MAINT):
            check.duration = int((now - check.begun) * 1000)
            check.prober.settle(server, check, now)

    async def _pause(self, check: Check, seconds: float, waiter: Waiter, *, hastens: bool) -> None:
        """Sleep; what `hastens` may want the next check sooner."""
        if self._spread:
            seconds *= 1 + self._spread * random.uniform(-1, 1)
        if seconds < _COARSE and not hastens:
            await trio.sleep(seconds)
            return
        waiter.arm(seconds)
        check.pause = waiter
        try:
            while True:
                await waiter.park(None)
        except Expired:
            pass
        finally:
            check.pause = None
