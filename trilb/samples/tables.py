"""What fetches and converters of stick tables share: how each number is read, and where the row comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from trilb.base.diagnostic import Refused
from trilb.config.language import IMPOSSIBLE_CASTS
from trilb.live.stream import Stream
from trilb.tables.store import Table
from trilb.tables.tracking import Tracked

KEY_TYPES: Final = {"ip": "addr", "ipv4": "addr", "ipv6": "addr", "integer": "sint", "string": "str", "binary": "bin"}
"""Into what a sample is cast to be a table's key."""


def key_type(table: Table, kind: str) -> str:
    """The type of a table's keys, for a cast from `kind`. Raises Refused when there is no such cast."""
    wanted = KEY_TYPES[table.schema.type]
    if (kind, wanted) in IMPOSSIBLE_CASTS:
        raise Refused(
            f"a sample of type {kind} cannot be a key of table '{table.name}', whose type is {table.schema.type}"
        )
    return wanted


Reader = Callable[[Table, int, float], int | None]
"""(table, row, seconds) -> the number, None when the table does not store it."""

SIMPLE: Final = (
    "bytes_in_rate",
    "bytes_out_rate",
    "conn_cnt",
    "conn_cur",
    "conn_rate",
    "glitch_cnt",
    "glitch_rate",
    "http_err_cnt",
    "http_err_rate",
    "http_fail_cnt",
    "http_fail_rate",
    "http_req_cnt",
    "http_req_rate",
    "sess_cnt",
    "sess_rate",
)
"""Numbers whose fetches are called as the data types are."""

MEANING: Final = {
    "bytes_in_rate": "the bytes received in the period",
    "bytes_out_rate": "the bytes sent in the period",
    "conn_cnt": "how many connections there ever were",
    "conn_cur": "how many connections there are",
    "conn_rate": "how many connections there were in the period",
    "glitch_cnt": "how many anomalies there ever were",
    "glitch_rate": "how many anomalies there were in the period",
    "http_err_cnt": "how many errors the client ever made",
    "http_err_rate": "how many errors the client made in the period",
    "http_fail_cnt": "how many failures of servers there ever were",
    "http_fail_rate": "how many failures of servers there were in the period",
    "http_req_cnt": "how many requests there ever were",
    "http_req_rate": "how many requests there were in the period",
    "sess_cnt": "how many sessions there ever were",
    "sess_rate": "how many sessions there were in the period",
}


def reader(name: str) -> Reader:
    """Read a data type by its name."""
    scaled = name in ("bytes_in_rate", "bytes_out_rate")

    def read(table: Table, row: int, now: float) -> int | None:
        columns = table.columns.get(name)
        if columns is None:
            return None
        value = columns[0].read(row, int(now * 1000))
        return value * table.factor if scaled else value

    return read


def kilobytes(name: str) -> Reader:
    """Read a count of bytes in units of 1024."""

    def read(table: Table, row: int, now: float) -> int | None:
        columns = table.columns.get(name)
        return columns[0].read(row, int(now * 1000)) >> 10 if columns is not None else None

    return read


def element(attribute: str, index: int) -> Reader:
    """Read an element of an array of the table, such as `gpcs`."""

    def read(table: Table, row: int, now: float) -> int | None:
        found: list[Any] = getattr(table, attribute)
        if index >= len(found) or found[index] is None:
            return None
        value: int = found[index].read(row, int(now * 1000))
        return value

    return read


def increment(table: Table, row: int, index: int, now: float, *, array: bool, amount: int = 1) -> int | None:
    """Add to a general purpose counter and its rate; the counter's new value (or the rate's), None for neither."""
    counts = table.gpc_array if array else table.gpcs
    rates = table.gpc_rate_array if array else table.gpc_rates
    count = counts[index] if index < len(counts) else None
    rate = rates[index] if index < len(rates) else None
    if count is None and rate is None:
        # Observed: an element that an array does not have answers 0, a type that is not stored nothing.
        return 0 if array else None
    now_ms = int(now * 1000)
    value = 0
    if rate is not None:
        rate.add(row, amount, now_ms)
        value = rate.read(row, now_ms)
    if count is not None:
        count.add(row, amount, now_ms)
        value = count.read(row, now_ms)
    table.touch(row, now)
    return value


def clear(table: Table, row: int, index: int, now: float, *, array: bool) -> int | None:
    """Zero a general purpose counter; what it was."""
    counts = table.gpc_array if array else table.gpcs
    count = counts[index] if index < len(counts) else None
    if count is None:
        return None
    now_ms = int(now * 1000)
    value: int = count.read(row, now_ms)
    count.write(row, 0, now_ms)
    table.touch(row, now)
    return value


def tracked(stream: Stream, number: int) -> Tracked | None:
    """What a sticky counter tracks: the stream's, else the session's."""
    for trackers in (stream.tracked, stream.session.tracked):
        if trackers is not None and number < len(trackers):
            found = trackers[number]
            if found is not None:
                return found
    return None
