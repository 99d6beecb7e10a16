"""What is counted, per frontend, listener, backend and server. Slots and additions only. HOT."""

from __future__ import annotations

from typing import Final

from trilb.base.clock import Rate

SAMPLES: Final = 1024
"""How many of the last requests times are averaged over (management.txt, `qtime`)."""

_TALLIES: Final = (
    "stot bin bout dreq dresp ereq econ eresp wretr wredis cli_abrt srv_abrt lbtot req_tot conn_tot chkfail chkdown "
    "lane_hits reuse dcon dses wrew eint intercepted hanafail ssl_sess ssl_reused ssl_failed h2_sess h2_req "
    "streams timed queue_sum connect_sum response_sum total_sum"
).split()
_HIGHEST: Final = "smax qmax queue_most connect_most response_most total_most".split()


class Counters:
    """Counters, most of them under the names of HAProxy's CSV columns (management.txt, section 9.1)."""

    __slots__ = (
        "bin",
        "bout",
        "chkdown",
        "chkfail",
        "cli_abrt",
        "conn_rate",
        "conn_tot",
        "connect_most",
        "connect_sum",
        "dcon",
        "dreq",
        "dresp",
        "dses",
        "econ",
        "eint",
        "ereq",
        "eresp",
        "h2_open",
        "h2_req",
        "h2_sess",
        "hanafail",
        "hrsp",
        "intercepted",
        "lane_hits",
        "last",
        "lastchg",
        "lbtot",
        "needed",
        "qmax",
        "queue_most",
        "queue_sum",
        "rate",
        "req_rate",
        "req_tot",
        "response_most",
        "response_sum",
        "reuse",
        "scur",
        "smax",
        "srv_abrt",
        "ssl_failed",
        "ssl_reused",
        "ssl_sess",
        "stot",
        "streams",
        "timed",
        "total_most",
        "total_sum",
        "wredis",
        "wretr",
        "wrew",
    )

    bin: int
    bout: int
    chkdown: int
    chkfail: int
    cli_abrt: int
    conn_tot: int
    connect_most: int
    connect_sum: int
    dcon: int
    dreq: int
    dresp: int
    dses: int
    econ: int
    eint: int
    ereq: int
    eresp: int
    h2_req: int
    h2_sess: int
    hanafail: int
    intercepted: int
    lane_hits: int
    lbtot: int
    qmax: int
    queue_most: int
    queue_sum: int
    req_tot: int
    response_most: int
    response_sum: int
    reuse: int
    smax: int
    srv_abrt: int
    ssl_failed: int
    ssl_reused: int
    ssl_sess: int
    stot: int
    streams: int
    timed: int
    total_most: int
    total_sum: int
    wredis: int
    wretr: int
    wrew: int

    def __init__(self) -> None:
        self.rate = Rate()
        self.req_rate = Rate()
        self.conn_rate = Rate()
        self.hrsp = [0] * 6
        self.scur = 0
        self.h2_open = 0
        """HTTP/2 connections that are open; `h2_sess` counts all there were, `h2_req` the requests on them."""
        self.last = 0.0
        """When the last session or request began, the loop's seconds; 0.0 for never."""
        self.lastchg = 0.0
        self.needed = 0
        """The most connections a server had in use at once, whatever was cleared since."""
        self.clear()

    def clear(self) -> None:
        """`clear counters all`: back to zero, but for what is a current state."""
        self.hrsp[:] = [0] * 6
        for name in _TALLIES:
            setattr(self, name, 0)
        self.last = 0.0
        self.clear_highest()
        self.smax = 0

    def clear_highest(self) -> None:
        """`clear counters`: the highest values only. What is there now is the highest from here on."""
        for name in _HIGHEST:
            setattr(self, name, 0)
        self.rate.highest = self.req_rate.highest = self.conn_rate.highest = 0

    def rise(self, used: int) -> None:
        """A server has more connections in use than before."""
        self.smax = used
        if used > self.needed:
            self.needed = used

    def arrive(self) -> None:
        """A connection is there; whether it becomes a session is not known yet."""
        self.scur = scur = self.scur + 1
        if scur > self.smax:
            self.smax = scur

    def begin(self, now: float) -> None:
        """It became one."""
        self.stot += 1
        self.last = now
        self.rate.add(now)

    def enter(self, now: float) -> None:
        """A session or stream begins."""
        self.arrive()
        self.begin(now)

    def took(self, queued: int, connect: int, response: int, total: int) -> None:
        """Take in the times of a stream that was served, in milliseconds.

        An average is kept as a sum and a number of values; both are halved when there are twice SAMPLES of them, so
        that what is old counts less and less.
        """
        self.timed = timed = self.timed + 1
        self.queue_sum += queued
        self.connect_sum += connect
        self.response_sum += response
        self.total_sum += total
        if queued > self.queue_most:
            self.queue_most = queued
        if connect > self.connect_most:
            self.connect_most = connect
        if response > self.response_most:
            self.response_most = response
        if total > self.total_most:
            self.total_most = total
        if timed >= 2 * SAMPLES:
            self.timed = SAMPLES
            self.queue_sum >>= 1
            self.connect_sum >>= 1
            self.response_sum >>= 1
            self.total_sum >>= 1
