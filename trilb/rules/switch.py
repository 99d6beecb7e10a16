"""Content switching: which backend, which server (configuration.txt, `use_backend`, `use-server`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trilb.config.terms import Cond, UseBackend
from trilb.live.plan import Route
from trilb.live.server import Server
from trilb.live.stream import Stream
from trilb.rules.registry import Builder

Choose = Callable[[Stream], Route | None]


def backend_chooser(
    rules: list[UseBackend],
    routes: Mapping[str, Route],
    default: Route | None,
    own: Route | None,
    forced: list[Cond],
    builder: Builder,
) -> Choose:
    """The first rule that holds names the backend, else `default`, else the proxy's `own` servers.

    A computed name that is no backend's ends the rules in favour of the default. A backend that is not published is
    passed over unless a `force-be-switch` condition (`forced`) holds. `routes` holds every backend a rule may name.
    """
    made: list[tuple[Callable[[Stream], bool] | None, Choose]] = []
    for rule in rules:
        when = builder.condition(rule.when) if rule.when is not None else None
        if rule.dynamic is not None:
            made.append((when, _computed(builder.writer(rule.dynamic), routes, default or own)))
        elif rule.name in routes:
            # A disabled backend has no route: its rule is passed over.
            made.append((when, _fixed(routes[rule.name])))
    fixed = tuple(made)
    tests = [builder.condition(when) for when in forced]

    def choose(stream: Stream) -> Route | None:
        for when, target in fixed:
            if when is None or when(stream):
                route = target(stream)
                if route is None or route.backend.published or any(test(stream) for test in tests):
                    return route
        if default is None or not (default.backend.published or any(test(stream) for test in tests)):
            return own
        return default

    return choose


def _fixed(route: Route | None) -> Choose:
    return lambda stream: route


def _computed(name: Callable[[Stream], bytes], routes: Mapping[str, Route], default: Route | None) -> Choose:
    return lambda stream: routes.get(name(stream).decode("latin-1"), default)


def server_chooser(
    rules: list[UseBackend], servers: Mapping[str, Server], always: bool, builder: Builder
) -> Callable[[Stream], Server | None] | None:
    """The server of the first rule that holds and whose server may be used; None without rules.

    A server that is down is used only with `option persist` (`always`) or where force-persist held.
    """
    if not rules:
        return None
    made: list[tuple[Callable[[Stream], bool] | None, Callable[[Stream], Server | None]]] = []
    for rule in rules:
        when = builder.condition(rule.when) if rule.when is not None else None
        made.append((when, _server(rule, servers, builder)))
    fixed = tuple(made)

    def choose(stream: Stream) -> Server | None:
        for when, target in fixed:
            if when is None or when(stream):
                server = target(stream)
                if server is None:
                    return None
                if server.running or always or stream.forced:
                    return server
        return None

    return choose


def _server(rule: UseBackend, servers: Mapping[str, Server], builder: Builder) -> Callable[[Stream], Server | None]:
    if rule.dynamic is None:
        server = servers[rule.name]
        return lambda stream: server
    name = builder.writer(rule.dynamic)
    return lambda stream: servers.get(name(stream).decode("latin-1"))
