"""One table of what the statistics say: every column with its kind and, for each kind of row, where its value is.

CSV, typed output, JSON, the page and the Prometheus exporter are all made from it (management.txt, section 9.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trilb.admin import column_texts, figures

Value = str | int
Getter = Callable[[Any, figures.Moment], Value | None]
"""What a column says of one thing, None for an empty field."""

FRONTEND, BACKEND, SERVER, LISTENER = "FBSL"
"""Kinds of rows; the `type` column numbers them in this order."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `tags` are its origin, nature and scope by kind of row; `doc` is HAProxy's description."""

    position: int
    name: str
    rows: str
    tags: Mapping[str, str]
    type: str
    doc: str
    getters: Mapping[str, Getter]


def entries(text: str) -> Iterator[list[str]]:
    """The lines of a table of texts, continuation lines joined."""
    lines: list[str] = []
    for line in filter(None, text.splitlines()):
        if line[0] == " ":
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    for line in lines:
        yield line.split(" ")


def _columns(text: str, start: int) -> Iterator[Column]:
    for position, (name, rows, tags, kind, *words) in enumerate(entries(text), start):
        usual, *others = tags.split(",")
        by_row = dict.fromkeys(rows, usual)
        for other in others:
            row, _, own = other.partition("=")
            by_row[row] = own
        getters = {row: figures.BY_ROW[row][name] for row in rows}
        yield Column(position, name, rows, by_row, kind, " ".join(words), getters)


STATIC = tuple(_columns(column_texts.STATIC + column_texts.NEWER, 0))
"""Columns that are always there, in this order."""
MODULES = tuple(_columns(column_texts.MODULES, len(STATIC)))
"""Columns of modules, found by name only."""
COLUMNS = STATIC + MODULES
POSITION = {column.name: column.position for column in COLUMNS}
OF_ROW = {kind: tuple((c.position, c.getters[kind]) for c in COLUMNS if kind in c.getters) for kind in "FBSL"}
"""What a kind of row has: positions and getters."""
