"""Frontends and backends while serving. What they do is in their plans, which runtime makes."""

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
        "backups",
        "by_name",
        "config",
        "counters",
        "dispatch",
        "fullconn",
        "invalid",
        "name",
        "plan",
        "published",
        "queue",
        "queue_index",
        "say",
        "servers",
        "shutdown",
    )

    plan: BackendPlan

    def __init__(self, config: Proxy) -> None:
        self.config = config
        self.name = config.name
        self.counters = Counters()
        self.say: Callable[[str, str], None] = lambda text, level: None
        """Log a line about its servers, at a syslog level by name."""
        self.dispatch: Callable[[], None] = lambda: None
        """After a change of states: serve who can be served now, send on who waits for a server that is gone."""
        self.shutdown: Callable[[Server, str], None] = lambda server, cause: None
        """End the streams that use one of its servers; the letter is the log's."""
        self.fullconn = config.fullconn or 1
        self.invalid: Invalid | None = None
        """The last response that was none (`show errors`)."""
        self.published = not config.unpublished
        self.queue: deque[Waiting] = deque()
        self.queue_index = 0
        self.servers = [Server(line, self) for line in config.servers]
        self.by_name = {server.name: server for server in self.servers}
        self.backups = any(server.line.backup for server in self.servers)

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

    def changed(self) -> None:
        """A server's weight or state changed: the algorithm rebuilds its ring from who is left."""
        for server in self.servers:
            server.refresh()
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
        "paused",
        "plan",
        "process",
        "stopped",
    )

    plan: FrontendPlan

    def __init__(self, config: Proxy, maxconn: int, process: ProcessState | None = None) -> None:
        self.config = config
        self.name = config.name
        self.process = process or ProcessState(Clock(), 0, "", 0)
        self.maxconn = maxconn
        self.counters = Counters()
        self.log_count = 0
        self.listeners: list[tuple[str, int, str, Counters]] = []
        """Name, number, address and counters of its sockets, with `option socket-stats`."""
        self.invalid: Invalid | None = None
        """The last request that was none (`show errors`)."""
        self.stopped = False
        self.paused = False
        """`disable frontend`: it refuses connections until it is enabled."""
