"""From a Config to live objects with their plans: the one place that knows every room. No I/O of its own.

`build` makes frontends, backends and servers, resolves references between them, and compiles rules, logs, cookies
and balancing into the plans that the data plane follows. Names are resolved to addresses here through net, which is
allowed to ask the system.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from trilb.admin import page, prometheus
from trilb.admin.commands import Gate, Growth
from trilb.admin.history import History
from trilb.affinity import dynamic
from trilb.affinity.cookie import CookiePersistence
from trilb.affinity.stick import Rule as StickBuilt
from trilb.affinity.stick import Stickiness
from trilb.balance.registry import algorithms
from trilb.base.address import Family
from trilb.base.clock import Clock
from trilb.base.diagnostic import NOWHERE, Place, Refused
from trilb.base.hybrid import HybridClock
from trilb.base.registry import Kind
from trilb.config.expressions import Scope
from trilb.config.keywords.globals import parse_process_variable
from trilb.config.keywords.logs import LEVELS
from trilb.config.model import Cond, Config, Expr, Format, Global, LogTarget, Mode, Proxy, ServerLine, Side, Source
from trilb.config.probes import ConnectStep, Probe
from trilb.health import restore, states
from trilb.health.agent import Agent
from trilb.health.compile import compile_probe, host_of
from trilb.health.external import External, command_of
from trilb.health.files import saved_states
from trilb.health.observe import Observer
from trilb.health.play import Opening as CheckOpening
from trilb.health.play import Player
from trilb.health.run import Checks
from trilb.health.slowstart import SlowStart
from trilb.http.h2 import Tuning
from trilb.http.policy import Limits
from trilb.live.check import Check, Prober
from trilb.live.plan import BackendPlan, FrontendPlan, Key, Route, Step
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import MAINT, RMAINT, STOPPED, Opening, Server
from trilb.live.session import Session
from trilb.live.stream import CheckStream, Stream
from trilb.logs.sinks import Channels, Sink
from trilb.logs.writers import FrontendLog
from trilb.net.address import Sockaddr, initial, ipv4, literal
from trilb.net.poller import Waiter
from trilb.proxy import opening, queue
from trilb.proxy.plane import Plane
from trilb.proxy.shutdown import shutdown_sessions, shutdown_stream
from trilb.resolve import run as resolve
from trilb.resolve.run import Resolvers
from trilb.rules import capture, names
from trilb.rules import forwarded as forward
from trilb.rules.answers import error_pages
from trilb.rules.build import content_set, rule_set, rule_steps
from trilb.rules.switch import backend_chooser, server_chooser
from trilb.samples import build as samples
from trilb.samples.logformat import Style, compile_format
from trilb.samples.references import Store, load
from trilb.samples.tables import KEY_TYPES
from trilb.samples.variables import Variable
from trilb.tables.store import Table
from trilb.tls.store import Binding
from trilb.tls.store import Store as TlsStore

Name = Callable[[Stream], bytes | None]

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
        builder = _Builder(self, frontend.config)
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
        server.opening = _opening(self.tls, server, _Builder(self, server.backend.config)) or Opening()
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


class _Builder:
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


def _h2_tuning(settings: Global) -> Tuning:
    said = settings.h2
    window = said.window if said.window is not None else settings.bufsize
    return Tuning(
        max_streams=(said.streams if said.fe_streams is None else said.fe_streams) or 100,
        total_streams=said.total_streams,
        window=window if said.fe_window is None else said.fe_window,
        header_table=said.header_table,
        frame_size=said.frame_size,
        rxbuf=said.rxbuf,
        glitches=said.glitches,
        websockets=said.websockets,
        logs=said.log_errors,
        be_streams=(said.streams if said.be_streams is None else said.be_streams) or 100,
        # HTTP/2's own default is the least, unless somebody asked for less.
        be_window=(max(window, 65535) if said.window is None else window) if said.be_window is None else said.be_window,
    )


def build(config: Config, clock: Clock | None = None) -> Runtime:
    """Make everything that will serve. Raises Refused for what only shows now (names, missing addresses)."""
    clock = clock or Clock()
    settings = config.globals
    process = ProcessState(clock, os.getpid(), settings.log_hostname or os.uname().nodename, settings.maxconn)
    process.uri_length = settings.log_uri
    process.error_codes, process.failure_codes = settings.error_codes, settings.failure_codes
    process.limit(**settings.rates)
    process.node = settings.node or process.hostname
    limits = Limits(settings.bufsize, settings.maxrewrite, settings.max_headers)
    plane = Plane(clock, process, limits, lane=settings.fast_lane)
    plane.h2 = _h2_tuning(settings)
    runtime = Runtime(config, plane, process, patterns=patterns(config))
    runtime.tls = TlsStore(settings, lambda place, text: runtime.warnings.append((place, text)))
    for schema in config.tables.values():
        # Even one that no peers section names is shared: with the process that takes over from this one.
        runtime.tables[schema.name] = Table(schema, runtime.hybrid, shared=True)
    for name, value, place in settings.variables:
        try:
            runtime.set_variable(name, value)
        except Refused as refused:
            raise Refused(refused.text, place=place) from None
    runtime.sinks[""] = _sinks(runtime, Proxy("", "defaults", NOWHERE, Side.FRONTEND, log_global=True))
    alive = [proxy for proxy in config.proxies if not proxy.disabled]
    saved = saved_states(settings, alive, lambda place, text: runtime.warnings.append((place, text)))
    for proxy in alive:
        if proxy.side & Side.FRONTEND:
            most = proxy.maxconn or settings.maxconn or DEFAULT_MAXCONN
            runtime.frontends[proxy.name] = Frontend(proxy, most, process)
        if proxy.side & Side.BACKEND:
            runtime.backends[proxy.name] = _backend(proxy, saved.get(proxy.name, {}))
        runtime.sinks[proxy.name] = _sinks(runtime, proxy)
    for backend in runtime.backends.values():
        for server in backend.servers:
            if server.line.track:
                owner, _, name = server.line.track.rpartition("/")
                server.track = runtime.backends[owner or backend.name].by_name[name]
                # The last one is the first to be told, as with HAProxy.
                server.track.followers.insert(0, server)
    for backend in runtime.backends.values():
        if not backend.config.fullconn:
            # A tenth of what the frontends may bring (configuration.txt, `fullconn`).
            reach = [f.maxconn for f in runtime.frontends.values() if _reaches(f.config, backend.name)]
            backend.fullconn = max(1, sum(reach) // 10)
    for section in config.resolvers.values():
        runtime.resolvers[section.name] = Resolvers(section, clock)
    resolve.connect(runtime.resolvers.values(), runtime.backends.values())
    _tls(runtime, alive)
    case = {low.encode(): wanted.encode() for low, wanted in settings.case_adjust.items()} or None
    for backend in runtime.backends.values():
        backend.plan = _backend_plan(runtime, backend, case)
        backend.say = partial(runtime.say, backend.name)
        backend.dispatch = partial(queue.dispatch_all, backend)
        backend.shutdown = partial(shutdown_sessions, process.sessions)
        backend.last_change = clock.now
        for server in backend.servers:
            server.last_change = clock.now
            server.pinned = (backend.name, server.name) in config.pinned
        backend.changed()
    states.inherit(runtime.backends.values())
    for backend in runtime.backends.values():
        rows = saved.get(backend.name, {})
        for server in backend.servers:
            if server.name in rows:
                restore.apply(server, rows[server.name], clock.now)
    if saved:
        states.inherit(runtime.backends.values())
    for frontend in runtime.frontends.values():
        frontend.plan = _frontend_plan(runtime, frontend, case)
    for frontend in runtime.frontends.values():
        _logging(runtime, frontend)
    return runtime


_ALPN = {"h1": (b"http/1.1",), "h2": (b"h2",)} | dict.fromkeys(("", "none"), (b"h2", b"http/1.1"))
"""What HTTP frontends offer, by `proto`, where `alpn` says nothing (configuration.txt, `alpn`)."""


def _tls(runtime: Runtime, alive: list[Proxy]) -> None:
    """Certificates and contexts of bind and server lines, and what connections to servers begin with."""
    store = runtime.tls
    store.load()
    for proxy in alive:
        for bind in proxy.binds:
            if bind.ssl:
                runtime.bindings[id(bind)] = store.bind(bind, _ALPN[bind.proto] if proxy.mode is Mode.HTTP else ())
    for backend in runtime.backends.values():
        builder = _Builder(runtime, backend.config)
        for server in backend.servers:
            _equip(runtime, server, builder)


def _equip(runtime: Runtime, server: Server, builder: _Builder) -> None:
    """What its connections and checks begin with, and who else looks after it."""
    server.opening = _opening(runtime.tls, server, builder)
    if server.check is not None:
        server.check.prober = prober(runtime, server)
        if server.line.observe != "none":
            server.observer = Observer(server, server.check)
    if server.agent is not None:
        server.agent.prober = _agent(runtime, server.agent, server.backend.config.timeouts.check)
    if server.line.slowstart:
        server.slowstart = SlowStart(server, runtime.plane.wheel)


def equip(runtime: Runtime, server: Server) -> None:
    """Make a server ready that is added while serving. A name is not looked up. Raises Refused."""
    server.family, server.address = initial(server.line.address, "none")
    _settle(server)
    _equip(runtime, server, _Builder(runtime, server.backend.config))


def _agent(runtime: Runtime, check: Check, timeout: float | None) -> Agent:
    """What asks a server's agent. Raises Refused for a name nobody knows."""
    if check.address:
        check.address = literal(check.address)
    return Agent(runtime.plane.poller, timeout)


