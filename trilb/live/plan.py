"""Plans: what a proxy does, as tuples of closures made at load. A feature that is off is absent from its tuple. HOT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from trilb.config.lines import ServerLine
from trilb.http.policy import Limits
from trilb.live.effects import Answer, Effect
from trilb.live.proxy import Backend
from trilb.live.server import Server
from trilb.live.stream import Stream

Step = Callable[[Stream], Effect | None]
Errors = Mapping[int, Answer]
"""Error pages by status; what is not there has the built-in page."""
Writer = Callable[[Stream], None]
Edit = Callable[[Stream], None]
Key = Callable[[Stream], bytes | int | None]


class Balance(Protocol):
    """A balancing algorithm: rebuilt when servers change, asked once a request."""

    def rebuild(self, servers: list[Server]) -> None:
        """Take the servers that may be chosen from now on. Cold."""

    def pick(self, key: bytes | int | None, avoid: Server | None) -> Server | None:
        """The server for a key; None when all are full or there is none. Hot."""


class Route:
    """What a frontend and a backend decide together: edits of requests on this way, and who closes."""

    __slots__ = (
        "backend",
        "client_close",
        "content",
        "edits",
        "errors",
        "inspect_delay",
        "pretend",
        "rules",
        "server_close",
    )

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.edits: tuple[Edit, ...] = ()
        self.errors: Errors = {}
        self.content: Step | None = None
        self.inspect_delay = 0.0
        self.rules: tuple[Step, ...] = ()
        self.client_close = False
        self.server_close = False
        self.pretend = False


class FrontendPlan:
    """A frontend's work, in the order of the phases. Timeouts are seconds or None."""

    __slots__ = (
        "after",
        "buffer_request",
        "capture",
        "capture_response",
        "case_adjust",
        "choose",
        "client_fin",
        "client_timeout",
        "close_mode",
        "content",
        "do_log",
        "dontlog_normal",
        "dontlognull",
        "errors",
        "handshake_timeout",
        "ignore_probes",
        "inspect_delay",
        "keep_alive_timeout",
        "keepalive",
        "limits",
        "log",
        "log_accept",
        "log_connect",
        "log_early",
        "log_error",
        "log_refused",
        "log_request",
        "log_response",
        "logasap",
        "monitor",
        "monitor_fail",
        "on_connect",
        "on_session",
        "peeks",
        "proxy_header",
        "raw_errors",
        "request",
        "request_timeout",
        "response",
        "tarpit",
        "unique_id",
    )

    def __init__(self) -> None:
        self.request: tuple[Step, ...] = ()
        self.response: tuple[Step, ...] = ()
        self.after: tuple[Step, ...] = ()
        self.buffer_request = False
        self.choose: Callable[[Stream], Route | None] = lambda stream: None
        self.on_connect: Step | None = None
        self.on_session: Step | None = None
        self.content: Step | None = None
        self.inspect_delay = 0.0
        self.peeks = False
        self.unique_id: Callable[[Stream], bytes] | None = None
        self.capture: tuple[Step, ...] = ()
        self.capture_response: tuple[Step, ...] = ()
        self.log: tuple[Writer, ...] = ()
        self.log_early: tuple[Writer, ...] = ()
        self.log_error: tuple[Writer, ...] = ()
        self.log_refused: tuple[Writer, ...] = ()
        self.log_accept: tuple[Writer, ...] = ()
        self.log_request: tuple[Writer, ...] = ()
        self.log_connect: tuple[Writer, ...] = ()
        self.log_response: tuple[Writer, ...] = ()
        self.do_log: tuple[Writer | None, ...] = ()
        self.errors: Errors = {}
        self.limits = Limits()
        self.client_timeout: float | None = None
        self.client_fin: float | None = None
        self.handshake_timeout: float | None = None
        self.request_timeout: float | None = None
        self.keep_alive_timeout: float | None = None
        self.tarpit: float | None = None
        self.close_mode = ""
        self.dontlognull = False
        self.dontlog_normal = False
        self.logasap = False
        self.ignore_probes = False
        self.keepalive = False
        self.monitor = b""
        self.monitor_fail: tuple[Callable[[Stream], bool], ...] = ()
        self.proxy_header = False
        self.raw_errors: dict[int, bytes] = {}
        self.case_adjust: dict[bytes, bytes] | None = None


class BackendPlan:
    """A backend's work."""

    __slots__ = (
        "abortonclose",
        "after",
        "balance",
        "buffer_request",
        "case_adjust",
        "close_mode",
        "connect_timeout",
        "connection_rules",
        "cookie_flags",
        "cookie_response",
        "errors",
        "force_persist",
        "hashed",
        "keepalive",
        "key",
        "learn",
        "moved",
        "payload",
        "persist",
        "persist_option",
        "queue_timeout",
        "redispatch",
        "request",
        "response",
        "response_inspect_delay",
        "retries",
        "retries_answers",
        "retry_on",
        "reuse",
        "server_fin",
        "server_timeout",
        "stick",
        "tcp_response",
        "tunnel_timeout",
        "use_server",
    )

    balance: Balance

    def __init__(self) -> None:
        self.request: tuple[Step, ...] = ()
        self.response: tuple[Step, ...] = ()
        self.after: tuple[Step, ...] = ()
        self.buffer_request = False
        self.tcp_response: Step | None = None
        self.response_inspect_delay = 0.0
        self.persist: Callable[[Stream], None] | None = None
        self.force_persist: Callable[[Stream], bool] | None = None
        self.persist_option = False
        self.cookie_flags = False
        self.key: Key | None = None
        self.hashed = False
        self.keepalive = False
        self.payload = False
        self.moved: Callable[[Server], None] | None = None
        self.cookie_response: Edit | None = None
        self.errors: Errors = {}
        self.connect_timeout: float | None = None
        self.server_timeout: float | None = None
        self.server_fin: float | None = None
        self.tunnel_timeout: float | None = None
        self.queue_timeout: float | None = None
        self.retries = 3
        self.retries_answers = False
        self.connection_rules = False
        self.redispatch: int | None = None
        self.retry_on: frozenset[str] = frozenset()
        self.reuse = "safe"
        self.abortonclose = False
        self.close_mode = ""
        self.case_adjust: dict[bytes, bytes] | None = None
        self.use_server: Callable[[Stream], Server | None] | None = None
        self.stick: Callable[[Stream], None] | None = None
        self.learn: Callable[[Stream], None] | None = None


__all__ = ["BackendPlan", "Balance", "Edit", "FrontendPlan", "Key", "Route", "ServerLine", "Step", "Writer"]
