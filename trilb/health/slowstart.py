"""A server that came back takes on its share bit by bit (configuration.txt, `slowstart`).

Its weight grows in sixteenths, at most twenty times and not more than once a second, as HAProxy's does; what it may
take of its maxconn grows every second. Algorithms that cannot change a weight keep it.
"""

from __future__ import annotations

from math import ceil

from trilb.health import states
from trilb.health.weights import dynamic
from trilb.live.server import RAMP, STARTING, Server
from trilb.net.timers import Wheel

_STEPS = 20


class SlowStart:
    """The timer of one server."""

    __slots__ = ("_begun", "_due", "_seconds", "_server", "_wheel", "expires", "filed")

    def __init__(self, server: Server, wheel: Wheel) -> None:
        self._server = server
        self._wheel = wheel
        self._seconds = ceil(server.line.slowstart)
        self._begun = 0.0
        self._due = 0.0
        """Seconds after it came back when its weight may grow again. HAProxy counts whole ones."""
        self.expires = 0.0
        self.filed = 0

    def begin(self, now: float) -> None:
        """It came back."""
        self._begun = now
        self._server.capacity = 0
        self._climb(0)
        self._sleep(0)

    def end(self) -> None:
        """It is removed: nothing is to hold it until its next second."""
        self.expires = 0.0
        if self.filed:
            self._wheel.drop(self)

    def _climb(self, elapsed: int) -> None:
        if dynamic(self._server.backend):
            self._server.ramp = (RAMP * elapsed + self._seconds) // self._seconds
        self._due = elapsed + max(1, self._seconds / _STEPS)

    def _sleep(self, elapsed: int) -> None:
        self.expires = self._begun + elapsed + 1
        self._wheel.file(self)

    def expire(self) -> None:
        """Another second has gone by."""
        server, now = self._server, self._wheel.clock.now
        self.expires = 0.0
        if server.operation != STARTING:
            return
        # Never before its time, but for what is lost in adding.
        elapsed = int(now - self._begun + 1e-6)
        if elapsed >= self._seconds:
            states.warmed(server, now)
            return
        server.capacity = 100 * elapsed // self._seconds
        if elapsed >= self._due:
            self._climb(elapsed)
            server.backend.changed()
        server.backend.dispatch()
        self._sleep(elapsed)