def prober(runtime: Runtime, server: Server) -> Prober:
    """What does a server's check. Raises Refused."""
    backend, config = server.backend, server.backend.config
    builder = _Builder(runtime, config)
    line = server.line
    probe = runtime.config.healthchecks[line.healthcheck].probe if line.healthcheck else config.probe
    settings = runtime.config.globals
    if probe.kind == "external-check":
        permitted = settings.insecure_fork or os.geteuid() == 0
        return External(command_of(config, permitted=permitted, preserve=settings.preserve_env))
    limits = Limits(settings.bufsize, settings.maxrewrite, settings.max_headers)
    if server.check is not None and line.check_address:
        server.check.address = line.check_address = literal(line.check_address)

    def opened(step: ConnectStep) -> CheckOpening | None:
        return _check_opening(runtime.tls, line, step, probe)

    try:
        script = compile_probe(probe, server, builder, limits, opened)
    except Refused as refused:
        who = f"'server {backend.name}/{line.name}'"
        raise Refused(f"{who} : {refused.text}", place=refused.place or line.place) from None
    front = Frontend(config, 0, runtime.process)
    front.plan = FrontendPlan()
    if config.unique_id_format is not None:
        front.plan.unique_id = builder.writer(config.unique_id_format, "unique")
    stream = CheckStream(Session(front, b"\0\0\0\0", 0), front)
    stream.backend, stream.server = backend, server
    times = config.timeouts
    return Player(runtime.plane.poller, script, stream, times.check, times.connect)


