"""What the statistics say, as rows in the order of proxies' ids, and as CSV (management.txt, section 9.1). Pure.

A row's values are those of columns.py, in its order, None for an empty field. formats.py has the other formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trilb.admin import columns
from trilb.admin.columns import BACKEND, COLUMNS, FRONTEND, LISTENER, MODULES, POSITION, SERVER, STATIC, Value
from trilb.admin.figures import Moment
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import MAINT, STOPPED, Server


class Shown(Protocol):
    """What is looked at: the live objects, read at the moment of the question."""

    @property
    def process(self) -> ProcessState:
        """Its clock says when."""

    @property
    def frontends(self) -> Mapping[str, Frontend]:
        """By name."""

    @property
    def backends(self) -> Mapping[str, Backend]:
        """By name."""


class Row:
    """One thing's values, by column."""

    __slots__ = ("kind", "thing", "values")

    def __init__(self, kind: str, thing: Any, moment: Moment) -> None:
        self.kind = kind
        """F, L, S or B."""
        self.thing = thing
        self.values: list[Value | None] = [None] * len(COLUMNS)
        for position, get in columns.OF_ROW[kind]:
            self.values[position] = get(thing, moment)

    def __getitem__(self, name: str) -> Value:
        """A value by its column's name, "" for an empty field."""
        value = self.values[POSITION[name]]
        return "" if value is None else value


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: `types` is the sum of 1 frontends, 2 backends, 4 servers, 8 listeners; -1 stands for all."""

    proxy: int = -1
    types: int = -1
    number: int = -1
    up: bool = False
    """Without servers that are down or in maintenance."""
    no_maint: bool = False

    def shows(self, server: Server) -> bool:
        """Is that server to be listed?"""
        if self.number != -1 and server.id != self.number:
            return False
        maintained = bool(server.admin & MAINT)
        if self.up and (maintained or server.operation == STOPPED):
            return False
        return not (self.no_maint and maintained)


ALL = Selection()


def rows(shown: Shown, moment: Moment | None = None, which: Selection = ALL) -> Iterator[Row]:
    """The rows asked for, proxies as they stand in the configuration.

    A proxy's frontend, sockets, servers and backend, in this order.
    """
    moment = moment or Moment(shown.process)
    proxies: dict[tuple[int, int], tuple[Frontend | None, Backend | None]] = {}
    for frontend in shown.frontends.values():
        proxies[frontend.config.order, frontend.config.id] = (frontend, None)
    for backend in shown.backends.values():
        place = backend.config.order, backend.config.id
        proxies[place] = (proxies.get(place, (None, None))[0], backend)
    for (_, number), (front, back) in sorted(proxies.items(), key=lambda item: item[0]):
        if which.proxy not in (-1, number):
            continue
        if front is not None:
            if which.types & 1 and which.number in (-1, 0):
                yield Row(FRONTEND, front, moment)
            for listener in front.listeners if which.types & 8 else ():
                if which.number in (-1, listener.id):
                    yield Row(LISTENER, listener, moment)
        if back is not None:
            for server in back.servers if which.types & 4 else ():
                if which.shows(server):
                    yield Row(SERVER, server, moment)
            if which.types & 2 and which.number in (-1, 0):
                row = Row(BACKEND, back, moment)
                if which.up or which.no_maint:
                    # Observed: where servers are left out, it is told of how many.
                    count = sum(which.shows(server) for server in back.servers)
                    row.values[POSITION["status"]] = f"{row['status']} ({count}/{len(back.servers)})"
                yield row


def csv_header() -> str:
    """The first line; it ends in a comma, as every line does."""
    names = [*(column.name for column in STATIC), "-", *(column.name for column in MODULES)]
    return f"# {','.join(names)},\n"


def csv_line(row: Row) -> str:
    """A row as CSV."""
    fields = [_field(value) for value in row.values]
    fields.insert(len(STATIC), "-")
    return ",".join(fields) + ",\n"


def csv(found: Iterator[Row]) -> Iterator[str]:
    """Rows as CSV, line by line."""
    yield csv_header()
    for row in found:
        yield csv_line(row)


def _field(value: Value | None) -> str:
    if value is None:
        return ""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text
