"""What every session of a process shares: the poller, the clock, the limits. Made once by the runtime. HOT."""

from __future__ import annotations

from trilb.base.clock import Clock
from trilb.http.h2events import Tuning
from trilb.http.policy import Limits
from trilb.live.process import ProcessState
from trilb.net.poller import Poller
from trilb.net.timers import Wheel


class Plane:
    """The data plane's shared parts. `lane` says whether the fast lane is on; `stopping` that a soft stop runs."""

    __slots__ = ("bufsize", "clock", "h2", "lane", "limits", "poller", "process", "stopping", "wheel")

    def __init__(self, clock: Clock, process: ProcessState, limits: Limits, *, lane: bool = True) -> None:
        self.clock = clock
        self.process = process
        self.limits = limits
        self.lane = lane
        self.bufsize = limits.raw
        self.h2 = Tuning()
        self.poller = Poller(clock)
        self.wheel = Wheel(clock)
        self.stopping = False
