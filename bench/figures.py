"""What was measured, and what is made of it: medians, percentiles, ratios to HAProxy, targets. Pure.

A ratio is the median of the rounds' ratios, each of two runs that followed each other: what the machine does to one
round it does to both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

Rounds = dict[str, list[float]]
"""A figure of every racer, round by round."""

REFERENCE, OURS = "haproxy", "trilb"


@dataclass
class Row:
    """One race. `values` is its main figure, in `unit`; `more` are others by name (`us`, `busy`, `p50` ...)."""

    name: str
    what: str
    unit: str
    values: Rounds = field(default_factory=dict)
    more: dict[str, Rounds] = field(default_factory=dict)

    def add(self, racer: str, value: float, **more: float) -> None:
        """Note one run."""
        self.values.setdefault(racer, []).append(value)
        for name, figure in more.items():
            self.more.setdefault(name, {}).setdefault(racer, []).append(figure)

    def ratio(self, racer: str = OURS) -> float | None:
        """A racer's main figure, HAProxy's being 1."""
        theirs, its = self.values.get(REFERENCE), self.values.get(racer)
        if not theirs or not its or len(theirs) != len(its):
            return None
        return statistics.median(b / a if a else 0.0 for a, b in zip(theirs, its, strict=True))


@dataclass(frozen=True)
class Target:
    """What must be reached: of the ratio to HAProxy, or of trilb's own figure in the row's unit."""

    limit: float
    at_least: bool = True
    own: bool = False


TARGETS = {
    "keepalive": Target(0.40),
    "varied": Target(0.30),
    "stick": Target(0.35),
    "close": Target(0.30),
    "bulk": Target(0.90),
    "tcp-small": Target(0.45),
    "tcp-bulk": Target(0.95),
    "tcp-close": Target(0.30),
    "tls-small": Target(0.40),
    "tls-bulk": Target(1.0),
    "tls-close": Target(0.80),
    "latency-50": Target(3.0, at_least=False),
    "idle": Target(10.0, at_least=False, own=True),
}


@dataclass
class Line:
    """A row's summary: medians, trilb's ratio to HAProxy, the target in words and whether it was reached."""

    name: str
    what: str
    unit: str
    medians: dict[str, float]
    ratios: dict[str, float]
    more: dict[str, dict[str, float]]
    target: str = ""
    reached: bool | None = None


def _medians(rounds: Rounds) -> dict[str, float]:
    return {racer: round(statistics.median(values), 3) for racer, values in rounds.items() if values}


def summary(row: Row) -> Line:
    """The row in one line."""
    ratios = {racer: ratio for racer in row.values if racer != REFERENCE and (ratio := row.ratio(racer)) is not None}
    medians = _medians(row.values)
    more = {name: _medians(rounds) for name, rounds in row.more.items()}
    line = Line(row.name, row.what, row.unit, medians, {name: round(ratio, 3) for name, ratio in ratios.items()}, more)
    target = TARGETS.get(row.name)
    measured = (medians if target is not None and target.own else ratios).get(OURS)
    if target is not None and measured is not None:
        unit = f" {row.unit}" if target.own else ""
        line.target = f"at {'least' if target.at_least else 'most'} {target.limit:.{1 if target.own else 2}f}{unit}"
        line.reached = measured >= target.limit if target.at_least else measured <= target.limit
    return line


def percentile(values: Sequence[float], part: float) -> float:
    """The value that `part` (0 to 1) of them do not exceed. They must be sorted, and there must be some."""
    return values[min(len(values) - 1, max(0, math.ceil(len(values) * part) - 1))]
