"""What rewriting rules share: cleaning what they write, and the limit of the buffer (`strict-mode`, section 4.4)."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.config.expressions import Scope
from trilb.http.head import Head
from trilb.live.effects import Effect, Fail
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import HTTP, REQUEST, Builder, action

_UNSAFE = re.compile(rb"[\r\n\0]+")


def clean(value: bytes) -> bytes:
    """A computed value may hold what a client sent: line ends and NUL must not reach the wire."""
    if b"\r" in value or b"\n" in value or b"\0" in value:
        return _UNSAFE.sub(b" ", value)
    return value


_SMALL = 20
"""Fields up to which a head cannot have outgrown a buffer unless a value is large; most heads stop here."""


def _size(head: Head, waiting: int) -> int:
    return len(head.target) + len(head.reason) + 16 + waiting + sum([len(n) + len(v) + 4 for n, v in head.fields])


def guarded(act: Callable[[Stream], None], builder: Builder) -> Step:
    """The action, undone and failed when the head no longer fits the buffer.

    In strict mode, which is the default, that ends the request with a 500; otherwise the action has had no effect.
    """
    limit, reserve = builder.bufsize, builder.maxrewrite
    request = builder.family == REQUEST

    def run(stream: Stream) -> Effect | None:
        head = stream.request if request else stream.response
        assert head is not None
        before = head.fields
        head.fields = before.copy()
        act(stream)
        side = stream.session.side if request else stream.server_side
        # A body fills the buffer up to the reserve that rewriting has for itself.
        waiting = min(len(side.inbox), limit - reserve - stream.head_size) if side is not None else 0
        if len(head.fields) <= _SMALL and not waiting and len(head.fields[-1][1] if head.fields else b"") < 512:
            return None
        if _size(head, max(waiting, 0)) <= limit:
            return None
        head.fields = before
        return failed(stream)

    return run


def failed(stream: Stream) -> Effect | None:
    """Count a rewrite that could not be done; in strict mode it ends the request."""
    stream.frontend.counters.wrew += 1
    if stream.backend is not None:
        stream.backend.counters.wrew += 1
    return Fail() if stream.strict else None


def _parse_mode(words: list[str], scope: Scope) -> tuple[object, ...]:
    if words not in (["on"], ["off"]):
        raise Refused("'strict-mode' expects 'on' or 'off'")
    return (words == ["on"],)


@action("strict-mode", on=HTTP, source="4.4", parse=_parse_mode)
def strict_mode(on: bool, builder: Builder) -> Step:
    """Whether a rewriting rule that fails ends the request, from here on."""

    def act(stream: Stream) -> None:
        stream.strict = on

    return act
