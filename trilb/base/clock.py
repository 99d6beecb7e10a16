"""Time while serving: one reading per round of the poller, and rates over the last second. HOT.

`Clock.now` is monotonic seconds from an injected source (trio's clock in service, a mock one in tests);
`Clock.wall` is seconds since the epoch, for dates in logs and cookies.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """The current time, refreshed by whoever runs the loop."""

    __slots__ = ("_source", "_wall_source", "now", "wall")

    def __init__(self, source: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._source = source
        self._wall_source = wall
        self.now = source()
        self.wall = wall()

    def follow(self, source: Callable[[], float]) -> None:
        """Take the monotonic time from another source from now on."""
        self._source = source
        self.refresh()

    def refresh(self) -> float:
        """Read both sources again; returns the monotonic seconds."""
        self.wall = self._wall_source()
        self.now = now = self._source()
        return now


class Rate:
    """Events in the last second, as HAProxy counts them: the full previous second fades out linearly."""

    __slots__ = ("_count", "_previous", "_second", "highest")

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._previous = 0
        self.highest = 0

    def add(self, now: float) -> None:
        """Count one event at `now` (seconds, monotonic)."""
        second = int(now)
        if second != self._second:
            self._previous = self._count if second == self._second + 1 else 0
            self._count = 0
            self._second = second
        self._count += 1
        if self._count > self.highest:
            self.highest = self._count

    def read(self, now: float) -> int:
        """The rate at `now`, events a second."""
        second = int(now)
        if second == self._second:
            return self._count + int(self._previous * (1 - (now - second)))
        if second == self._second + 1:
            return int(self._count * (1 - (now - second)))
        return 0
