"""Converters that look a key up in a stick table; none of them refreshes the entry (section 7.3.1)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.registry import Arg, Kind, optional
from trilb.live.stream import Stream
from trilb.samples import casts, tables
from trilb.samples.tables import Reader
from trilb.samples.types import StreamConvert, Value, converters
from trilb.tables.store import Table

_SOURCE = "7.3.1"
Work = Callable[[Table, int, float], Value | None]


def _lookup(table: Table, work: Work, missing: Value | None, *, create: bool = False) -> StreamConvert:
    def convert(value: Value, stream: Stream) -> Value | None:
        key = table.key(value)
        if key is None:
            return missing
        now = stream.frontend.process.clock.now
        row = table.get(key, now) if create else table.find(key, now)
        return work(table, row, now) if row >= 0 else missing

    return convert


_TABLE = (Arg("table", Kind.TABLE),)
_FACTS = {"stream": True, "table": True, "takes": "any"}


def _simple(name: str, meaning: str, read: Reader) -> None:
    @converters.register(f"table_{name}", args=_TABLE, gives="sint", source=_SOURCE, **_FACTS)
    def factory(table: Table) -> StreamConvert:
        """Of a key's entry."""
        return _lookup(table, read, 0)

    factory.__doc__ = f"Of a key's entry in a table: {meaning}."


def _array(name: str, meaning: str, make: Callable[[int], Work]) -> None:
    @converters.register(
        f"table_{name}",
        args=(Arg("index", Kind.INT), Arg("table", Kind.TABLE)),
        gives="sint",
        source=_SOURCE,
        **_FACTS,
    )
    def factory(index: int, table: Table) -> StreamConvert:
        """Of a key's entry."""
        return _lookup(table, make(index), 0)

    factory.__doc__ = f"Of a key's entry in a table: {meaning}."


for _name in tables.SIMPLE:
    _simple(_name, tables.MEANING[_name], tables.reader(_name))
_simple("kbytes_in", "the kilobytes ever received", tables.kilobytes("bytes_in_cnt"))
_simple("kbytes_out", "the kilobytes ever sent", tables.kilobytes("bytes_out_cnt"))
_simple("server_id", "the number of its server", tables.reader("server_id"))
_simple("gpc0", "its general purpose counter 0", tables.element("gpcs", 0))
_simple("gpc1", "its general purpose counter 1", tables.element("gpcs", 1))
_simple("gpc0_rate", "how fast its counter 0 goes up", tables.element("gpc_rates", 0))
_simple("gpc1_rate", "how fast its counter 1 goes up", tables.element("gpc_rates", 1))
_simple("gpt0", "its general purpose tag 0", tables.element("gpts", 0))
_simple("trackers", "how many sessions and requests track it", lambda table, row, now: table.refs[row])
_array("gpc", "an element of its counters", lambda at: tables.element("gpc_array", at))
_array("gpc_rate", "how fast one of its counters goes up", lambda at: tables.element("gpc_rate_array", at))
_array("gpt", "an element of its tags", lambda at: tables.element("gpt_array", at))


def _changing(name: str, meaning: str, change: Callable[[Table, int, float], Value | None]) -> None:
    @converters.register(f"table_{name}", args=_TABLE, gives="sint", source=_SOURCE, **_FACTS)
    def factory(table: Table) -> StreamConvert:
        """Of a key's entry."""
        return _lookup(table, change, None, create=True)

    factory.__doc__ = f"Of a key's entry in a table, which is made if there is none: {meaning}."


for _at in (0, 1):
    _changing(
        f"inc_gpc{_at}",
        f"its counter {_at} after adding one to it",
        lambda table, row, now, at=_at: tables.increment(table, row, at, now, array=False),  # type: ignore[misc]
    )
    _changing(
        f"clr_gpc{_at}",
        f"its counter {_at} before making it zero",
        lambda table, row, now, at=_at: tables.clear(table, row, at, now, array=False),  # type: ignore[misc]
    )


@converters.register(
    "table_inc_gpc", args=(Arg("index", Kind.INT), Arg("table", Kind.TABLE)), gives="sint", source=_SOURCE, **_FACTS
)
def table_inc_gpc(index: int, table: Table) -> StreamConvert:
    """Of a key's entry in a table, which is made if there is none: one of its counters after adding one to it."""
    return _lookup(
        table, lambda table, row, now: tables.increment(table, row, index, now, array=True), None, create=True
    )


@converters.register(
    "table_clr_gpc", args=(Arg("index", Kind.INT), Arg("table", Kind.TABLE)), gives="sint", source=_SOURCE, **_FACTS
)
def table_clr_gpc(index: int, table: Table) -> StreamConvert:
    """Of a key's entry in a table, which is made if there is none: one of its counters before making it zero."""
    return _lookup(table, lambda table, row, now: tables.clear(table, row, index, now, array=True), None, create=True)


@converters.register("in_table", args=_TABLE, gives="bool", source=_SOURCE, **_FACTS)
def in_table(table: Table) -> StreamConvert:
    """Whether a table has an entry of this key."""
    return _lookup(table, lambda table, row, now: True, False)


def _default(text: object) -> int | None:
    return None if text is None else casts.to_int(str(text).encode())


@converters.register(
    "table_expire",
    args=(Arg("table", Kind.TABLE), optional("default", Kind.INT)),
    gives="sint",
    source=_SOURCE,
    **_FACTS,
)
def table_expire(table: Table, default: int | None) -> StreamConvert:
    """The milliseconds until a key's entry expires; `default` when there is none."""
    return _lookup(table, lambda table, row, now: int(table.left(row, now) * 1000), _default(default))


@converters.register(
    "table_idle",
    args=(Arg("table", Kind.TABLE), optional("default", Kind.INT)),
    gives="sint",
    source=_SOURCE,
    **_FACTS,
)
def table_idle(table: Table, default: int | None) -> StreamConvert:
    """The milliseconds for which nobody has used a key's entry; `default` when there is none."""
    return _lookup(table, lambda table, row, now: max(0, int((now - table.touched[row]) * 1000)), _default(default))
