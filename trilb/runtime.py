"""Everything that is alive, and what builds expressions and rules for it. No I/O of its own.

`assembly` makes it, from a Config and in its order, with the plans of `plans` and the `equipment` of servers: the few
modules that know every room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trilb.admin import prometheus
from trilb.admin.commands import Gate, Growth
from trilb.admin.history import History
from trilb.base.diagnostic import NOWHERE, Place, Refused
from trilb.base.hybrid import HybridClock
from trilb.base.registry import Kind
from trilb.config.expressions import Scope
from trilb.config.keywords.globals import parse_process_variable
from trilb.config.keywords.logs import LEVELS
from trilb.config.log_lines import LogTarget
from trilb.config.model import Config, Proxy, Side
from trilb.config.settings import Global
from trilb.config.terms import Cond, Expr, Format
from trilb.health import states
from trilb.health.run import Checks
from trilb.live.plan import Step
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import Opening, Server
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.logs.sinks import Channels, Sink
from trilb.net.address import Sockaddr, ipv4
from trilb.net.poller import Waiter
from trilb.openings import opening_of
from trilb.proxy.plane import Plane
from trilb.proxy.shutdown import shutdown_stream
from trilb.resolve.run import Resolvers
from trilb.samples import build as samples
from trilb.samples.logformat import Style, compile_format
from trilb.samples.references import Store, load
from trilb.samples.variables import Variable
from trilb.tables.store import Table
from trilb.tls.store import Binding
from trilb.tls.store import Store as TlsStore

DEFAULT_MAXCONN = 2000
"""A frontend's connections when neither it nor the process says a number (configuration.txt, `maxconn`)."""


@dataclass(slots=True)
class Runtime:
    """Everything alive: what the process serves, watches and shows."""

    config: Config
    plane: Plane
    process: ProcessState
    frontends: dict[str, Frontend] = field(default_factory=dict)
    backends: dict[str, Backend] = field(default_factory=dict)
    channels: Channels = field(default_factory=Channels)
    sinks: dict[str, list[Sink]] = field(default_factory=dict)
    targets: dict[str, list[LogTarget]] = field(default_factory=dict)
    do_logs: list[tuple[str, str]] = field(default_factory=list)
    """Origin and profile of every do-log rule."""
    patterns: Store = field(default_factory=Store)
    tables: dict[str, Table] = field(default_factory=dict)
    hybrid: HybridClock = field(default_factory=HybridClock)
    growth: Growth | None = None
    """Adds and removes servers, once it serves."""
    checks: Checks | None = None
    """The checks' tasks, once it serves."""
    give_listeners: Callable[[Any], None] | None = None
    """Hands listening sockets over, for `expose-fd listeners`."""
    tls: TlsStore = field(default_factory=lambda: TlsStore(Global()))
    bindings: dict[int, Binding] = field(default_factory=dict)
    """The TLS of bind lines, by their `id()`."""
    warnings: list[tuple[Place, str]] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    """What `say` was told while building: HAProxy does not log that either."""
    serves: bool = False
    show: Callable[[str, str], None] | None = None
    """Where `say` shows lines beside the log."""
    startup: Sequence[str] = ()
    """What was said on the standard error while starting, line by line."""
    gates: list[Gate] = field(default_factory=list)
    """The listening sockets of frontends, once it serves."""
    resolvers: dict[str, Resolvers] = field(default_factory=dict)
    stats_file: str = ""
    """What a stats-file says to begin with; who opens the sockets counts them as well."""
    history: History | None = None
    """The last minutes' figures; only where there is a statistics page."""
    sections: list[Any] = field(default_factory=list)
    """Peers sections as `show peers` sees them; who serves them adds them."""

    def set_variable(self, name: str, value: Expr | Format) -> None:
        """Evaluate what a `proc` variable is set to, and set it; a missing sample leaves it as it is."""
        frontend = Frontend(Proxy("", "frontend", NOWHERE, Side.FRONTEND), 0, self.process)
        builder = Builder(self, frontend.config)
        stream = Stream(Session(frontend, b"\0\0\0\0", 0), frontend)
        if isinstance(value, Expr):
            found = samples.expression(value, builder, "any")(stream)
        else:
            found = builder.writer(value, "plain")(stream)
        if found is not None:
            Variable(name).set(stream, found)

    def parse_variable(self, name: str, text: str, *, formatted: bool) -> tuple[str, Expr | Format]:
        """Read the words of `set var`. Raises Refused."""
        assert self.config.language is not None
        scope = Scope(self.config.language, "", NOWHERE, "connection")
        return parse_process_variable(name, text, formatted=formatted, scope=scope)

    def shutdown_stream(self, stream: Stream, waiter: Waiter, cause: str) -> None:
        """End a stream; `cause` is the letter for the log."""
        shutdown_stream(stream, waiter, cause)

    def open_anew(self, server: Server) -> None:
        """Whether its connections are secured changed: it begins anew, and what idles is of no use."""
        epoch = server.opening.epoch if server.opening is not None else 0
        server.opening = opening_of(self.tls, server, Builder(self, server.backend.config)) or Opening()
        server.opening.epoch = epoch + 1
        states.let_go(server)

    def say(self, proxy: str, text: str, level: str) -> None:
        """Log a line about a proxy's state to that proxy's targets, and show it. Before it serves it is kept."""
        if not self.serves:
            self.early.append(text)
            return
        if self.show is not None:
            self.show(text, level)
        for sink in self.sinks.get(proxy, ()):
            sink.write(text.encode("latin-1", "replace"), LEVELS.index(level), self.plane.clock.wall)

    def say_globally(self, text: str, level: str) -> None:
        """Log a line about the process to the targets of the global section."""
        self.say("", text, level)


