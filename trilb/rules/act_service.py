"""`use-service`: what answers a request by itself (configuration.txt, 4.4). The services are made by the runtime."""

from __future__ import annotations

from trilb.base.diagnostic import Refused, nearest
from trilb.config.expressions import Scope
from trilb.live.plan import Step
from trilb.rules.registry import REQUEST, Builder, action

SERVICES = ("prometheus-exporter",)


def _service(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 1:
        raise Refused("'use-service' expects the name of a service and nothing else")
    (name,) = words
    if name.startswith("lua."):
        raise Refused(f"'use-service {name}': Lua is not served by trilb")
    if name not in SERVICES:
        known = ", ".join(SERVICES)
        raise Refused(f"'use-service' does not know '{name}'{nearest(name, list(SERVICES))}; there is {known}")
    return (name,)


@action("use-service", on=(REQUEST,), source="4.4", parse=_service, final=True)
def use_service(name: str, builder: Builder) -> Step:
    """Let a service answer: `prometheus-exporter`."""
    return builder.service(name)
