"""Frontends and backends while serving. What they do is in their plans, which runtime makes. HOT."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from trilb.base.clock import Clock
from trilb.config.model import Proxy
from trilb.live.counters import Counters
from trilb.live.invalid import Invalid
from trilb.live.process import ProcessState
from trilb.live.server import Server, Waiting

if TYPE_CHECKING:
    from trilb.live.plan import BackendPlan, FrontendPlan


class Backend:
    """The serving side of a backend or listen section."""

    __slots__ = (
        "active",
        "backups",
        "by_name",
        "config",
        "counters",
        "dispatch",
        "down_seconds",
        "fullconn",
        "invalid",
        "last_change",
        "name",
        "plan",
        "published",
        "queue",
        "queue_index",
        "renewals",
        "say",
        "servers",
        "shutdown",
        "spare",
    )

    plan: BackendPlan

    def __init__(self, config: Proxy) -> None:
        self.config: Proxy = config
        self.name: str = config.name
        self.counters: Counters = Counters()
        self.say: Callable[[str, str], None] = lambda text, level: None
        """Log a line about its servers, at a syslog level by name."""
        self.dispatch: Callable[[], None] = lambda: None
        """After a change of states: serve who can be served now, send on who waits for a server that is gone."""
        self.shutdown: Callable[[Server, str], None] = lambda server, cause: None
        """End the streams that use one of its servers; the letter is the log's."""
        self.renewals: list[Callable[[], None]] = []
        """What is made of its servers, their names, ids and cookies, and is to be made anew when those change."""
        self.fullconn: int = config.fullconn or 1
        self.invalid: Invalid | None = None
        """The last response that was none (`show errors`)."""
        self.published: bool = not config.unpublished
        self.queue: deque[Waiting] = deque()
        self.queue_index: int = 0
        self.servers: list[Server] = [Server(line, self) for line in config.servers]
        self.by_name: dict[str, Server] = {server.name: server for server in self.servers}
        self.backups: bool = any(server.line.backup for server in self.servers)
        self.active = 0
        """How many servers balancing may choose now; `spare` counts the backups."""
        self.spare = 0
        self.last_change = 0.0
        """When the last usable server went or the first one came; `down_seconds` is how long there was none before."""
        self.down_seconds = 0.0

    def queued(self) -> int:
        """How many streams wait, in the backend's queue and in those of its servers."""
        return len(self.queue) + sum(len(server.queue) for server in self.servers)

    def usable(self) -> list[Server]:
        """The servers balancing may choose from: primaries, or else the first backup (all with allbackups)."""
        primaries = [s for s in self.servers if s.effective > 0 and not s.line.backup]
        if primaries:
            return primaries
        backups = [s for s in self.servers if s.effective > 0 and s.line.backup]
        return backups if "allbackups" in self.config.options else backups[:1]

    def renew(self) -> None:
        """Servers came or went, or another name, id, address or cookie is theirs. Cold."""
        self.by_name = {server.name: server for server in self.servers}
        self.backups = any(server.line.backup for server in self.servers)
        for renewal in self.renewals:
            renewal()
        self.changed()

    def changed(self) -> None:
        """A server's weight or state changed: the algorithm rebuilds its ring from who is left."""
        self.active = self.spare = 0
        for server in self.servers:
            server.refresh()
            if server.effective > 0:
                if server.line.backup:
                    self.spare += 1
                else:
                    self.active += 1
        self.plan.balance.rebuild(self.usable())


class Frontend:
    """The serving side of a frontend or listen section."""

    __slots__ = (
        "config",
        "counters",
        "invalid",
        "listeners",
        "log_count",
        "maxconn",
        "name",
        "own",
        "paused",
        "plan",
        "process",
        "stopped",
    )

    plan: FrontendPlan

    def __init__(self, config: Proxy, maxconn: int, process: ProcessState | None = None) -> None:
        self.config: Proxy = config
        self.name: str = config.name
        self.process: ProcessState = process or ProcessState(Clock(), 0, "", 0)
        self.maxconn: int = maxconn
        self.counters: Counters = Counters()
        self.log_count: int = 0
        self.invalid: Invalid | None = None
        """The last request that was none (`show errors`)."""
        self.own: Backend | None = None
        """The backend of the same `listen` section: it counts what was answered before one was chosen."""
        self.stopped: bool = False
        self.paused: bool = False
        """`disable frontend`: it refuses connections until it is enabled."""
        self.listeners: list[Listener] = []
        """Its sockets that are counted for themselves (`option socket-stats`)."""


class Listener:
    """A listening socket that is counted for itself (`option socket-stats`)."""

    __slots__ = ("address", "config", "counters", "frontend", "guid", "id", "maxconn", "name")

    def __init__(self, frontend: Frontend, name: str, number: int, address: str, maxconn: int, guid: str = "") -> None:
        self.guid: str = guid
        self.frontend: Frontend = frontend
        self.config: Proxy = frontend.config
        self.name: str = name
        self.id: int = number
        self.address: str = address
        """As HAProxy writes it: address:port, or `unix`."""
        self.maxconn: int = maxconn
        self.counters: Counters = Counters()
