"""Actions on variables and captures (configuration.txt, sections 2.8 and 4.4)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.base.registry import variable_name
from trilb.base.units import whole
from trilb.config.expressions import Scope, parse_expr, parse_format
from trilb.config.terms import Expr, Format
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import AFTER, CONTENT, HTTP, REQUEST, RESPONSE, TCP, Builder, action
from trilb.samples import build
from trilb.samples.types import Fetch
from trilb.samples.variables import Variable, may_set


def parse_target(text: str) -> tuple[str, tuple[str, ...]]:
    """`NAME[,CONDITION...]`, what stands in the parentheses of set-var. Raises Refused."""
    name, *conditions = (word.strip() for word in text.split(","))
    may_set(conditions)
    return variable_name(name), tuple(conditions)


def _parse_set(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) < 2:
        raise Refused("expects set-var(<name>[,<condition>...]) <expression>")
    name, conditions = parse_target(words[0])
    _check_scope(name, scope)
    expr, _, _ = parse_expr(",".join(words[1:]) if len(words) > 2 else words[1], scope)
    return name, conditions, expr


def _parse_fmt(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 2:
        raise Refused("expects set-var-fmt(<name>[,<condition>...]) <format>")
    name, conditions = parse_target(words[0])
    _check_scope(name, scope)
    return name, conditions, parse_format(words[1], scope)


def _check_scope(name: str, scope: Scope) -> None:
    if scope.at in ("connection", "session") and name.partition(".")[0] not in ("proc", "sess"):
        raise Refused(f"variable '{name}': only the scopes 'proc' and 'sess' exist before there is a request")


def _setter(name: str, conditions: tuple[str, ...], value: Fetch) -> Step:
    variable = Variable(name)
    allowed = may_set(list(conditions))
    if allowed is not None:
        test = allowed

        def act_if(stream: Stream) -> None:
            found = value(stream)
            if found is not None and test(variable, stream, found):
                variable.set(stream, found)

        return act_if

    def act(stream: Stream) -> None:
        found = value(stream)
        if found is not None:
            variable.set(stream, found)

    return act


@action("set-var", on=(*HTTP, *TCP), source="4.4", parse=_parse_set, named=True)
def set_var(name: str, conditions: tuple[str, ...], expr: Expr, builder: Builder) -> Step:
    """Give a variable the value of an expression; a missing sample leaves it as it is."""
    return _setter(name, conditions, build.expression(expr, builder, "any"))


@action("set-var-fmt", on=(*HTTP, *TCP), source="4.4", parse=_parse_fmt, named=True)
def set_var_fmt(name: str, conditions: tuple[str, ...], text: Format, builder: Builder) -> Step:
    """Give a variable the text of a format."""
    return _setter(name, conditions, builder.writer(text, "plain"))


def _parse_unset(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 1:
        raise Refused("expects unset-var(<name>)")
    return (variable_name(words[0]),)


@action("unset-var", on=(*HTTP, *TCP), source="4.4", parse=_parse_unset, named=True)
def unset_var(name: str, builder: Builder) -> Step:
    """Forget a variable."""
    variable = Variable(name)

    def act(stream: Stream) -> None:
        variable.unset(stream)

    return act


def _parse_capture(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) < 3 or words[-2] not in ("len", "id"):
        raise Refused("'capture' expects <sample> followed by 'len <length>' or 'id <id>'")
    text = ",".join(words[:-2]) if len(words) > 3 else words[0]
    expr, _, _ = parse_expr(text, scope)
    number = whole(words[-1], 0 if words[-2] == "id" else 1, 65535, f"'capture {words[-2]}'")
    if words[-2] == "id":
        return expr, number, None
    if scope.at == "response":
        raise Refused("'capture' of a response expects 'id <id>', a slot made by 'declare capture response'")
    slots = scope.captures
    if slots is None:
        raise Refused("'capture ... len' needs a frontend; in a backend capture into a declared slot by 'id <id>'")
    slots.append(number)
    return expr, len(slots) - 1, number


@action("capture", on=(REQUEST, RESPONSE, AFTER, CONTENT), source="4.4", parse=_parse_capture)
def capture(expr: Expr, index: int, most: int | None, builder: Builder) -> Step:
    """Keep a sample in a capture slot, for the log and `capture.*` fetches."""
    value = build.text(expr, builder)
    if builder.family in (RESPONSE, AFTER):

        def act_response(stream: Stream) -> None:
            slots = stream.frontend.config.captures_out
            found = value(stream)
            if found is not None and index < len(slots):
                if stream.captures_out is None:
                    stream.captures_out = [None] * len(slots)
                stream.captures_out[index] = found[: slots[index]]

        return act_response

    def act(stream: Stream) -> None:
        slots = stream.frontend.config.captures_in
        found = value(stream)
        if found is not None and index < len(slots):
            if stream.captures_in is None:
                stream.captures_in = [None] * len(slots)
            stream.captures_in[index] = found[: slots[index]]

    return act
