"""Who speaks on the runtime socket, and what commands say to him (management.txt, section 9.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

LEVELS = ("user", "operator", "admin")
_SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6


class Mode(Enum):
    """What follows an answer: the end of the connection, the next line, or a prompt and the next line."""

    ONCE = "n"
    LINES = "i"
    PROMPT = "p"


@dataclass(slots=True)
class Caller:
    """One client of the runtime socket: his level, and how he wants to be answered."""

    level: str = "admin"
    timeout: float = 10.0
    """Seconds without a byte in either direction after which he is let go."""
    severity: str = "none"
    """`none`, `number` or `string`: how the severity of messages is written."""
    mode: Mode = Mode.ONCE
    timed: bool = False
    expert: bool = False
    experimental: bool = False
    exposes: bool = False
    """Whether he may have the listening sockets (`expose-fd listeners`)."""
    quitting: bool = False

    def may(self, level: str) -> bool:
        """Whether his level is at least that one."""
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def lower(self, level: str) -> None:
        """Take the lower one of two levels; modes for experts end with it."""
        if self.may(level):
            self.level = level
        self.expert = self.experimental = False


class Said(str):
    """A message with a severity; what is a report and no message has none."""

    __slots__ = ("severity",)

    severity: int

    def written(self, caller: Caller) -> str:
        """The message as its reader wants it (`set severity-output`)."""
        if caller.severity == "none":
            return self
        mark = str(self.severity) if caller.severity == "number" else _SEVERITIES[self.severity]
        return f"[{mark}]: {self}"


def _said(text: str, severity: int) -> Said:
    made = Said(text)
    made.severity = severity
    return made


def error(text: str) -> Said:
    """What went wrong."""
    return _said(text, ERROR)


def warning(text: str) -> Said:
    """What was done although it may not be what was meant."""
    return _said(text, WARNING)


def notice(text: str) -> Said:
    """What was done."""
    return _said(text, NOTICE)


def info(text: str) -> Said:
    """What is so."""
    return _said(text, INFO)
