"""Deadlines that cost nothing while they are moved: a lazy wheel. HOT in `file`, cold in `run`.

A waiter stores its deadline in a slot. Only when that is earlier than the tick it is filed under is it filed again;
the wheel looks at a waiter when its tick comes, and files it anew if the deadline has moved on. Timeouts are hardly
ever reached, so a session is looked at about once per timeout. Never early; late by at most one tick.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Protocol

import trio

from trilb.base.clock import Clock

TICK: Final = 0.025
"""Seconds. Arbitrary: fine enough for millisecond timeouts to be honest, coarse enough to be few."""
_NEVER: Final = 1 << 60
"""A tick that does not come."""


class Timed(Protocol):
    """Something that is told when its time has come."""

    expires: float
    """When, in the loop's seconds; 0.0 is never."""
    filed: int

    def expire(self) -> None:
        """The time has come."""


class Wheel:
    """Waiters by the tick their deadline falls into."""

    __slots__ = ("_first", "_length", "_slots", "_tick", "clock", "sooner")

    def __init__(self, clock: Clock, length: float = TICK) -> None:
        """`length` of a tick is in seconds."""
        self.clock = clock
        self._length = length
        self._slots: dict[int, set[Timed]] = {}
        self._tick = int(clock.now / length)
        self._first = _NEVER
        """No slot is before this tick; there may be none in it either."""
        self.sooner: Callable[[], None] | None = None
        """Called when `next` has become sooner, by whom it is that lets the wheel turn."""

    def time_of(self, tick: int) -> float:
        """When a tick is looked at."""
        return tick * self._length

    def file(self, waiter: Timed) -> None:
        """Put a waiter under the tick after its deadline."""
        if waiter.filed:
            self.drop(waiter)
        tick = max(int(waiter.expires / self._length), self._tick) + 1
        waiter.filed = tick
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = {waiter}
            if tick < self._first:
                self._first = tick
                if self.sooner is not None:
                    self.sooner()
        else:
            slot.add(waiter)

    def next(self) -> float:
        """When it has to turn, in the loop's seconds: not earlier than that; infinity while nobody waits."""
        return self._first * self._length if self._slots else inf

    def drop(self, waiter: Timed) -> None:
        """Take a waiter out."""
        slot = self._slots.get(waiter.filed)
        if slot is not None:
            slot.discard(waiter)
            if not slot:
                del self._slots[waiter.filed]
                if not self._slots:
                    self._first = _NEVER
        waiter.filed = 0

    def turn(self) -> None:
        """Look at every tick that has come."""
        now = self.clock.refresh()
        # What a float has lost of a whole number of ticks is not to be waited for.
        last = int(now / self._length + 1e-6)
        if self._first > self._tick:
            self._tick = min(self._first - 1, last)
        while self._tick < last:
            self._tick += 1
            for waiter in self._slots.pop(self._tick, ()):
                waiter.filed = 0
                if not waiter.expires:
                    continue
                if waiter.expires <= now:
                    waiter.expire()
                else:
                    self.file(waiter)
        if self._first <= last:
            self._first = min(self._slots, default=_NEVER)

    async def run(self) -> None:
        """Turn whenever somebody's time comes, until cancelled. Who has nobody waiting sleeps."""
        # The clock may have got its source after the wheel was made: begin at the present, not at some old epoch.
        self._tick = int(self.clock.refresh() / self._length)
        scope = trio.CancelScope()

        def sooner() -> None:
            scope.deadline = trio.current_time() + self.next() - self.clock.now

        self.sooner = sooner
        while True:
            scope = trio.CancelScope(deadline=trio.current_time() + self.next() - self.clock.refresh())
            with scope:
                await trio.sleep_forever()
            self.turn()
