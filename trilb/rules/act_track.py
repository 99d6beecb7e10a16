"""Actions on sticky counters: what is tracked, and its general purpose counters and tags (section 4.4)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.base.registry import Kind
from trilb.base.schema import LARGEST_ARRAY
from trilb.base.units import whole
from trilb.config.expressions import Reference, Scope, parse_expr
from trilb.config.terms import Expr
from trilb.live.effects import MORE, Effect
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import CONNECTION, CONTENT, HTTP, REQUEST, RESPONSE, SESSION, TCP, Builder, action
from trilb.samples import build, tables
from trilb.samples.tables import KEY_TYPES
from trilb.tables.store import Table
from trilb.tables.tracking import Tracked

COUNTERS = 100
"""The most that `tune.stick-counters` may ask for."""


def _parse_track(words: list[str], scope: Scope) -> tuple[object, ...]:
    table = ""
    if len(words) >= 3 and words[-2] == "table":
        table, words = words[-1], words[:-2]
    if len(words) != 1:
        raise Refused("expects track-sc<n> <expression> [table <table>]")
    expr, _, _ = parse_expr(words[0], scope)
    if scope.in_defaults and not table:
        raise Refused("'track-sc' in a defaults section must name its table")
    scope.references.append(Reference(Kind.TABLE, table, "'track-sc'", scope.proxy, scope.place))
    return expr, table


def _track(number: int) -> None:
    @action(
        f"track-sc{number}",
        on=(CONNECTION, SESSION, CONTENT, REQUEST, RESPONSE),
        source="4.4",
        parse=_parse_track,
        # There may be a hundred; the reference tells of the first three.
        untold=number > 2,
    )
    def track(expr: Expr, name: str, builder: Builder) -> Step:
        """Count connections, requests, errors and bytes in a table's entry of this key from now on."""
        table: Table = builder.resolve(Kind.TABLE, name)
        if number >= builder.stick_counters:
            raise Refused(
                f"'track-sc{number}': there are {builder.stick_counters} sticky counters, from sc0 on; raise"
                " 'tune.stick-counters' for more"
            )
        value = build.expression(expr, builder, KEY_TYPES[table.schema.type])
        of_session = builder.family in (CONNECTION, SESSION)
        of_request = builder.family == REQUEST
        size = builder.stick_counters

        waits = builder.family == CONTENT

        def act(stream: Stream) -> Effect | None:
            owner = stream.session if of_session else stream
            trackers = owner.tracked
            if trackers is not None and trackers[number] is not None:
                return None
            stream.may_change = False
            found = value(stream)
            if found is None:
                # Bytes that are still to come may have it.
                return MORE if waits and stream.may_change and not stream.inspect_done else None
            key = table.key(found)
            if key is None:
                return None
            now = stream.frontend.process.clock.now
            row = table.get(key, now)
            if row < 0:
                return None
            if trackers is None:
                trackers = owner.tracked = [None] * size
            made = trackers[number] = Tracked(table, row, now)
            if of_request:
                made.count(table.on_request, now)
            else:
                table.touch(row, now)
            return None

        return act


for _number in range(COUNTERS):
    _track(_number)


