"""The work of backends, frontends and pairs of them as plans: tuples of closures. Runs at load."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from trilb.admin import page
from trilb.admin.history import History
from trilb.affinity.cookie import CookiePersistence
from trilb.affinity.stick import Rule as StickBuilt
from trilb.affinity.stick import Stickiness
from trilb.balance.registry import algorithms
from trilb.base.diagnostic import Refused
from trilb.base.registry import Kind
from trilb.config.model import Mode, Proxy, Side, Source
from trilb.http.policy import Limits
from trilb.live.plan import BackendPlan, FrontendPlan, Key, Route, Step
from trilb.live.proxy import Backend, Frontend
from trilb.live.stream import Stream
from trilb.logs.writers import FrontendLog
from trilb.rules import capture, names
from trilb.rules import forwarded as forward
from trilb.rules.answers import error_pages
from trilb.rules.build import content_set, rule_set, rule_steps
from trilb.rules.switch import backend_chooser, server_chooser
from trilb.runtime import Builder, Runtime
from trilb.samples import build as samples
from trilb.samples.logformat import compile_format
from trilb.samples.tables import KEY_TYPES
from trilb.tables.store import Table


def _close_mode(proxy: Proxy) -> str:
    for option in ("httpclose", "http-server-close"):
        if option in proxy.options:
            return option
    return ""


# -- backends ----------------------------------------------------------------------------------------------------


def backend_plan(runtime: Runtime, backend: Backend, case: dict[bytes, bytes] | None) -> BackendPlan:
    """What a backend does. Raises Refused."""
    config = backend.config
    plan = BackendPlan()
    builder = Builder(runtime, config)
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


def _stickiness(runtime: Runtime, backend: Backend, plan: BackendPlan, builder: Builder) -> None:
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


def _persistence(runtime: Runtime, backend: Backend, plan: BackendPlan, builder: Builder) -> None:
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


def frontend_plan(runtime: Runtime, frontend: Frontend, case: dict[bytes, bytes] | None) -> FrontendPlan:
    """What a frontend does, and its routes to backends, which have their plans. Raises Refused."""
    config = frontend.config
    plan = frontend.plan = FrontendPlan()
    builder = Builder(runtime, config)
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


def _stats(runtime: Runtime, config: Proxy, builder: Builder) -> Step:
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
        builder = Builder(runtime, back)
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
        edits.insert(0, forward.forwarded(back.forwarded, Builder(runtime, back)))
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


def log_plan(runtime: Runtime, frontend: Frontend) -> None:
    """What a frontend logs, once every rule is built: do-log rules of any proxy may want a line of it."""
    process = runtime.process
    builder = Builder(runtime, frontend.config)
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
