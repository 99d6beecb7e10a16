"""The last five minutes of every proxy and server, for the page's charts.

A ring of fixed size for each, written every few seconds from counters that are there anyway: what is served pays
nothing for it. Only a process that has a statistics page keeps it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping

import trio

from trilb.base.clock import Clock
from trilb.config.model import Mode
from trilb.live.counters import SAMPLES, Counters
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import Server

PERIOD = 5.0
"""Seconds between samples."""
POINTS = 60
_AT_ONCE = 200
"""Rings written before others may run: some 0.5 ms."""

Thing = Frontend | Backend | Server


class Ring:
    """The last POINTS samples of one thing; `next` is where the following one goes."""

    __slots__ = ("drawn", "errors", "failed", "filled", "next", "rate", "served", "time", "turn")

    def __init__(self, served: int, failed: int) -> None:
        self.rate = array("f", bytes(4 * POINTS))
        """Requests a second; sessions in mode tcp."""
        self.errors = array("f", bytes(4 * POINTS))
        """Of these, a second: refused or malformed, no connection, no response, an answer of 5xx."""
        self.time = array("I", bytes(4 * POINTS))
        """Milliseconds a request took, on average over the last 1024."""
        self.served = served
        self.failed = failed
        self.filled = 0
        self.next = 0
        self.turn = 0
        self.drawn: tuple[str, str] | None = None
        """Its charts, drawn at most once a sample."""

    def add(self, served: int, failed: int, time: int, seconds: float) -> None:
        """Take a sample `seconds` after the one before. Totals that went back were cleared: they count from 0."""
        at = self.next
        self.rate[at] = (served - self.served if served >= self.served else served) / seconds
        self.errors[at] = (failed - self.failed if failed >= self.failed else failed) / seconds
        self.time[at] = time
        self.served, self.failed = served, failed
        self.drawn = None
        self.next = (at + 1) % POINTS
        self.filled = min(self.filled + 1, POINTS)

    def ordered(self, values: array[float] | array[int]) -> list[float]:
        """The samples of one of the arrays, the oldest first."""
        if self.filled < POINTS:
            return list(values[: self.next])
        return [*values[self.next :], *values[: self.next]]


class History:
    """The rings of everything that the statistics show."""

    def __init__(self, frontends: Mapping[str, Frontend], backends: Mapping[str, Backend], clock: Clock) -> None:
        self.frontends = frontends
        self.backends = backends
        self.clock = clock
        self.rings: dict[Thing, Ring] = {}
        self.turn = 0
        self.last = clock.now

    def of(self, thing: Thing) -> Ring | None:
        """The ring of a proxy or server; None before its first sample."""
        return self.rings.get(thing)

    def things(self) -> Iterator[Thing]:
        """Everything that has a ring."""
        yield from self.frontends.values()
        for backend in list(self.backends.values()):
            yield backend
            yield from list(backend.servers)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await trio.sleep(PERIOD)
            for count, _ in enumerate(self.sample(), 1):
                if not count % _AT_ONCE:
                    await trio.lowlevel.checkpoint()

    def sample(self) -> Iterator[None]:
        """Write a sample of everything, one a step, and forget what is no more."""
        now = self.clock.now
        seconds, self.last = now - self.last, now
        if seconds <= 0:
            return
        self.turn += 1
        rings = self.rings
        for thing in self.things():
            served, failed, time = _read(thing)
            ring = rings.get(thing)
            if ring is None:
                ring = rings[thing] = Ring(served, failed)
            ring.add(served, failed, time, seconds)
            ring.turn = self.turn
            yield
        for thing in [thing for thing, ring in rings.items() if ring.turn != self.turn]:
            del rings[thing]


def _read(thing: Thing) -> tuple[int, int, int]:
    """Totals of what was served and of what failed, and the average time."""
    counters: Counters = thing.counters
    if isinstance(thing, Frontend):
        served = counters.req_tot if thing.config.mode is Mode.HTTP else counters.stot
        return served, counters.ereq + counters.hrsp[5], 0
    backend = thing if isinstance(thing, Backend) else thing.backend
    window = min(counters.req_tot if backend.config.mode is Mode.HTTP else counters.lbtot, SAMPLES) or SAMPLES
    failed = counters.econ + counters.eresp + counters.hrsp[5]
    return counters.stot, failed, counters.total_sum // window