def _check_opening(store: TlsStore, line: ServerLine, step: ConnectStep, probe: Probe) -> CheckOpening | None:
    """What a check's connection begins with: what its step says, and what the server line says where it may.

    TLS and the PROXY header of the server are not used when its check goes elsewhere (configuration.txt, `check-ssl`).
    """
    # One that is added while running has a check of its own in this (regression test server/cli_add_check_server).
    elsewhere = bool(line.check_port or line.check_address) or line.added
    secured, header, name, alpn = step.ssl, "v1" if step.send_proxy else "", step.sni, step.alpn
    proto = step.proto
    if step.default:
        secured = secured or (line.check_ssl if line.check_ssl is not None else line.ssl and not elsewhere)
        if line.check_send_proxy or (line.send_proxy and not elsewhere):
            header = line.send_proxy or "v1"
        name = name or line.check_sni or (host_of(probe) if line.check_sni_auto else "")
        proto = proto or line.check_proto or line.proto
    http = probe.kind == "httpchk"
    multiplexed = proto == "h2" and http
    if not secured and not header and not multiplexed:
        return None
    outgoing = None
    if secured:
        alpn = alpn or (line.check_alpn if line.check_alpn is not None else line.tls.alpn if http else ()) or ()
        outgoing = store.server(replace(line, tls=replace(line.tls, alpn=alpn)))
    made = CheckOpening(header, outgoing, name.encode("latin-1") or None)
    made.multiplexed = multiplexed if proto or not http else None
    return made


