"""A health or agent check as it stands: how far its count is, and what its last result was. No behaviour."""

from __future__ import annotations

UNKNOWN, NEUTRAL, FAILED, PASSED, CONDITIONAL = range(5)
"""Values of Check.result, numbered as `show servers state` does (management.txt, `srv_check_result`)."""


class Check:
    """One check of one server. Health counts from 0 to rise+fall-1; at `rise` or above the check is passed."""

    __slots__ = ("begun", "code", "duration", "enabled", "fall", "health", "result", "rise", "status", "text")

    def __init__(self, rise: int, fall: int) -> None:
        self.rise = rise
        self.fall = fall
        self.health = rise
        """A checked server begins up, one failure away from down, as HAProxy's does."""
        self.enabled = True
        self.result = UNKNOWN
        self.status = "INI"
        """HAProxy's code of the last result: INI, SOCKERR, L4OK, L4TOUT, L4CON, L6OK ... (management.txt, 9.1)."""
        self.code = 0
        """The protocol's own code: an HTTP status, an SMTP reply; 0 for none."""
        self.duration = -1
        """Milliseconds the last check took; -1 before the first."""
        self.text = ""
        """What it said, cleaned for logs (`last_chk`, `last_agt`)."""
        self.begun = 0.0

    @property
    def top(self) -> int:
        """The most that health counts to."""
        return self.rise + self.fall - 1
