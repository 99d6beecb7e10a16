"""One request and its answer, or one TCP connection: everything rules, cookies, balancing and logs look at. HOT.

Slots only. A feature's slot holds None until its first use; nothing here allocates what may not be needed.
Times are the loop's seconds, 0.0 (or -1.0 where noted) while not reached.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from trilb.base.diagnostic import Place
from trilb.http.head import Head

if TYPE_CHECKING:
    from trilb.live.proxy import Backend, Frontend
    from trilb.live.server import Server
    from trilb.live.session import Session, Side
    from trilb.tables.store import Table
    from trilb.tables.tracking import Trackers


_numbers = itertools.count()
UNSET: Final = -1
SILENT: Final = -2
"""Values of Stream.log_level besides the syslog levels: nothing set, nothing logged."""


class Limits:
    """What rules changed for one stream (`set-timeout`, `set-retries`): seconds, or None for the proxy's own."""

    __slots__ = ("client", "connect", "queue", "retries", "server", "tarpit", "tunnel")

    def __init__(self) -> None:
        self.client: float | None = None
        self.server: float | None = None
        self.tunnel: float | None = None
        self.connect: float | None = None
        self.queue: float | None = None
        self.tarpit: float | None = None
        self.retries: int | None = None

    def leave_frontend(self) -> None:
        """Another backend was chosen: what a frontend's rules said about servers is forgotten."""
        self.server = self.tunnel = self.connect = self.queue = self.retries = None


class Stream:
    """The life of one request. `cause` and `during` are the two letters of the log's termination state."""

    __slots__ = (
        "accepted",
        "accepted_wall",
        "backend",
        "body",
        "bound",
        "bytes_in",
        "bytes_out",
        "captures_in",
        "captures_out",
        "cause",
        "chosen_by_cookie",
        "chosen_by_table",
        "client",
        "client_port",
        "connected",
        "cookie_captured",
        "cookie_captured_out",
        "cookie_first",
        "cookie_in",
        "cookie_last",
        "cookie_out",
        "dispatched",
        "during",
        "forced",
        "frontend",
        "head_size",
        "idle_since",
        "ignore_persist",
        "inner_bytes",
        "inspect_done",
        "inspected",
        "inspected_server",
        "last_rule",
        "learned",
        "limits",
        "local",
        "local_port",
        "log_level",
        "logged",
        "may_change",
        "method",
        "no_l7_retry",
        "not_http",
        "number",
        "picked",
        "position",
        "priority_class",
        "priority_offset",
        "queue_backend",
        "queue_server",
        "queued",
        "received",
        "redispatched",
        "refusal",
        "req_vars",
        "request",
        "res_body",
        "res_vars",
        "responded",
        "response",
        "response_started",
        "retries",
        "server",
        "server_side",
        "session",
        "status",
        "strict",
        "target",
        "tracked",
        "txn_vars",
        "unique",
    )

    def __init__(self, session: Session, frontend: Frontend) -> None:
        self.session = session
        self.frontend = frontend
        self.backend: Backend | None = None
        self.server: Server | None = None
        self.picked: Server | None = None
        self.request: Head | None = None
        self.response: Head | None = None
        self.method = b""
        self.target = b""
        self.number = next(_numbers)
        self.status = -1
        self.bytes_in = 0
        self.inner_bytes = 0
        """What sticky counters count above `bytes_in`."""
        self.bytes_out = 0
        self.accepted = session.accepted
        self.accepted_wall = session.accepted_wall
        self.idle_since = 0.0
        self.received = 0.0
        self.queued = 0.0
        self.dispatched = 0.0
        self.connected = 0.0
        self.responded = 0.0
        self.response_started = False
        self.retries = 0
        self.redispatched = False
        self.cause = "-"
        self.during = "-"
        self.cookie_in = "N"
        self.cookie_out = "N"
        self.cookie_first = 0
        self.cookie_last = 0
        self.chosen_by_cookie = False
        self.chosen_by_table = False
        self.tracked: Trackers | None = None
        self.learned: list[tuple[Table, bytes]] | None = None
        """What tables learn once the server has answered."""
        self.ignore_persist = False
        self.forced = False
        self.no_l7_retry = False
        self.queue_server = 0
        self.queue_backend = 0
        self.log_level = UNSET
        self.logged = False
        self.client = session.client
        self.client_port = session.client_port
        self.local = session.local
        self.local_port = session.local_port
        self.txn_vars: dict[str, bool | int | bytes] | None = None
        self.req_vars: dict[str, bool | int | bytes] | None = None
        self.res_vars: dict[str, bool | int | bytes] | None = None
        self.refusal = ""
        self.bound: object = None
        self.cookie_captured: bytes | None = None
        self.cookie_captured_out: bytes | None = None
        self.captures_in: list[bytes | None] | None = None
        self.captures_out: list[bytes | None] | None = None
        self.body: bytes | None = None
        self.res_body: bytes | None = None
        self.unique: bytes | None = None
        self.last_rule: Place | None = None
        self.position = 0
        self.head_size = 0
        self.limits: Limits | None = None
        self.server_side: Side | None = None
        self.inspected: bytes | None = None
        self.inspected_server: bytes | None = None
        self.inspect_done = True
        self.may_change = False
        self.not_http = False
        self.strict = True
        self.priority_class = 0
        self.priority_offset = 0

    def end(self, cause: str, during: str) -> None:
        """Set the termination letters, unless something earlier already did."""
        if self.cause == "-":
            self.cause = cause
            self.during = during
        elif self.during == "-":
            # Somebody ended the stream: what it was doing shows only as it ends.
            self.during = during


class CheckStream(Stream):
    """What a health check's rules and samples look at: it has variables of its own, and nobody asked for anything."""

    __slots__ = ("check_vars",)

    def __init__(self, session: Session, frontend: Frontend) -> None:
        super().__init__(session, frontend)
        self.check_vars: dict[str, bool | int | bytes] = {}


def own_limit(stream: Stream, name: str, default: float | None) -> float | None:
    """A timeout of the stream: what `set-timeout` gave it, else the proxy's."""
    limits = stream.limits
    if limits is None:
        return default
    own: float | None = getattr(limits, name)
    return default if own is None else own


def retries_of(stream: Stream, default: int) -> int:
    """How often the stream may try again: what `set-retries` gave it, else the proxy's `retries`."""
    limits = stream.limits
    return default if limits is None or limits.retries is None else limits.retries
