"""How actions are registered: one registry a rule set, one decorator for all of them.

A factory gets its parsed arguments and a Builder, and returns `Stream -> Effect or None`. Facts: `parse(words, scope)`
turns the words after the action into arguments (what stands in parentheses behind the name comes first, `set-var(x)`),
`final` says that nothing after it is reached. `builder.family` names the rule set an action is built for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from trilb.base.registry import Registry
from trilb.config.terms import Cond, Format
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.samples.logformat import Style
from trilb.samples.types import Resolver

REQUEST, RESPONSE, AFTER = "http-request", "http-response", "http-after-response"
CONNECTION, SESSION = "tcp-request connection", "tcp-request session"
CONTENT, TCP_RESPONSE = "tcp-request content", "tcp-response content"
HTTP = (REQUEST, RESPONSE, AFTER)
TCP = (CONNECTION, SESSION, CONTENT, TCP_RESPONSE)

families: dict[str, Registry[Callable[..., Step]]] = {name: Registry(f"{name} action") for name in (*HTTP, *TCP)}
http_request = families[REQUEST]
http_response = families[RESPONSE]

Factory = Callable[..., Step]


def action(*names: str, on: tuple[str, ...], source: str, **facts: Any) -> Callable[[Factory], Factory]:
    """Enter a factory under `names` in every rule set of `on`."""

    def enter(factory: Factory) -> Factory:
        for family in on:
            families[family].register(*names, source=source, **facts)(factory)
        return factory

    return enter


class Builder(Resolver, Protocol):
    """What factories build their arguments with."""

    family: str
    bufsize: int
    maxrewrite: int
    stick_counters: int

    def writer(self, text: Format, style: Style = "http") -> Callable[[Stream], bytes]:
        """The closure of a log format; `style` says where its text goes (samples/logformat.py)."""

    def logger(self, origin: str, profile: str) -> Step:
        """The step that writes a log line of the stream's frontend now (do-log)."""

    def service(self, name: str) -> Step:
        """The step that lets a service answer (use-service)."""

    def uncertain(self, when: Cond) -> Callable[[Stream], bool | None]:
        """The same over bytes that still arrive: None while they may change the answer."""

    def condition(self, when: Cond) -> Callable[[Stream], bool]:
        """The closure of a condition, with the proxy's ACLs."""