def _opening(store: TlsStore, server: Server, builder: _Builder) -> Opening | None:
    line = server.line
    follows = server.transparent or server.port_offset is not None
    if not line.ssl and not line.send_proxy and line.pool_conn_name is None and not follows:
        return None
    made = Opening()
    made.follows = follows
    if line.send_proxy:
        tlvs = tuple((kind, builder.writer(text, "plain")) for kind, text in line.proxy_tlvs)
        made.header = opening.header(line.send_proxy, line.proxy_options, tlvs)
    if line.ssl:
        made.tls = store.server(line)
        downgrades = line.ws == "h1" or (line.ws == "auto" and b"http/1.1" in (line.tls.alpn or ()))
        if b"h2" in (line.tls.alpn or ()) and downgrades:
            h1 = replace(line, tls=replace(line.tls, alpn=(b"http/1.1",)))
            made.tls_h1 = store.server(h1)
        if line.tls.sni is not None:
            made.name = cast(Name, samples.expression(line.tls.sni, builder, "str"))
        elif line.tls.sni_auto and builder.proxy.mode is Mode.HTTP:
            made.name = _host
    if line.pool_conn_name is not None:
        made.alias = cast(Name, samples.expression(line.pool_conn_name, builder, "str"))
    return made


def _host(stream: Stream) -> bytes | None:
    """The host of a request without its port, to ask an HTTPS server for (configuration.txt, `sni-auto`)."""
    host = stream.request.get(b"host") if stream.request is not None else None
    return host.partition(b":")[0] or None if host else None


def _backend(proxy: Proxy, saved: Mapping[str, restore.Row]) -> Backend:
    backend = Backend(proxy)
    for server in backend.servers:
        line = server.line
        try:
            server.family, server.address = initial(
                line.address,
                line.init_address,
                resolved_later=bool(line.resolvers),
                last=saved[line.name].address if line.name in saved else "",
            )
        except Refused as refused:
            raise Refused(f"'server {proxy.name}/{line.name}' : {refused.text}", place=line.place) from None
        if server.address is None:
            server.admin |= RMAINT
            server.operation = STOPPED
            server.health.health = 0
            server.health.paused = server.health.paused or server.check is not None
            server.counters.chkdown += not line.disabled
        _settle(server)
    servers = backend.servers
    if all(each.admin & MAINT for each in servers) and any(not each.line.disabled for each in servers):
        # Those that could serve have no address yet.
        backend.counters.chkdown += 1
    return backend


def _settle(server: Server) -> None:
    """What follows from its line and address."""
    line, proxy = server.line, server.backend.config
    server.transparent = line.address.family is Family.ANY and not line.address.host
    if line.address.offset:
        server.port_offset = line.address.port
    source = line.source or proxy.source
    if source:
        server.source = (source.partition(":")[0], int(source.partition(":")[2] or 0))
    dynamic.settle(server)


def _reaches(front: Proxy, backend: str) -> bool:
    return backend in (front.name, front.default_backend) or any(
        rule.dynamic is None and rule.name == backend for rule in front.use_backend
    )


def _sinks(runtime: Runtime, proxy: Proxy) -> list[Sink]:
    settings = runtime.config.globals
    targets: list[LogTarget] = [*(settings.logs if proxy.log_global else ()), *proxy.logs]
    profiles = runtime.config.log_profiles
    tag = proxy.log_tag or settings.log_tag
    runtime.targets[proxy.name] = targets
    return [
        Sink(
            target,
            runtime.channels.get(target),
            (profiles[target.profile].tag if target.profile else "") or tag,
            settings.log_hostname,
            runtime.process.pid,
        )
        for target in targets
    ]


