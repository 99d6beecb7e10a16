"""Traffic tells how a server is: `observe`, `error-limit`, `on-error` (configuration.txt, section 5.2).

Who serves tells what became of each connection or response; errors in a row are as good as a failed check.
"""

from __future__ import annotations

from trilb.health.verdict import report
from trilb.live.check import FAILED, Check
from trilb.live.server import Server

_FAST = 1.0
"""Seconds to the next check where there is no `fastinter` (observed)."""


class Observer:
    """Watches one server; `now` is the loop's seconds."""

    __slots__ = ("_check", "_errors", "_responses", "_server")

    def __init__(self, server: Server, check: Check) -> None:
        self._server = server
        self._check = check
        self._responses = server.line.observe == "layer7"
        self._errors = 0

    def connected(self) -> None:
        """A connection stands, whatever follows."""
        if not self._responses:
            self._errors = 0

    def refused(self, now: float) -> None:
        """A connection did not come about."""
        self._error("L4 unsuccessful connection", now)

    def answered(self, status: int, now: float) -> None:
        """A response came; 100 to 499, 501 and 505 are good ones."""
        if not self._responses or status < 500 or status in (501, 505):
            self._errors = 0
        else:
            self._error("Wrong http response", now)

    def failed(self, how: str, now: float) -> None:
        """No usable response came; `how` in HAProxy's words."""
        if self._responses:
            self._error(how, now)
        else:
            self._errors = 0

    def _error(self, what: str, now: float) -> None:
        self._errors += 1
        line, check, server = self._server.line, self._check, self._server
        if self._errors < line.error_limit or not check.enabled:
            return
        text = f"Detected {self._errors} consecutive errors, last one was: {what}"
        self._errors = 0
        server.counters.hanafail += 1
        _hurry(check, now)
        if line.on_error == "fastinter":
            return
        if line.on_error == "mark-down":
            check.health = min(check.health, check.rise)
        elif line.on_error == "sudden-death" and check.health > check.rise:
            check.health = check.rise + 1
        check.result, check.status, check.code, check.text, check.duration = FAILED, "HANA", 0, text, -1
        report(server, check, now)


def _hurry(check: Check, now: float) -> None:
    """Let the next check come soon."""
    if check.pause is not None:
        check.pause.hasten(now + (check.fastinter or _FAST))