class Builder:
    """Builds what rules and expressions of one proxy need."""

    def __init__(self, runtime: Runtime, proxy: Proxy) -> None:
        self.runtime = runtime
        self.proxy = proxy
        self.family = ""
        self.building: list[str] = []
        self.bufsize = runtime.config.globals.bufsize
        self.maxrewrite = runtime.config.globals.maxrewrite
        self.stick_counters = runtime.config.globals.stick_counters

    def resolve(self, kind: Kind, name: Any) -> object:
        if kind is Kind.FRONTEND:
            return self.runtime.frontends[name]
        if kind is Kind.BACKEND:
            return self.runtime.backends[name]
        if kind is Kind.ACLS:
            if name in self.building:
                raise Refused(f"acl '{name}' refers to itself through 'acl()'")
            self.building.append(name)
            try:
                return samples.named(name, self.proxy.acls, self)
            finally:
                self.building.pop()
        if kind is Kind.MAP:
            store = self.runtime.patterns
            return store.matching(name) if name.method else store.by_name.get(name.file)
        if kind is Kind.TABLE:
            table = self.runtime.tables.get(name or self.proxy.name)
            if table is None:
                where = f"{self.proxy.kind} '{self.proxy.name}'"
                raise Refused(f"unable to find table '{name}'" if name else f"{where} has no stick-table")
            return table
        if kind is Kind.USERLIST:
            return self.runtime.config.userlists[name]
        if kind is Kind.RESOLVERS:
            return self.runtime.resolvers[name]
        backend, _, server = name.rpartition("/")
        return self.runtime.backends[backend or self.proxy.name].by_name[server]

    def writer(self, text: Format, style: Style = "http") -> Callable[[Stream], bytes]:
        return compile_format(text, self, self.runtime.process, style)

    def logger(self, origin: str, profile: str) -> Step:
        wanted = self.runtime.do_logs
        if (origin, profile) not in wanted:
            wanted.append((origin, profile))
        number = wanted.index((origin, profile))

        def step(stream: Stream) -> None:
            emit = stream.frontend.plan.do_log[number]
            if emit is not None:
                emit(stream)

        return step

    def service(self, name: str) -> Step:
        return _SERVICES[name](self.runtime)

    def uncertain(self, when: Cond) -> Callable[[Stream], bool | None]:
        return samples.uncertain(when, self.proxy.acls, self)

    def condition(self, when: Cond) -> Callable[[Stream], bool]:
        return samples.condition(when, self.proxy.acls, self)


_SERVICES: dict[str, Callable[[Runtime], Step]] = {"prometheus-exporter": prometheus.step}
"""What `use-service` may name."""


def patterns(config: Config) -> Store:
    """The pattern lists the check has loaded, or loaded now. Raises Refused."""
    store: Store | None = config.pattern_store
    if store is None:
        store, refused = load(config.patterns, ipv4)
        for use, reason in refused:
            raise Refused(reason.text, place=use.place)
        config.pattern_store = store
    return store


def addresses(runtime: Runtime) -> list[tuple[str, Sockaddr | None]]:
    """Every server with the address it resolved to, for the start-up check."""
    return [
        (f"{backend.name}/{server.name}", server.address)
        for backend in runtime.backends.values()
        for server in backend.servers
    ]
