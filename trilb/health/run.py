"""When checks are done: a queue of those that rest, and one alarm for whoever is next. HOT.

What is tried is the prober's business (`Check.prober`), what follows from it `settle`'s. Checks begin and end here, at
start as well as when the runtime socket adds or removes a server. A script is played without a task, by the poller; a
prober that needs a task (agents, programs) gets one for each time.

Of those that are due only one begins in a round of the poller, so that no request waits for more than one of them.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Iterable
from heapq import heappop, heappush
from math import ceil, inf
from typing import cast

import trio

from trilb.health.play import Player
from trilb.health.verdict import interval
from trilb.live.check import UNKNOWN, Check, Sleeper
from trilb.live.server import MAINT, Server
from trilb.net.alarm import Alarm
from trilb.net.poller import Poller, Waiter
from trilb.net.timers import Wheel

CHECK_TICK = 0.005
"""Seconds by which a check or its timeout may be late: of a thousand checks some then share what waking costs."""


class Turn:
    """A check between two tries, or trying: what is known of it here."""

    __slots__ = ("check", "checks", "due", "ended", "number", "player", "scope", "server")

    def __init__(self, checks: Checks, server: Server, check: Check, number: int) -> None:
        self.checks = checks
        self.server = server
        self.check = check
        self.number = number
        """Of two that are due at once the one that was there first comes first."""
        self.player = check.prober if isinstance(check.prober, Player) else None
        self.due = 0.0
        """When it is tried next, the loop's seconds; 0.0 while it is being tried."""
        self.ended = False
        self.scope: trio.CancelScope | None = None

    def hasten(self, when: float) -> None:
        """Try at `when` where that is sooner."""
        if when < self.due:
            self.rest(when)

    def rest(self, when: float) -> None:
        """Try at `when`."""
        self.due = when
        self.check.pause = self
        self.checks.file(self)

    def allowed(self) -> bool:
        """Is there to be a check now?"""
        return self.check.enabled and (self.check is self.server.agent or not self.server.admin & MAINT)

    def begin(self) -> None:
        """Try."""
        check, checks = self.check, self.checks
        self.due = 0.0
        check.pause = None
        if not self.allowed():
            self.again(checks.wheel.clock.now)
            return
        check.begun = checks.wheel.clock.now
        check.busy, check.text, check.result = True, "", UNKNOWN
        if self.player is not None:
            self.player.begin(self.server, check, checks.wheel, self.over)
        else:
            checks.nursery.start_soon(self._probe, cast(Sleeper, check.prober))

    async def _probe(self, sleeper: Sleeper) -> None:
        """The task of a prober that needs one."""
        waiter = Waiter(self.checks.wheel)
        self.scope = trio.CancelScope()
        try:
            with self.scope:
                await sleeper.probe(self.server, self.check, waiter)
        finally:
            waiter.finish()
        self.over()

    def over(self) -> None:
        """It was tried, and what was found stands in the check."""
        server, check, checks = self.server, self.check, self.checks
        check.busy = False
        if self.ended:
            return
        now = checks.wheel.clock.refresh()
        # What was found while it went into maintenance says nothing of it.
        if self.allowed():
            check.duration = int((now - check.begun) * 1000)
            assert check.prober is not None
            check.prober.settle(server, check, now)
        self.again(now)

    def again(self, now: float) -> None:
        """Rest as long as the check's state asks for."""
        seconds = interval(self.server, self.check)
        if self.checks.spread:
            seconds *= 1 + self.checks.spread * random.uniform(-1, 1)
        self.rest(now + seconds)

    def end(self) -> None:
        """Never try again."""
        self.ended = True
        self.due = 0.0
        self.check.pause = None
        if self.scope is not None:
            self.scope.cancel()
        if self.player is not None and self.player.abandon():
            self.over()


class Checks:
    """All checks. `spread` is a part of an interval."""

    __slots__ = (
        "_alarm",
        "_number",
        "_poller",
        "_rings",
        "_turns",
        "_waiting",
        "nursery",
        "spread",
        "wheel",
    )

    def __init__(self, poller: Poller, nursery: trio.Nursery, spread: int = 0) -> None:
        """`spread` is `spread-checks`: by how many percent of itself an interval may be longer or shorter."""
        self._poller = poller
        self.nursery = nursery
        self.spread = spread / 100
        self.wheel = Wheel(poller.clock, CHECK_TICK)
        """Timeouts. It turns with the alarm."""
        self.wheel.sooner = self._hasten
        self._alarm: Alarm | None = None
        self._rings = 0.0
        """When the alarm rings, 0.0 while nobody needs to set it."""
        self._number = 0
        self._turns: dict[Check, Turn] = {}
        self._waiting: list[tuple[float, int, Turn]] = []
        """A heap. Who moved to another time is in it twice: the entry that is not of its `due` is void."""

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
        if self._alarm is None:
            self._alarm = Alarm(self._poller, self._ring)
            self._rings = inf
            self.nursery.start_soon(self._until_the_end)
        self._number += 1
        turn = self._turns[check] = Turn(self, server, check, self._number)
        turn.rest(self.wheel.clock.refresh() + offset)

    def end(self, check: Check) -> None:
        """Let go of a check: its server is removed."""
        turn = self._turns.pop(check, None)
        if turn is not None:
            turn.end()

    def file(self, turn: Turn) -> None:
        """Let it have its turn when it is due."""
        heappush(self._waiting, (turn.due, turn.number, turn))
        if turn.due < self._rings:
            self._set(self.wheel.clock.now)

    def _hasten(self) -> None:
        """A timeout comes before all there were."""
        if self.wheel.next() < self._rings:
            self._set(self.wheel.clock.now)

    def _ring(self) -> None:
        """The alarm: one of those that are due, and all whose time is over. Called by the poller, never raises."""
        waiting = self._waiting
        self._rings = 0.0
        try:
            self.wheel.turn()
            now = self.wheel.clock.now
            while waiting and waiting[0][0] <= now:
                due, _, turn = heappop(waiting)
                if due == turn.due:
                    turn.begin()
                    break
        except Exception:  # noqa: BLE001
            # A fault of ours must not end the process: tell the operator.
            traceback.print_exc(file=sys.stderr)
        self._set(self.wheel.clock.now)

    def _set(self, now: float) -> None:
        when = self.wheel.next()
        if self._waiting and self._waiting[0][0] < when:
            when = self._waiting[0][0]
        if now < when < inf:
            when = ceil(when / CHECK_TICK) * CHECK_TICK
        self._rings = when
        if self._alarm is not None and when < inf:
            self._alarm.set(when - now)

    async def _until_the_end(self) -> None:
        """A task that does nothing until all is cancelled: then what is under way is given up."""
        try:
            await trio.sleep_forever()
        finally:
            for turn in self._turns.values():
                turn.end()
            if self._alarm is not None:
                self._alarm.close()