def _close_mode(proxy: Proxy) -> str:
    for option in ("httpclose", "http-server-close"):
        if option in proxy.options:
            return option
    return ""


# -- backends ----------------------------------------------------------------------------------------------------


def _backend_plan(runtime: Runtime, backend: Backend, case: dict[bytes, bytes] | None) -> BackendPlan:
    config = backend.config
    plan = BackendPlan()
    builder = _Builder(runtime, config)
    times = config.timeouts
    plan.connect_timeout, plan.server_timeout, plan.server_fin = times.connect, times.server, times.server_fin
    plan.tunnel_timeout, plan.queue_timeout = times.tunnel, times.queue
    plan.retries, plan.redispatch, plan.retry_on = config.retries, config.redispatch, config.retry_on
    sides = [config, *(f.config for f in runtime.frontends.values())]
    plan.connection_rules = any(
        rule.act.args and rule.act.args[0] == b"connection"
        for side in sides
        for rule in side.rules.get("http-response", ())
    )
    plan.retries_answers = bool(config.retry_on - {"conn-failure"})
    plan.reuse = config.reuse
    plan.keepalive = bool({"tcpka", "srvtcpka"} & config.options)
    plan.persist_option = "persist" in config.options
    plan.abortonclose = "abortonclose" in config.options
    plan.errors = error_pages(config.errorfiles, builder)
    plan.close_mode = _close_mode(config)
    if "h1-case-adjust-bogus-server" in config.options:
        plan.case_adjust = case
    entry = algorithms.entries[config.balance.name]
    plan.balance = entry.factory(config, *config.balance.args)
    make_key = entry.facts.get("key")
    if callable(make_key):
        plan.key = cast(Key, make_key(*config.balance.args))
        plan.hashed = True
    plan.payload = bool(entry.facts.get("payload"))
    plan.moved = getattr(plan.balance, "moved", None)
    response = rule_set("http-response", config, builder)
    plan.response = (response,) if response is not None else ()
    after = rule_set("http-after-response", config, builder)
    plan.after = (after,) if after is not None else ()
    plan.buffer_request = "http-buffer-request" in config.options
    plan.tcp_response = content_set("tcp-response content", config, builder)
    plan.response_inspect_delay = config.response_inspect_delay
    plan.use_server = server_chooser(config.use_server, backend.by_name, plan.persist_option, builder)
    if config.stick:
        _stickiness(runtime, backend, plan, builder)
    if config.cookie is not None and not (
        config.cookie.dynamic
        and not config.dynamic_cookie_key
        and not any(server.cookie is not None for server in backend.servers)
    ):
        _persistence(runtime, backend, plan, builder)
    return plan


def _stickiness(runtime: Runtime, backend: Backend, plan: BackendPlan, builder: _Builder) -> None:
    """The stick rules of a backend, those of the request and those of the response."""
    request: list[StickBuilt] = []
    response: list[StickBuilt] = []
    for rule in backend.config.stick:
        try:
            table: Table = cast(Table, builder.resolve(Kind.TABLE, rule.table))
            made = StickBuilt(
                samples.expression(rule.expr, builder, KEY_TYPES[table.schema.type]),
                table,
                rule.match,
                rule.store_request or rule.store_response,
                builder.condition(rule.when) if rule.when is not None else None,
            )
        except Refused as refused:
            raise Refused(f"'stick' : {refused.text}", place=rule.place) from None
        (response if rule.store_response else request).append(made)
    clock = runtime.plane.clock
    rules = Stickiness(backend, request, response, lambda: clock.now, persist=plan.persist_option)
    backend.renewals.append(rules.refresh)
    if request:
        plan.stick = rules.request
    plan.learn = rules.response


