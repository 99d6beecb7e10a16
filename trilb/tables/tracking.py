"""Entries that a connection or a request tracks (configuration.txt, section 4.4, track-sc0). HOT."""

from __future__ import annotations

from typing import Any

from trilb.tables.store import Table


class Tracked:
    """A row that is held while somebody is counted in it."""

    __slots__ = ("row", "table")

    def __init__(self, table: Table, row: int, now: float) -> None:
        self.table = table
        self.row = row
        table.hold(row)
        if table.conn_cur is not None:
            table.conn_cur.own[row] += 1
        self.count(table.on_connection, now)

    def count(self, columns: tuple[Any, ...], now: float, amount: int = 1) -> None:
        """Add to a few columns; the entry is refreshed."""
        now_ms = int(now * 1000)
        for column in columns:
            column.add(self.row, amount, now_ms)
        self.table.touch(self.row, now)

    def bytes_moved(self, taken: int, given: int, now: float) -> None:
        """Count what came from the client and what it was sent."""
        table, row = self.table, self.row
        now_ms = int(now * 1000)
        for columns, amount, divisor in (
            (table.bytes_in, taken, 1),
            (table.rates_in, taken, table.factor),
            (table.bytes_out, given, 1),
            (table.rates_out, given, table.factor),
        ):
            for column in columns:
                column.add(row, amount // divisor, now_ms)

    def end(self, now: float) -> None:
        """Let go of the row."""
        if self.table.conn_cur is not None:
            self.table.conn_cur.own[self.row] -= 1
        self.table.release(self.row, now)


Trackers = list[Tracked | None]
"""The sticky counters of a session or stream, by their number."""
