"""What belongs to the whole process while serving: limits, totals, identity. HOT."""

from __future__ import annotations

from typing import Any

from trilb.base.clock import Clock, Rate


class ProcessState:
    """Counters and identity of the process; one instance a process, made by the runtime."""

    __slots__ = (
        "actconn",
        "bytes_rate",
        "clock",
        "conn_limit",
        "conn_rate",
        "cum_conn",
        "cum_req",
        "error_codes",
        "failure_codes",
        "faults",
        "hostname",
        "idle",
        "invalid",
        "limited",
        "log_origin",
        "maxconn",
        "node",
        "pid",
        "req_rate",
        "sess_limit",
        "sessions",
        "started_wall",
        "stopping",
        "tls_back_rate",
        "tls_failed",
        "tls_full",
        "tls_key_rate",
        "tls_limit",
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
        """Who is being served: the sessions of `proxy` (Http1Session, Http2Session, TcpSession)."""
        self.error_codes: frozenset[int] = frozenset()
        self.failure_codes: frozenset[int] = frozenset()
        self.idle = 100
        """Percent of the last second that was spent waiting."""
        self.maxconn = maxconn
        self.actconn = 0
        self.limited = False
        """Whether any of the three limits below is set; the numbers are events a second, 0 for no limit."""
        self.conn_limit = 0
        self.sess_limit = 0
        self.tls_limit = 0
        self.invalid = 0
        """Messages that were kept for `show errors` so far."""
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
        self.tls_back_rate = Rate()
        """Handshakes with servers for which keys were made."""
        self.bytes_rate = 0
        """Bytes that clients were sent in the last second."""

    def limit(
        self, maxconnrate: int | None = None, maxsessrate: int | None = None, maxsslrate: int | None = None
    ) -> None:
        """Change limits of rates, each a number a second; 0 is none, None leaves one as it is."""
        self.conn_limit = self.conn_limit if maxconnrate is None else maxconnrate
        self.sess_limit = self.sess_limit if maxsessrate is None else maxsessrate
        self.tls_limit = self.tls_limit if maxsslrate is None else maxsslrate
        self.limited = bool(self.conn_limit or self.sess_limit or self.tls_limit)
