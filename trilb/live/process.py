"""What belongs to the whole process while serving: limits, totals, identity."""

from __future__ import annotations

from typing import Any

from trilb.base.clock import Clock, Rate


class ProcessState:
    """Counters and identity of the process; one instance a process, made by the runtime."""

    __slots__ = (
        "actconn",
        "clock",
        "conn_rate",
        "cum_conn",
        "cum_req",
        "error_codes",
        "failure_codes",
        "faults",
        "hostname",
        "idle",
        "log_origin",
        "maxconn",
        "node",
        "pid",
        "req_rate",
        "sessions",
        "started_wall",
        "stopping",
        "tls_failed",
        "tls_full",
        "tls_key_rate",
        "tls_now",
        "tls_rate",
        "tls_reused",
        "tls_tried",
        "unique",
        "uri_length",
        "vars",
    )

    def __init__(self, clock: Clock, pid: int, hostname: str, maxconn: int) -> None:
        self.clock = clock
        self.pid = pid
        self.hostname = hostname
        self.node = hostname
        self.sessions: set[Any] = set()
        """Who is being served: the sessions of `proxy` (HttpSession, Http2Session, TcpSession)."""
        self.error_codes: frozenset[int] = frozenset()
        self.failure_codes: frozenset[int] = frozenset()
        self.idle = 100
        """Percent of the last second that was spent waiting."""
        self.maxconn = maxconn
        self.actconn = 0
        self.faults = 0
        self.cum_conn = 0
        self.cum_req = 0
        self.unique = 0
        self.log_origin = b"unspec"
        self.uri_length = 1023
        self.vars: dict[str, bool | int | bytes] = {}
        self.conn_rate = Rate()
        self.req_rate = Rate()
        self.started_wall = clock.wall
        self.stopping = False
        self.tls_tried = 0
        """Handshakes of clients that began."""
        self.tls_failed = 0
        self.tls_full = 0
        self.tls_reused = 0
        self.tls_now = 0
        self.tls_rate = Rate()
        self.tls_key_rate = Rate()
