"""The action that looks a name up: do-resolve (configuration.txt, section 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from trilb.base.diagnostic import Refused
from trilb.base.registry import Kind, variable_name
from trilb.config.expressions import Reference, Scope, parse_expr
from trilb.config.terms import Expr
from trilb.live.effects import Effect, Resolve
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import CONTENT, REQUEST, Builder, action
from trilb.samples import build
from trilb.samples.types import Addr, as_bytes
from trilb.samples.variables import Variable

_USAGE = "expects do-resolve(<variable>,<resolvers>[,ipv4|ipv6]) <expression>"


class Asks(Protocol):
    """A resolvers section, as a rule uses it."""

    def ask(self, name: str, prefer_ipv4: bool, done: Callable[[bytes | None], None]) -> Callable[[], None] | None:
        """Call `done` with an address or None, now or later; what gives up waiting, None when it was called."""


def _parse(words: list[str], scope: Scope) -> tuple[object, ...]:
    arguments = [word.strip() for word in words[0].split(",")]
    if len(words) < 2 or not 2 <= len(arguments) <= 3:
        raise Refused(_USAGE)
    family = arguments[2] if len(arguments) == 3 else "ipv6"
    if family not in ("ipv4", "ipv6"):
        raise Refused(f"{_USAGE}, not '{family}'")
    expr, _, _ = parse_expr(",".join(words[1:]), scope)
    scope.references.append(Reference(Kind.RESOLVERS, arguments[1], "'do-resolve'", scope.proxy, scope.place))
    return variable_name(arguments[0]), arguments[1], family == "ipv4", expr


@action("do-resolve", on=(REQUEST, CONTENT), source="4.4", parse=_parse, named=True, resumes=True)
def do_resolve(name: str, section: str, prefer_ipv4: bool, expr: Expr, builder: Builder) -> Step:
    """Look a name up and put its address into a variable, which stays as it is when there is none."""
    asks = cast(Asks, builder.resolve(Kind.RESOLVERS, section))
    variable = Variable(name)
    value = build.expression(expr, builder, "str")

    def act(stream: Stream) -> Effect | None:
        found = value(stream)
        if found is None:
            return None
        effect = Resolve()

        def done(address: bytes | None) -> None:
            if address is not None:
                variable.set(stream, Addr(address))
            effect.finished = True
            effect.wake()

        give_up = asks.ask(as_bytes(found).decode("latin-1"), prefer_ipv4, done)
        if give_up is None:
            return None
        effect.give_up = give_up
        return effect

    return act
