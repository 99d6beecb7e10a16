"""Fetches over stick tables: what a sticky counter tracks, what is known of the source (sections 7.3.2 and 7.3.3)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.registry import Arg, Kind, optional
from trilb.live.stream import Stream
from trilb.samples import tables
from trilb.samples.types import Bin, Fetch, Value, fetches
from trilb.tables.store import Table

_SOURCE = "7.3.3"
_COUNTERS = 3
"""Counters that also have fetches with their number in the name."""

Work = Callable[[Table, int, float], int | None]


def _now(stream: Stream) -> float:
    return stream.frontend.process.clock.now


def _row(stream: Stream, number: int, table: Table | None) -> tuple[Table | None, int] | None:
    """The table and row a counter stands for, the row -1 when there is none; None when nothing is tracked."""
    found = tables.tracked(stream, number)
    if found is None:
        return None
    if table is None or table is found.table:
        return found.table, found.row
    key = found.table.keys[found.row]
    return table, table.find(key, _now(stream)) if key is not None else -1


def _of_counter(number: int, table: Table | None, work: Work) -> Fetch:
    def run(stream: Stream) -> Value | None:
        found = _row(stream, number, table)
        if found is None or found[0] is None:
            return None
        return work(found[0], found[1], _now(stream)) if found[1] >= 0 else 0

    return run


def _of_source(table: Table, work: Work, *, create: bool) -> Fetch:
    def run(stream: Stream) -> Value | None:
        key = table.key(stream.client)
        if key is None:
            return None
        now = _now(stream)
        row = table.get(key, now) if create else table.find(key, now)
        if row < 0:
            return None if create else 0
        return work(table, row, now)

    return run


def _register(name: str, meaning: str, work: Work | None, *, make: Callable[[int], Work] | None, create: bool) -> None:
    """Enter `sc_NAME`, `sc0_NAME` ..., and `src_NAME`. With `make` the first argument is an element's number."""
    index = (Arg("index", Kind.INT),) if make is not None else ()

    def chosen(number: object) -> Work:
        assert make is not None
        assert isinstance(number, int)
        return make(number)

    def counter(*arguments: object) -> Fetch:
        done = work or chosen(arguments[0])
        number, table = arguments[len(index) :]
        assert isinstance(number, int)
        return _of_counter(number, _table(table), done)

    counter.__doc__ = f"Of what a sticky counter tracks: {meaning}."
    args = (*index, Arg("counter", Kind.INT), optional("table", Kind.TABLE))
    fetches.register(f"sc_{name}", args=args, gives="sint", source=_SOURCE, at="any")(counter)
    for fixed in range(_COUNTERS):

        def numbered(*arguments: object, fixed: int = fixed) -> Fetch:
            done = work or chosen(arguments[0])
            return _of_counter(fixed, _table(arguments[len(index)]), done)

        numbered.__doc__ = f"Of what sticky counter {fixed} tracks: {meaning}."
        args = (*index, optional("table", Kind.TABLE))
        fetches.register(f"sc{fixed}_{name}", args=args, gives="sint", source=_SOURCE, at="any")(numbered)

    def source(*arguments: object) -> Fetch:
        done = work or chosen(arguments[0])
        table = _table(arguments[len(index)])
        assert table is not None
        return _of_source(table, done, create=create)

    source.__doc__ = f"Of the client's address: {meaning}."
    args = (*index, optional("table", Kind.TABLE, ""))
    fetches.register(f"src_{name}", args=args, gives="sint", source=_SOURCE, at="any")(source)


def _table(table: object) -> Table | None:
    assert table is None or isinstance(table, Table)
    return table


for _name in tables.SIMPLE:
    _register(_name, tables.MEANING[_name], tables.reader(_name), make=None, create=False)
_register("kbytes_in", "the kilobytes ever received", tables.kilobytes("bytes_in_cnt"), make=None, create=False)
_register("kbytes_out", "the kilobytes ever sent", tables.kilobytes("bytes_out_cnt"), make=None, create=False)
for _at in (0, 1):
    _gpc = f"general purpose counter {_at}"
    _register(f"get_gpc{_at}", f"its {_gpc}", tables.element("gpcs", _at), make=None, create=False)
    _register(
        f"gpc{_at}_rate", f"how fast its {_gpc} goes up", tables.element("gpc_rates", _at), make=None, create=False
    )
    _register(
        f"inc_gpc{_at}",
        f"its {_gpc} after adding one to it",
        lambda table, row, now, at=_at: tables.increment(table, row, at, now, array=False),  # type: ignore[misc]
        make=None,
        create=True,
    )
    _register(
        f"clr_gpc{_at}",
        f"its {_gpc} before making it zero",
        lambda table, row, now, at=_at: tables.clear(table, row, at, now, array=False),  # type: ignore[misc]
        make=None,
        create=True,
    )
