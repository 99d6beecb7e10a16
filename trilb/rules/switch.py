"""Content switching: which backend, which server (configuration.txt, `use_backend`, `use-server`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trilb.config.model import UseBackend
from trilb.live.plan import Route
from trilb.live.server import Server
from trilb.live.stream import Stream
from trilb.rules.registry import Builder

Choose = Callable[[Stream], Route | None]


def backend_chooser(
    rules: list[UseBackend], routes: Mapping[str, Route], default: Route | None, builder: Builder
) -> Choose:
    """The first rule that holds names the backend, else the default.

    A computed name that is no backend's ends the rules in favour of the default. `routes` holds every backend a
    rule may name.
    """
    made: list[tuple[Callable[[Stream], bool] | None, Choose]] = []
    for rule in rules:
        when = builder.condition(rule.when) if rule.when is not None else None
        if rule.dynamic is not None:
            made.append((when, _computed(builder.writer(rule.dynamic), routes, default)))
        elif rule.name in routes:
            # A disabled backend has no route: its rule is passed over.
            made.append((when, _fixed(routes[rule.name])))
    if not made:
        return _fixed(default)
    fixed = tuple(made)

    def choose(stream: Stream) -> Route | None:
        for when, target in fixed:
            if when is None or when(stream):
                return target(stream)
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
