"""Hybrid logical clock: stamps that follow the wall clock, never go back, and are later than every stamp seen.

A stamp is milliseconds since the epoch, a count within the millisecond, and ten bits of who made it (so that two
replicas hardly ever make the same). Replicas whose clocks differ agree on an order, because each moves its clock up to
the latest stamp it has heard of.
Source: Kulkarni et al., Logical Physical Clocks (2014).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BITS: Final = 21
"""Bits below the milliseconds: eleven of the count, ten of the node."""
_STEP: Final = 1 << 10
FARTHEST: Final = 1 << 63
"""A stamp from farther away than this is not believed."""


class HybridClock:
    """The clock of one process; `node` should differ from others', of 1024."""

    __slots__ = ("_wall", "last", "node")

    def __init__(self, wall: Callable[[], float] = time.time, node: int = 0) -> None:
        self._wall = wall
        self.last = 0
        self.node = node

    def stamp(self) -> int:
        """A stamp later than all before."""
        now = int(self._wall() * 1000) << BITS
        last = self.last
        self.last = last = (now if now > last else last - last % _STEP + _STEP) + self.node % _STEP
        return last

    def saw(self, stamp: int) -> None:
        """Hear of a stamp of another replica."""
        if self.last < stamp < FARTHEST:
            self.last = stamp

    def past(self, seconds: float) -> int:
        """The stamp of a moment `seconds` back, as this clock goes."""
        now = max(int(self._wall() * 1000) << BITS, self.last)
        return max(0, now - (int(seconds * 1000) << BITS))
