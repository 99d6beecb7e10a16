"""Actions that take time: wait-for-body, pause, early-hint (configuration.txt, section 4.4)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.base.units import milliseconds, size
from trilb.config.expressions import Scope, parse_expr, parse_format
from trilb.config.terms import Expr, Format
from trilb.live.effects import EarlyHint, Effect, Pause, WaitBody
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.act_headers import header_name
from trilb.rules.registry import REQUEST, RESPONSE, Builder, action
from trilb.rules.rewrite import clean
from trilb.samples import build


def _parse_wait(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) not in (2, 4) or words[0] != "time" or (len(words) == 4 and words[2] != "at-least"):
        raise Refused("'wait-for-body' expects 'time <time>', then nothing or 'at-least <bytes>'")
    return milliseconds(words[1]) / 1000, size(words[3]) if len(words) == 4 else 0


@action("wait-for-body", on=(REQUEST, RESPONSE), source="4.4", parse=_parse_wait, resumes=True)
def wait_for_body(seconds: float, least: int, builder: Builder) -> Step:
    """Wait until the body is there, or enough of it, or the buffer is full."""
    wanted = WaitBody(seconds, least)

    def act(stream: Stream) -> Effect:
        return wanted

    return act


def _parse_pause(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words:
        raise Refused("'pause' expects a time or a sample expression")
    if words[0][:1].isdigit():
        if len(words) > 1:
            raise Refused(f"'pause' takes one time, not '{words[1]}' behind it")
        return (milliseconds(words[0]),)
    return (parse_expr(",".join(words), scope)[0],)


@action("pause", on=(REQUEST, RESPONSE), source="4.4", parse=_parse_pause, resumes=True)
def pause(value: int | Expr, builder: Builder) -> Step:
    """Hold the stream for a time, or for the milliseconds an expression gives."""
    if isinstance(value, int):
        fixed = Pause(value / 1000)
        return lambda stream: fixed
    number = build.expression(value, builder, "sint")

    def act(stream: Stream) -> Effect | None:
        found = number(stream)
        return Pause(found / 1000) if isinstance(found, int) and found > 0 else None

    return act


def _parse_hint(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 2:
        raise Refused("'early-hint' expects exactly 2 arguments: <name> <format>")
    return header_name(words[0]), parse_format(words[1], scope)


@action("early-hint", on=(REQUEST,), source="4.4", parse=_parse_hint, resumes=True)
def early_hint(name: bytes, text: Format, builder: Builder) -> Step:
    """Send a field in a 103 response at once; successive rules share one."""
    write = builder.writer(text)

    def act(stream: Stream) -> Effect:
        return EarlyHint([(name, clean(write(stream)))])

    return act