def _persistence(runtime: Runtime, backend: Backend, plan: BackendPlan, builder: _Builder) -> None:
    config = backend.config
    assert config.cookie is not None
    line = config.cookie
    clock = runtime.plane.clock
    cookie = CookiePersistence(line, backend, lambda: clock.wall)
    backend.renewals.append(cookie.refresh)
    always = "persist" in config.options
    forced = [builder.condition(when) for when in config.force_persist]
    ignored = [builder.condition(when) for when in config.ignore_persist]

    def persist(stream: Stream) -> None:
        cookie.request(stream, False, always)

    def persist_by_rules(stream: Stream) -> None:
        force = any(when(stream) for when in forced)
        stream.forced = force
        if any(when(stream) for when in ignored):
            stream.ignore_persist = True
        cookie.request(stream, force, always)
        if stream.ignore_persist:
            stream.server = None
            stream.chosen_by_cookie = False
            if stream.cookie_in != "N":
                stream.cookie_in = "U"

    plan.persist = persist_by_rules if forced or ignored else persist
    plan.cookie_response = cookie.response
    plan.cookie_flags = any(
        (line.rewrite, line.insert, line.prefix, line.indirect, line.nocache, line.postonly, line.preserve)
    )


# -- frontends ---------------------------------------------------------------------------------------------------


def _frontend_plan(runtime: Runtime, frontend: Frontend, case: dict[bytes, bytes] | None) -> FrontendPlan:
    config = frontend.config
    plan = frontend.plan = FrontendPlan()
    builder = _Builder(runtime, config)
    times = config.timeouts
    plan.client_timeout, plan.client_fin = times.client, times.client_fin
    plan.handshake_timeout = times.client_hs if times.client_hs is not None else times.client
    plan.request_timeout, plan.keep_alive_timeout = times.http_request, times.http_keep_alive
    plan.tarpit = times.tarpit
    plan.errors = error_pages(config.errorfiles, builder)
    plan.close_mode = _close_mode(config)
    options = config.options
    settings = runtime.config.globals
    relaxed = "accept-unsafe-violations-in-http-request" in options
    plan.limits = Limits(settings.bufsize, settings.maxrewrite, settings.max_headers, relaxed=relaxed)
    plan.dontlognull = "dontlognull" in options
    plan.dontlog_normal = "dontlog-normal" in options
    plan.keepalive = bool({"tcpka", "clitcpka"} & options)
    plan.ignore_probes = "http-ignore-probes" in options
    if "h1-case-adjust-bogus-client" in options:
        plan.case_adjust = case
    if config.unique_id_format is not None:
        plan.unique_id = _unique_id(builder.writer(config.unique_id_format, "unique"))
    if config.monitor_uri:
        plan.monitor = config.monitor_uri.encode("latin-1")
    plan.monitor_fail = tuple(builder.condition(when) for when in config.monitor_fail)
    plan.proxy_header = "http-use-proxy-header" in options
    # Before there is a request nothing can be computed: whole files only.
    plan.raw_errors = {s: line.page for s, line in config.errorfiles.items() if line.source is Source.PAGE}
    plan.on_connect = rule_set("tcp-request connection", config, builder)
    plan.on_session = rule_set("tcp-request session", config, builder)
    plan.content = content_set("tcp-request content", config, builder)
    plan.inspect_delay = config.inspect_delay
    steps: list[Step] = []
    rules = rule_set("http-request", config, builder)
    if rules is not None:
        steps.append(rules)
    if config.restrict_names in names.POLICIES:
        steps.append(names.POLICIES[config.restrict_names])
    if config.stats is not None:
        steps.append(_stats(runtime, config, builder))
    plan.request = tuple(steps)
    own = frontend.own = runtime.backends.get(config.name) if config.side & Side.BACKEND else None
    plan.buffer_request = "http-buffer-request" in options
    after = rule_set("http-after-response", config, builder)
    plan.after = (after,) if after is not None else ()
    response = rule_set("http-response", config, builder)
    plan.response = (response,) if response is not None else ()
    default = runtime.backends.get(config.default_backend)
    named = [rule.name for rule in config.use_backend]
    if any(rule.dynamic is not None for rule in config.use_backend):
        named += [b.name for b in runtime.backends.values() if b.config.mode is config.mode and b.name != config.name]
    routes = {name: _route(runtime, frontend, runtime.backends[name]) for name in named if name in runtime.backends}
    plan.choose = backend_chooser(
        config.use_backend,
        routes,
        _route(runtime, frontend, default) if default is not None else None,
        _route(runtime, frontend, own) if own is not None else None,
        config.force_switch,
        builder,
    )
    plan.peeks = config.mode is Mode.TCP and bool(config.use_backend)
    plan.capture = capture.header_step(config.capture_headers_in, config.captures_in, "request")
    plan.capture_response = capture.header_step(config.capture_headers_out, config.captures_out, "response")
    return plan


