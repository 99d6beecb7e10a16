"""A health or agent check as it stands: how far its count is, and what its last result was. No behaviour. HOT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from trilb.live.server import Server

UNKNOWN, NEUTRAL, FAILED, PASSED, CONDITIONAL = range(5)
"""Values of Check.result, numbered as `show servers state` does (management.txt, `srv_check_result`)."""


class Prober(Protocol):
    """How a check is done: a script that is played (health.play.Player), or a Sleeper."""

    def settle(self, server: Server, check: Check, now: float) -> None:
        """Take the result into account that stands in the check."""


class Sleeper(Prober, Protocol):
    """A prober that runs in a task."""

    async def probe(self, server: Server, check: Check, waiter: Any) -> None:
        """Try once, and leave result, status, code and text in the check; whatever the server does, it never raises.

        It may be cancelled, and sleeps by the waiter it is given (net.poller.Waiter).
        """


class Check:
    """One check of one server. Health counts from 0 to rise+fall-1; at `rise` or above the check is passed."""

    __slots__ = (
        "address",
        "begun",
        "busy",
        "code",
        "downinter",
        "duration",
        "enabled",
        "fall",
        "fastinter",
        "health",
        "inter",
        "known",
        "pause",
        "paused",
        "port",
        "prober",
        "result",
        "rise",
        "send",
        "status",
        "text",
    )

    def __init__(self, rise: int, fall: int, inter: float = 2.0) -> None:
        self.inter = inter
        """Seconds between the end of a check and the next one; None below means `inter`."""
        self.fastinter: float | None = None
        self.downinter: float | None = None
        self.address = ""
        """Where it goes, the server's own address and port where nothing is said."""
        self.port = 0
        self.send = b""
        """What an agent is told first."""
        self.prober: Prober | None = None
        self.pause: Any = None
        """By what it can be made due sooner (health.run.Turn), None while it is being done."""
        self.rise = rise
        self.fall = fall
        self.health = rise
        """A checked server begins up, one failure away from down, as HAProxy's does."""
        self.enabled = True
        self.paused = False
        """Its server was in maintenance when it last was enabled, and as far as anybody told it still is."""
        self.result = UNKNOWN
        self.status = "INI"
        """HAProxy's code of the last result: INI, SOCKERR, L4OK, L4TOUT, L4CON, L6OK ... (management.txt, 9.1)."""
        self.known = self.status
        """The code that was told last."""
        self.code = 0
        """The protocol's own code: an HTTP status, an SMTP reply; 0 for none."""
        self.duration = -1
        """Milliseconds the last check took; -1 before the first."""
        self.text = ""
        """What it said, cleaned for logs (`last_chk`, `last_agt`)."""
        self.busy = False
        """It is under way; `status` is that of the one before."""
        self.begun = 0.0
        """When the last check began, the loop's seconds."""

    @property
    def top(self) -> int:
        """The most that health counts to."""
        return self.rise + self.fall - 1
