"""Actions on addresses, marks, timeouts and priorities of a connection or stream (configuration.txt, section 4.4)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.units import milliseconds, whole
from trilb.config.expressions import Scope, parse_expr
from trilb.config.terms import Expr
from trilb.live.plan import Step
from trilb.live.stream import Limits, Stream
from trilb.rules.registry import CONNECTION, CONTENT, REQUEST, RESPONSE, SESSION, TCP_RESPONSE, Builder, action
from trilb.samples import build
from trilb.samples.types import Fetch

_EARLY = (CONNECTION, SESSION, CONTENT, REQUEST)


def _expr(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words:
        raise Refused("expects a sample expression")
    return (parse_expr(",".join(words), scope)[0],)


def _addresses(name: str, doc: str, kind: str, put: Callable[[Stream, object], None], session: bool = False) -> None:
    def factory(expr: Expr, builder: Builder) -> Step:
        value = build.expression(expr, builder, kind)
        family = builder.family
        early = family in (CONNECTION, SESSION)

        def act(stream: Stream) -> None:
            found = value(stream)
            if found is not None:
                put(stream, found)
                session = stream.session
                if family == SESSION and session.arrived is None:
                    session.arrived = session.ends()
                if early:
                    _to_session(stream)
                if family == CONNECTION:
                    # From now on these are the connection's own, whatever a PROXY header says of the session.
                    session.arrived = (session.client, session.client_port, session.local, session.local_port)

        return act

    factory.__doc__ = doc
    action(name, on=_EARLY, source="4.4", parse=_expr)(factory)


def _to_session(stream: Stream) -> None:
    """Before there is a stream, the connection's own addresses change."""
    session = stream.session
    session.client, session.client_port = stream.client, stream.client_port
    session.local, session.local_port = stream.local, stream.local_port


def _set_src(stream: Stream, value: object) -> None:
    assert isinstance(value, bytes)
    if len(value) != len(stream.client):
        stream.client_port = 0
    stream.client = bytes(value)


def _set_dst(stream: Stream, value: object) -> None:
    assert isinstance(value, bytes)
    stream.local = bytes(value)


def _set_src_port(stream: Stream, value: object) -> None:
    assert isinstance(value, int)
    stream.client_port = value & 0xFFFF


def _set_dst_port(stream: Stream, value: object) -> None:
    assert isinstance(value, int)
    stream.local_port = value & 0xFFFF


_addresses("set-src", "Take another source address from here on.", "addr", _set_src)
_addresses("set-dst", "Take another destination address from here on.", "addr", _set_dst)
_addresses("set-src-port", "Take another source port from here on.", "sint", _set_src_port)
_addresses("set-dst-port", "Take another destination port from here on.", "sint", _set_dst_port)


def _number_or_expr(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words:
        raise Refused("expects a number or a sample expression")
    try:
        return (int(words[0], 0),) if len(words) == 1 else (parse_expr(",".join(words), scope)[0],)
    except ValueError:
        return (parse_expr(words[0], scope)[0],)


def _number(value: int | Expr, builder: Builder) -> Fetch:
    if isinstance(value, Expr):
        return build.expression(value, builder, "sint")
    return lambda stream: value


def _mark(names: tuple[str, ...], on: tuple[str, ...], option: str, server: bool, doc: str) -> None:
    def factory(value: int | Expr, builder: Builder) -> Step:
        number = _number(value, builder)

        def act(stream: Stream) -> None:
            found = number(stream)
            side = stream.server_side if server else stream.session.side
            if isinstance(found, int) and side is not None:
                side.set_option(option, found & (0xFF if option == "tos" else 0xFFFFFFFF))

        return act

    factory.__doc__ = doc
    action(*names, on=on, source="4.4", parse=_number_or_expr)(factory)


_CLIENT = (CONNECTION, SESSION, CONTENT, TCP_RESPONSE, REQUEST, RESPONSE)
_mark(("set-mark", "set-fc-mark"), _CLIENT, "mark", False, "Mark the packets sent to the client (SO_MARK).")
_mark(("set-tos", "set-fc-tos"), _CLIENT, "tos", False, "Set the TOS or DSCP field of packets sent to the client.")


def _nice(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 1:
        raise Refused("'set-nice' expects one number between -1024 and 1024")
    return (whole(words[0], -1024, 1024, "'set-nice'"),)


@action("set-nice", on=(CONTENT, TCP_RESPONSE, REQUEST, RESPONSE), source="4.4", parse=_nice)
def set_nice(value: int, builder: Builder) -> Step:
    """Accepted: trilb's streams all run at the same priority."""
    return lambda stream: None


_TIMEOUTS = ("client", "connect", "queue", "server", "tarpit", "tunnel")


def limits_of(stream: Stream) -> Limits:
    """The stream's own limits, made at their first use."""
    if stream.limits is None:
        stream.limits = Limits()
    return stream.limits


def _parse_timeout(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) < 2 or words[0] not in _TIMEOUTS:
        raise Refused(f"'set-timeout' expects {', '.join(_TIMEOUTS)}, then a time or a sample expression")
    if words[0] in ("connect", "queue", "server", "tunnel") and scope.kind == "frontend":
        raise Refused(f"'set-timeout {words[0]}' needs a section with servers: a backend or a listen")
    if words[0] == "client" and scope.kind == "backend":
        raise Refused("'set-timeout client' needs a section with clients: a frontend or a listen")
    if words[1][:1].isdigit() and len(words) == 2:
        value = milliseconds(words[1])
        if not value:
            raise Refused("'set-timeout' expects a time greater than 0")
        return words[0], value
    return words[0], parse_expr(",".join(words[1:]), scope)[0]


@action("set-timeout", on=(REQUEST, RESPONSE), source="4.4", parse=_parse_timeout)
def set_timeout(name: str, value: int | Expr, builder: Builder) -> Step:
    """Give this stream another timeout: a time, or milliseconds from an expression."""
    number = _number(value, builder)

    def act(stream: Stream) -> None:
        found = number(stream)
        if isinstance(found, int) and found > 0:
            setattr(limits_of(stream), name, found / 1000)

    return act


@action("set-retries", on=(CONTENT, REQUEST), source="4.4", parse=_number_or_expr)
def set_retries(value: int | Expr, builder: Builder) -> Step:
    """Give this stream another number of retries, up to 100."""
    if isinstance(value, int) and not 0 <= value <= 100:
        raise Refused(f"'set-retries' expects 0 to 100, not {value}")
    number = _number(value, builder)

    def act(stream: Stream) -> None:
        found = number(stream)
        if isinstance(found, int) and 0 <= found <= 100:
            limits_of(stream).retries = found

    return act


def _priority(name: str, doc: str, low: int, high: int) -> None:
    def factory(value: int | Expr, builder: Builder) -> Step:
        number = _number(value, builder)
        offset = name == "set-priority-offset"

        def act(stream: Stream) -> None:
            found = number(stream)
            if isinstance(found, int):
                bounded = max(low, min(high, found))
                if offset:
                    stream.priority_offset = bounded
                else:
                    stream.priority_class = bounded

        return act

    factory.__doc__ = doc
    action(name, on=(CONTENT, REQUEST), source="4.4", parse=_number_or_expr)(factory)


_priority("set-priority-class", "Queue this stream in another class; lower ones go first.", -2047, 2047)
_priority("set-priority-offset", "Queue this stream as if it had come that many milliseconds later.", -524287, 524287)