def _stats(runtime: Runtime, config: Proxy, builder: _Builder) -> Step:
    """The statistics page of a proxy; a backend's is the same for all frontends that lead to it."""
    stats = config.stats
    assert stats is not None
    if runtime.history is None:
        runtime.history = History(runtime.frontends, runtime.backends, runtime.process.clock)
    admin = tuple(builder.condition(when) for when in stats.admin)
    rules = rule_steps("http-request", stats.rules, builder) if stats.rules else None
    settings = runtime.config.globals
    view = page.View(runtime.process, runtime.frontends, runtime.backends, runtime.history, settings.description)
    return page.step(stats, config.name, view, rules, admin, settings.bufsize - settings.maxrewrite)


def _route(runtime: Runtime, frontend: Frontend, backend: Backend) -> Route:
    route = Route(backend)
    route.errors = {**frontend.plan.errors, **backend.plan.errors}
    front, back = frontend.config, backend.config
    same = front is back
    modes = (_close_mode(front), _close_mode(back))
    route.client_close = modes[0] == "httpclose"
    route.server_close = any(modes)
    route.pretend = "http-pretend-keepalive" in back.options
    if not same:
        builder = _Builder(runtime, back)
        route.content = content_set("tcp-request content", back, builder)
        route.inspect_delay = back.inspect_delay
        rules = rule_set("http-request", back, builder)
        steps = [rules] if rules is not None else []
        if back.restrict_names in names.POLICIES:
            steps.append(names.POLICIES[back.restrict_names])
        if back.stats is not None:
            steps.append(_stats(runtime, back, builder))
        route.rules = tuple(steps)
    other = None if same else back
    edits = [
        forward.forwardfor(front.forwardfor, other.forwardfor if other is not None else None),
        forward.originalto(front.originalto, other.originalto if other is not None else None),
    ]
    if back.forwarded is not None:
        edits.insert(0, forward.forwarded(back.forwarded, _Builder(runtime, back)))
    unique = frontend.plan.unique_id
    if front.unique_id_header and unique is not None:
        edits.insert(0, forward.unique_id_header(front.unique_id_header, unique))
    route.edits = tuple(edit for edit in edits if edit is not None)
    return route


def _unique_id(write: Callable[[Stream], bytes]) -> Callable[[Stream], bytes]:
    """The unique id of a stream, made at its first use and the same ever after."""

    def unique(stream: Stream) -> bytes:
        made = stream.unique
        if made is None:
            made = stream.unique = write(stream)
        return made

    return unique


def _logging(runtime: Runtime, frontend: Frontend) -> None:
    """What a frontend logs, once every rule is built: do-log rules of any proxy may want a line of it."""
    process = runtime.process
    builder = _Builder(runtime, frontend.config)
    targets = [*zip(runtime.targets[frontend.name], runtime.sinks[frontend.name], strict=True)]
    log = FrontendLog(
        frontend,
        targets,
        runtime.config.log_profiles,
        lambda text, asap: compile_format(text, builder, process, "log", asap=asap),
        process,
    )
    log.plan()
    frontend.plan.do_log = tuple(log.emitter(origin, origin, profile) for origin, profile in runtime.do_logs)


def addresses(runtime: Runtime) -> list[tuple[str, Sockaddr | None]]:
    """Every server with the address it resolved to, for the start-up check."""
    return [
        (f"{backend.name}/{server.name}", server.address)
        for backend in runtime.backends.values()
        for server in backend.servers
    ]
