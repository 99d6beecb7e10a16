"""`log` lines and log profiles as read."""

from __future__ import annotations

from dataclasses import dataclass, field

from trilb.base.address import Address
from trilb.base.diagnostic import NOWHERE, Place
from trilb.config.terms import Format


@dataclass(frozen=True, slots=True)
class LogTarget:
    """A `log` line. Levels are syslog numbers, 0 (emerg) to 7 (debug)."""

    address: Address | None
    stream: str = ""
    format: str = ""
    length: int = 1024
    facility: int = 16
    level: int = 7
    minlevel: int = 0
    sample: tuple[tuple[int, ...], int] | None = None
    """Which lines of how many are sent: ((1, 3), 5)."""
    profile: str = ""
    """The log-profile that says how its lines look."""
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(slots=True)
class LogStep:
    """An `on` line of a log profile; a format that is None is the proxy's."""

    drop: bool = False
    format: Format | None = None
    structured: Format | None = None


@dataclass(slots=True)
class LogProfile:
    """A `log-profile` section."""

    name: str
    place: Place
    tag: str = ""
    steps: dict[str, LogStep] = field(default_factory=dict)
