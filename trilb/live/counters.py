"""What is counted, per frontend, backend and server. Slots and additions only."""

from __future__ import annotations

from trilb.base.clock import Rate


class Counters:
    """Counters under the names of HAProxy's CSV columns (management.txt, section 9.1)."""

    __slots__ = (
        "bin",
        "bout",
        "chkdown",
        "chkfail",
        "cli_abrt",
        "conn_tot",
        "dcon",
        "dreq",
        "dresp",
        "dses",
        "econ",
        "ereq",
        "eresp",
        "hrsp",
        "lane_hits",
        "lastchg",
        "lbtot",
        "qmax",
        "rate",
        "req_rate",
        "req_tot",
        "reuse",
        "scur",
        "smax",
        "srv_abrt",
        "stot",
        "wredis",
        "wretr",
        "wrew",
    )

    def __init__(self) -> None:
        self.rate = Rate()
        self.req_rate = Rate()
        self.hrsp = [0] * 6
        self.clear()

    def clear(self) -> None:
        """Back to zero, but for what is a current state."""
        self.scur = getattr(self, "scur", 0)
        self.hrsp[:] = [0] * 6
        self.smax = self.stot = self.bin = self.bout = self.dreq = self.dresp = self.ereq = self.econ = 0
        self.eresp = self.wretr = self.wredis = self.cli_abrt = self.srv_abrt = self.lbtot = self.qmax = 0
        self.req_tot = self.conn_tot = self.chkfail = self.chkdown = self.lane_hits = self.reuse = 0
        self.lastchg = 0.0
        self.dcon = self.dses = self.wrew = 0

    def arrive(self) -> None:
        """A connection is there; whether it becomes a session is not known yet."""
        self.scur = scur = self.scur + 1
        if scur > self.smax:
            self.smax = scur

    def begin(self, now: float) -> None:
        """It became one."""
        self.stot += 1
        self.rate.add(now)

    def enter(self, now: float) -> None:
        """A session or stream begins."""
        self.arrive()
        self.begin(now)