_register("get_gpt0", "its general purpose tag 0", tables.element("gpts", 0), make=None, create=False)
_register("get_gpc", "an element of its counters", None, make=lambda at: tables.element("gpc_array", at), create=False)
_register(
    "gpc_rate", "how fast one of its counters goes up", None, make=lambda at: tables.element("gpc_rate_array", at),
    create=False,
)  # fmt: skip
_register("get_gpt", "an element of its tags", None, make=lambda at: tables.element("gpt_array", at), create=False)
_register(
    "inc_gpc",
    "one of its counters after adding one to it",
    None,
    make=lambda at: lambda table, row, now: tables.increment(table, row, at, now, array=True),
    create=True,
)
_register(
    "clr_gpc",
    "one of its counters before making it zero",
    None,
    make=lambda at: lambda table, row, now: tables.clear(table, row, at, now, array=True),
    create=True,
)


def _key(number: int) -> Fetch:
    def run(stream: Stream) -> Value | None:
        found = tables.tracked(stream, number)
        if found is None:
            return None
        key = found.table.keys[found.row]
        kind = found.table.schema.type
        if key is None:
            return None
        if kind == "integer":
            return int.from_bytes(key, "big")
        return Bin(key) if kind == "binary" else key

    return run


def _is_tracked(number: int, table: Table | None) -> Fetch:
    def run(stream: Stream) -> Value | None:
        return tables.tracked(stream, number) is not None

    return run


def _trackers(number: int, table: Table | None) -> Fetch:
    return _of_counter(number, table, lambda table, row, now: table.refs[row])


@fetches.register("sc_key", args=(Arg("counter", Kind.INT),), gives="any", source=_SOURCE)
def sc_key(number: int) -> Fetch:
    """The key of what a sticky counter tracks."""
    return _key(number)


@fetches.register(
    "sc_tracked", args=(Arg("counter", Kind.INT), optional("table", Kind.TABLE)), gives="bool", source=_SOURCE
)
def sc_tracked(number: int, table: Table | None) -> Fetch:
    """Whether a sticky counter tracks something."""
    return _is_tracked(number, table)


@fetches.register(
    "sc_trackers", args=(Arg("counter", Kind.INT), optional("table", Kind.TABLE)), gives="sint", source=_SOURCE
)
def sc_trackers(number: int, table: Table | None) -> Fetch:
    """How many sessions and requests track the same entry now."""
    return _trackers(number, table)


def _numbered(fixed: int) -> None:
    @fetches.register(f"sc{fixed}_key", gives="any", source=_SOURCE)
    def key() -> Fetch:
        """The key of what this sticky counter tracks."""
        return _key(fixed)

    @fetches.register(f"sc{fixed}_tracked", args=(optional("table", Kind.TABLE),), gives="bool", source=_SOURCE)
    def is_tracked(table: Table | None) -> Fetch:
        """Whether this sticky counter tracks something."""
        return _is_tracked(fixed, table)

    @fetches.register(f"sc{fixed}_trackers", args=(optional("table", Kind.TABLE),), gives="sint", source=_SOURCE)
    def trackers(table: Table | None) -> Fetch:
        """How many sessions and requests track the same entry as this sticky counter."""
        return _trackers(fixed, table)


for _counter in range(_COUNTERS):
    _numbered(_counter)


@fetches.register("src_updt_conn_cnt", args=(optional("table", Kind.TABLE, ""),), gives="sint", source=_SOURCE)
def src_updt_conn_cnt(table: Table) -> Fetch:
    """The connections of the client's address after counting this one; the entry is made if there is none."""

    def work(table: Table, row: int, now: float) -> int | None:
        columns = table.columns.get("conn_cnt")
        if columns is None:
            return None
        column = columns[0]
        column.write(row, column.read(row, 0) + 1, int(now * 1000))
        table.touch(row, now)
        return column.read(row, int(now * 1000))

    return _of_source(table, work, create=True)


@fetches.register("table_avl", args=(optional("table", Kind.TABLE, ""),), gives="sint", source="7.3.2")
def table_avl(table: Table) -> Fetch:
    """How many entries a table has room for."""
    return lambda stream: max(0, table.size - table.used)


@fetches.register("table_cnt", args=(optional("table", Kind.TABLE, ""),), gives="sint", source="7.3.2")
def table_cnt(table: Table) -> Fetch:
    """How many entries a table has."""
    return lambda stream: table.used