def _numbers(text: str, count: int, usage: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != count or not all(part.isdigit() for part in parts):
        raise Refused(f"expects {usage}")
    if count == 2 and int(parts[0]) >= LARGEST_ARRAY:
        raise Refused(f"the index of an element is between 0 and {LARGEST_ARRAY - 1}, not {parts[0]}")
    return [int(part) for part in parts]


def _amount(words: list[str], scope: Scope) -> int | Expr:
    if len(words) == 1 and words[0].lstrip("-").isdigit():
        return whole(words[0], 0, 0xFFFFFFFF, "the value")
    if len(words) != 1:
        raise Refused("expects a number or one expression")
    return parse_expr(words[0], scope)[0]


def _parse_inc(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 1:
        raise Refused("expects sc-inc-gpc(<index>,<counter>)")
    index, number = _numbers(words[0], 2, "sc-inc-gpc(<index>,<counter>)")
    return index, number


def _parse_legacy(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 1:
        raise Refused("expects the number of a sticky counter in parentheses")
    return (_numbers(words[0], 1, "the number of a sticky counter in parentheses")[0],)


def _parse_add(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words:
        raise Refused("expects (<index>,<counter>) and a value")
    index, number = _numbers(words[0], 2, "(<index>,<counter>) and a value")
    return index, number, _amount(words[1:], scope)


def _parse_tag(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words:
        raise Refused("expects sc-set-gpt0(<counter>) and a value")
    (number,) = _numbers(words[0], 1, "sc-set-gpt0(<counter>) and a value")
    return number, _amount(words[1:], scope)


def _incrementer(index: int, number: int, *, array: bool) -> Step:
    def act(stream: Stream) -> None:
        found = tables.tracked(stream, number)
        if found is not None:
            tables.increment(found.table, found.row, index, stream.frontend.process.clock.now, array=array)

    return act


_EVERYWHERE = (*HTTP, *TCP)


@action("sc-inc-gpc", on=_EVERYWHERE, source="4.4", parse=_parse_inc, named=True)
def sc_inc_gpc(index: int, number: int, builder: Builder) -> Step:
    """Add one to an element of the counters of what a sticky counter tracks."""
    return _incrementer(index, number, array=True)


@action("sc-inc-gpc0", on=_EVERYWHERE, source="4.4", parse=_parse_legacy, named=True)
def sc_inc_gpc0(number: int, builder: Builder) -> Step:
    """Add one to the first general purpose counter of what a sticky counter tracks."""
    return _incrementer(0, number, array=False)


@action("sc-inc-gpc1", on=_EVERYWHERE, source="4.4", parse=_parse_legacy, named=True)
def sc_inc_gpc1(number: int, builder: Builder) -> Step:
    """Add one to the second general purpose counter of what a sticky counter tracks."""
    return _incrementer(1, number, array=False)


@action("sc-add-gpc", on=_EVERYWHERE, source="4.4", parse=_parse_add, named=True)
def sc_add_gpc(index: int, number: int, amount: int | Expr, builder: Builder) -> Step:
    """Add a number to an element of the counters of what a sticky counter tracks."""
    value = build.expression(amount, builder, "sint") if isinstance(amount, Expr) else None

    def act(stream: Stream) -> None:
        found = tables.tracked(stream, number)
        more = amount if value is None else value(stream)
        if found is not None and isinstance(more, int) and 0 <= more <= 0xFFFFFFFF:
            now = stream.frontend.process.clock.now
            tables.increment(found.table, found.row, index, now, array=True, amount=int(more))

    return act


def _setter(index: int, number: int, amount: int | Expr, builder: Builder, *, array: bool) -> Step:
    value = build.expression(amount, builder, "sint") if isinstance(amount, Expr) else None

    def act(stream: Stream) -> None:
        found = tables.tracked(stream, number)
        wanted = amount if value is None else value(stream)
        if found is None or not isinstance(wanted, int):
            return
        tags = found.table.gpt_array if array else found.table.gpts
        if index < len(tags) and tags[index] is not None:
            found.table.set_mark(tags[index], found.row, int(wanted) & 0xFFFFFFFF)
            found.table.touch(found.row, stream.frontend.process.clock.now)

    return act


@action("sc-set-gpt", on=_EVERYWHERE, source="4.4", parse=_parse_add, named=True)
def sc_set_gpt(index: int, number: int, amount: int | Expr, builder: Builder) -> Step:
    """Set an element of the tags of what a sticky counter tracks."""
    return _setter(index, number, amount, builder, array=True)


@action("sc-set-gpt0", on=_EVERYWHERE, source="4.4", parse=_parse_tag, named=True)
def sc_set_gpt0(number: int, amount: int | Expr, builder: Builder) -> Step:
    """Set the first tag of what a sticky counter tracks."""
    return _setter(0, number, amount, builder, array=False)
