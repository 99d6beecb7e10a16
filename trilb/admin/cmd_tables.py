"""Commands on stick tables: show, set, clear table (management.txt, section 9.3).

Entries are shown bucket by bucket while the socket takes them, so that a large table stops nothing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from trilb.admin.caller import error
from trilb.admin.commands import View, command
from trilb.base import ip
from trilb.base.schema import TYPES
from trilb.base.units import saturated
from trilb.tables.columns import Mark, Rate, Tally
from trilb.tables.store import Table

_ROW = 64
_FIRST = 0x7F0000000000
"""HAProxy shows where an entry lies in memory; here it is made of the row, and names it as well."""
_SORTED = 10_000
"""Entries up to which a table is shown in the order of its keys."""
_MOST_FILTERS = 4
_BREATH = 200
"""Rows that are looked at before others get a turn."""
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "le": operator.le,
    "ge": operator.ge,
    "lt": operator.lt,
    "gt": operator.gt,
}
_USAGE = {
    "show": 'Optional argument only supports "data.<store_data_type>" <operator> <value>, key <key> and ptr <ptr>\n',
    "clear": 'Required arguments: <table> "data.<store_data_type>" <operator> <value> or <table> key <key> or '
    "<table> ptr <ptr>\n",
    "set": "Required arguments: <table> key <key> or <table> ptr <ptr>, then [data.<store_data_type> <value>]*\n",
}
_DATA = re.compile(r"data\.([a-z0-9_]+)(?:\[(\d+)\])?\Z")
_ESCAPED = re.compile(rb"[^\x21-\x5b\x5d-\x7e]|\\")


class _Answer(Exception):
    """What a command says instead of doing anything."""


@dataclass(frozen=True, slots=True)
class _Filter:
    column: Tally | Rate | Mark
    test: Callable[[int, int], bool]
    value: int


def _show_byte(match: re.Match[bytes]) -> bytes:
    byte = match[0]
    if byte in (b" ", b"\\", b"="):
        return b"\\" + byte
    return b"\\x%02x" % byte[0]


def key_text(table: Table, key: bytes) -> str:
    """A key as `show table` shows it and `key` reads it."""
    kind = table.schema.type
    if kind in ("ip", "ipv4", "ipv6"):
        return ip.text(key)
    if kind == "integer":
        return str(int.from_bytes(key, "big"))
    if kind == "binary":
        return key.hex().upper()
    return _ESCAPED.sub(_show_byte, key).decode("latin-1")


def _read_key(table: Table, text: str) -> bytes:
    kind = table.schema.type
    if kind in ("ip", "ipv4", "ipv6"):
        if not ip.is_literal(text):
            raise _Answer("Invalid key\n")
        key = table.key(ip.packed(text))
        if key is None:
            raise _Answer("Invalid key\n")
        return key
    if kind == "integer":
        if not text.removeprefix("-").isdecimal():
            raise _Answer("Invalid key\n")
        return table.key(saturated(text)) or b""
    if kind == "binary":
        try:
            return table.key(bytes.fromhex(text)) or b""
        except ValueError:
            raise _Answer("Invalid key\n") from None
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), text.encode("latin-1", "replace"))
    return table.key(re.sub(rb"\\(.)", rb"\1", raw)) or b""


def _pointer(table: Table, text: str, now: float) -> int:
    try:
        row, rest = divmod(int(text, 16) - _FIRST, _ROW)
    except ValueError:
        raise _Answer("Invalid ptr\n") from None
    if rest or not 0 <= row < len(table.keys):
        return -1
    key = table.keys[row]
    return table.find(key, now) if key is not None else -1


def _header(table: Table) -> str:
    schema = table.schema
    kind = "ip" if schema.type == "ipv4" else schema.type
    return f"# table: {table.name}, type: {kind}, size:{table.size}, used:{table.used}\n"


def line(table: Table, row: int, now: float) -> str:
    """One entry as `show table` shows it."""
    key = table.keys[row]
    assert key is not None
    now_ms = int(now * 1000)
    words = [
        f"{_FIRST + row * _ROW:#x}: key={key_text(table, key)} use={table.refs[row]}"
        f" exp={int(table.left(row, now) * 1000)} shard={table.shard(key)}"
    ]
    for label, _, column in table.shown:
        if column is table.server_key:
            words.append(f"{label}={table.servers[column.values[row]] or '-'}")
        else:
            words.append(f"{label}={column.read(row, now_ms)}")
    return " ".join(words) + "\n"


def _column(table: Table, word: str, known: str) -> Tally | Rate | Mark:
    """The column that `data.NAME` or `data.NAME[INDEX]` means. Raises _Answer."""
    match = _DATA.match(word)
    if match is None or match[1] not in TYPES:
        raise _Answer(f"{known}Unknown data type\n")
    columns = table.columns.get(match[1])
    if columns is None:
        raise _Answer(f"{known}Data type not stored in this table\n")
    index = saturated(match[2] or "0")
    if (TYPES[match[1]].array and match[2] is None and len(columns) > 1) or index >= len(columns):
        raise _Answer(f"{known}Data type is an array of {len(columns)} elements, write data.{match[1]}[<index>]\n")
    return columns[index]


def _filters(table: Table, words: list[str]) -> list[_Filter]:
    found = []
    for at in range(0, len(words), 3):
        number = at // 3 + 1
        if number > _MOST_FILTERS:
            raise _Answer(f"Too many filters: {_MOST_FILTERS} at most\n")
        called = f"Filter entry #{number}: "
        column = _column(table, words[at], called)
        test = _OPERATORS.get(words[at + 1]) if at + 1 < len(words) else None
        if test is None:
            names = ", ".join(f'"{name}"' for name in _OPERATORS)
            raise _Answer(f"{called}Require and operator among {names}\n")
        text = words[at + 2] if at + 2 < len(words) else ""
        if not text.removeprefix("-").isdecimal():
            raise _Answer(f"{called}Require a valid integer value to compare against\n")
        found.append(_Filter(column, test, saturated(text)))
    return found


def _table(view: View, name: str) -> Table:
    table = view.tables.get(name)
    if table is None:
        raise _Answer("No such table\n")
    while table.purge(view.process.clock.now):
        pass
    return table


def _chosen(table: Table, words: list[str], now: float, verb: str) -> Iterator[int | None]:
    """The rows that the words after the table's name mean, in the order of keys where that is cheap.

    None now and then: many rows were looked at, and others may have a turn.
    """
    if not words:
        yield from _breathing(_all(table, now))
        return
    if words[0] in ("key", "ptr"):
        if len(words) < 2:
            raise _Answer("Key value expected\n" if words[0] == "key" else "Ptr value expected\n")
        row = table.find(_read_key(table, words[1]), now) if words[0] == "key" else _pointer(table, words[1], now)
        if row >= 0:
            yield row
        return
    if not words[0].startswith("data."):
        raise _Answer(_USAGE[verb])
    filters = _filters(table, words)
    now_ms = int(now * 1000)
    for each in _breathing(_all(table, now)):
        if each is None or all(one.test(one.column.read(each, now_ms), one.value) for one in filters):
            yield each


def _breathing(rows: Iterable[int]) -> Iterator[int | None]:
    """The rows, with a None after every few."""
    for number, row in enumerate(rows):
        yield row
        if number % _BREATH == _BREATH - 1:
            yield None


def _all(table: Table, now: float) -> Iterator[int]:
    if table.used > _SORTED:
        return table.rows(now)
    return iter(sorted(table.rows(now), key=lambda row: table.keys[row] or b""))


@command("show table", source="9.3", level="user", allowed="operator")
def show_table(view: View, words: list[str], level: str) -> Iterator[str]:
    """show table [<table> [data.<type> <op> <value>]* | [key <key>] | [ptr <ptr>]]: stick tables and their entries"""
    now = view.process.clock.now
    if not words:
        for name in sorted(view.tables):
            yield _header(_table(view, name))
        return
    try:
        table = _table(view, words[0])
        rows = _chosen(table, words[1:], now, "show")
        text = _header(table)
        if level == "user":
            yield text + "# contents not dumped due to insufficient privileges\n"
            return
        single = words[1:2] in (["key"], ["ptr"])
        found = False
        for row in rows:
            if row is not None:
                found = True
                if table.keys[row] is not None:
                    text += line(table, row, now)
            if row is None or len(text) > 16384:
                yield text
                text = ""
        if found or not single:
            yield text
    except _Answer as answer:
        yield error(str(answer))


@command("set table", source="9.3", level="operator")
def set_table(view: View, words: list[str]) -> str:
    """set table <table> key <key>|ptr <ptr> [data.<type> <value>]*: make or change an entry of a stick table"""
    now = view.process.clock.now
    try:
        if not words:
            return '"<table>" name expected\n'
        table = _table(view, words[0])
        if words[1:2] not in (["key"], ["ptr"]):
            return _USAGE["set"]
        if len(words) < 3:
            return "Key value expected\n" if words[1] == "key" else "Ptr value expected\n"
        if words[1] == "key":
            row = table.get(_read_key(table, words[2]), now)
            if row < 0:
                return "Unable to allocate a new entry\n"
        else:
            row = _pointer(table, words[2], now)
            if row < 0:
                return "No entry can be found matching ptr.\n"
        table.touch(row, now)
        now_ms = int(now * 1000)
        for at in range(3, len(words), 2):
            if not words[at].startswith("data."):
                return '"data.<type>" followed by a value expected\n'
            column = _column(table, words[at], "")
            text = words[at + 1] if at + 1 < len(words) else ""
            if column is table.server_key and text:
                table.set_mark(table.server_key, row, table.server_number("" if text == "-" else text))
            elif not text.removeprefix("-").isdecimal():
                return "Require a valid integer value to store\n"
            elif isinstance(column, Mark):
                table.set_mark(column, row, saturated(text) & 0xFFFFFFFF)
            else:
                column.write(row, saturated(text), now_ms)
    except _Answer as answer:
        return error(str(answer))
    return ""


@command("clear table", source="9.3", level="operator")
def clear_table(view: View, words: list[str]) -> Iterator[str]:
    """clear table <table> [data.<type> <op> <value> | key <key> | ptr <ptr>]: remove entries of a stick table"""
    now = view.process.clock.now
    try:
        if not words:
            raise _Answer(_USAGE["clear"])
        table = _table(view, words[0])
        held = 0
        for row in _chosen(table, words[1:], now, "clear"):
            if row is None:
                yield ""
            elif table.keys[row] is not None and table.find(table.keys[row] or b"", now) == row:
                held += not table.remove(row, now)
        if held and words[1:2] in (["key"], ["ptr"]):
            yield "Entry currently in use, cannot remove\n"
    except _Answer as answer:
        yield error(str(answer))
