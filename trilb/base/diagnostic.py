"""What is said to the operator about a configuration: where, what is wrong, what would be right.

Nothing here prints. The reader gathers diagnostics, the command line writes them in HAProxy's shape.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a configuration file; line and column count from 1, column 0 means the whole line."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


NOWHERE = Place("", 0)


class Severity(Enum):
    """How HAProxy names the weight of a message."""

    ALERT = "ALERT"
    WARNING = "WARNING"
    NOTICE = "NOTICE"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message about one place."""

    severity: Severity
    place: Place
    text: str
    excerpt: str = ""

    def __str__(self) -> str:
        """In the shape of HAProxy's own messages, which editors and scripts already know how to find."""
        where = f"config : parsing [{self.place}] : " if self.place.line else "config : "
        if self.excerpt:
            # Leading blanks do not count, here and in HAProxy's positions.
            shown = self.excerpt.lstrip()
            position = self.place.column - (len(self.excerpt) - len(shown))
            return f"config : parsing [{self.place}]: {self.text}:\n  {shown}\n  {' ' * (position - 1)}^"
        column = f" (column {self.place.column})" if self.place.column else ""
        return f"{where}{self.text}{column}"


class Refused(Exception):
    """Something in the configuration cannot be accepted. Raised while reading and building, never while serving.

    `column` is where in the line, when the one who raises knows better than the one who catches; `place`
    likewise for the whole position.
    """

    def __init__(self, text: str, *, column: int = 0, place: Place | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.column = column
        self.place = place


@dataclass(slots=True)
class Report:
    """Gathers diagnostics, so that one run of `-c` tells all that is wrong."""

    entries: list[Diagnostic] = field(default_factory=list)

    def alert(self, place: Place, text: str, excerpt: str = "") -> None:
        """Record an error: the configuration will be refused. `excerpt` is shown with a caret under the column."""
        self.entries.append(Diagnostic(Severity.ALERT, place, text, excerpt))

    def warn(self, place: Place, text: str) -> None:
        """Record something that is accepted and probably not meant."""
        self.entries.append(Diagnostic(Severity.WARNING, place, text))

    def note(self, place: Place, text: str) -> None:
        """Record a remark that asks for no change."""
        self.entries.append(Diagnostic(Severity.NOTICE, place, text))

    @property
    def failed(self) -> bool:
        """True when at least one error was recorded."""
        return any(entry.severity is Severity.ALERT for entry in self.entries)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word closest to `word`, or an empty string when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""
