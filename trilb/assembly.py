"""From a Config to live objects with their plans, in their order. No I/O of its own.

`build` makes frontends, backends and servers, resolves references between them, and compiles rules, logs, cookies
and balancing into the plans that the data plane follows. Names are resolved to addresses here through net, which is
allowed to ask the system.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from trilb.base.clock import Clock
from trilb.base.diagnostic import NOWHERE, Refused
from trilb.config.log_lines import LogTarget
from trilb.config.model import Config, Mode, Proxy, Side
from trilb.config.settings import Global
from trilb.equipment import equip_at_load, settle
from trilb.health import restore, states
from trilb.health.files import saved_states
from trilb.http.h2events import Tuning
from trilb.http.policy import Limits
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import MAINT, RMAINT, STOPPED
from trilb.logs.sinks import Sink
from trilb.net.address import initial
from trilb.plans import backend_plan, frontend_plan, log_plan
from trilb.proxy import queue
from trilb.proxy.plane import Plane
from trilb.proxy.shutdown import shutdown_sessions
from trilb.resolve import run as resolve
from trilb.resolve.run import Resolvers
from trilb.runtime import DEFAULT_MAXCONN, Builder, Runtime, patterns
from trilb.tables.store import Table
from trilb.tls.store import Store as TlsStore


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
        backend.plan = backend_plan(runtime, backend, case)
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
        frontend.plan = frontend_plan(runtime, frontend, case)
    for frontend in runtime.frontends.values():
        log_plan(runtime, frontend)
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
        builder = Builder(runtime, backend.config)
        for server in backend.servers:
            equip_at_load(runtime, server, builder)


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
        settle(server)
    servers = backend.servers
    if all(each.admin & MAINT for each in servers) and any(not each.line.disabled for each in servers):
        # Those that could serve have no address yet.
        backend.counters.chkdown += 1
    return backend


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
