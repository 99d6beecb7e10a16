"""What is told of a benchmark: lines for who watches, a result for machines, a summary to keep. Pure but for files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.field import ORDER
from bench.figures import OURS, REFERENCE, Line, Row, summary


@dataclass
class Circumstances:
    """What the figures depend on. `build` is "compiled" (by mypyc) or "pure Python"; `quick` figures prove nothing."""

    when: str
    build: str
    python: str
    processor: str
    versions: dict[str, str]
    seconds: float
    rounds: int
    quick: bool = False
    only: str = ""
    """The racers that took part, if not all were asked for."""

    def told(self) -> str:
        """In a line."""
        programs = ", ".join(f"{name} {number}" for name, number in self.versions.items() if name != "trilb")
        return f"trilb {self.build}, Python {self.python}, {programs}; {self.processor}; {self.when}"


@dataclass
class Result:
    """All that was measured, round by round."""

    circumstances: Circumstances
    rows: list[Row] = field(default_factory=list)

    def save(self, file: Path) -> None:
        """Write it as JSON, with each row's summary."""
        data = asdict(self)
        for row, told in zip(self.rows, data["rows"], strict=True):
            told["summary"] = asdict(summary(row))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data, indent=1) + "\n")


@dataclass
class Summary:
    """What is kept of a Result: medians, ratios, targets."""

    circumstances: Circumstances
    lines: list[Line]

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load(file: Path) -> Summary:
    """The summary of a Result's file, or of a Summary's."""
    data = json.loads(file.read_text())
    lines = [row["summary"] for row in data["rows"]] if "rows" in data else data["lines"]
    return Summary(Circumstances(**data["circumstances"]), [Line(**line) for line in lines])


def number(value: float) -> str:
    """Three or four digits that matter."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def verdict(line: Line) -> str:
    """The target and whether it was reached, or nothing."""
    return f"{line.target}: {'reached' if line.reached else 'short'}" if line.target else ""


def _extras(line: Line, racer: str) -> str:
    more = {name: figures[racer] for name, figures in line.more.items() if racer in figures}
    text = ""
    if "p50" in more:
        text += f"  p50 {more['p50']:.2f}, p99.9 {more['p99.9']:.2f}, asked {more['late']:.2f} late (p99) ms"
    if "us" in more:
        text += f"  {more['us']:8.1f} us CPU each  {more['busy'] * 100:3.0f} % of a processor"
    return text


def told(line: Line) -> str:
    """A race in a few lines: each racer's median, its processor time, its ratio to HAProxy, the target."""
    text = f"{line.name}: {line.what}\n"
    for racer in (name for name in ORDER if name in line.medians):
        text += f"  {racer:8} {number(line.medians[racer]):>10} {line.unit}{_extras(line, racer)}"
        if racer in line.ratios:
            text += f"  {line.ratios[racer]:5.2f} of HAProxy"
        text += f"  ({verdict(line)})\n" if racer == OURS and line.target else "\n"
    return text


def targets(lines: list[Line]) -> str:
    """Which targets were reached."""
    text = ""
    for line in lines:
        if line.target:
            own = line.unit in line.target
            measured = number(line.medians[OURS]) + " " + line.unit if own else f"{line.ratios[OURS]:.2f}"
            text += f"  {line.name:12} {measured:>12}  {verdict(line)}\n"
    return text


def table(lines: list[Line]) -> str:
    """A table in Markdown."""
    text = "| race | HAProxy | trilb | ratio | CPU each, HAProxy / trilb | nginx | aiohttp | target |\n"
    text += "|---|--:|--:|--:|--:|--:|--:|---|\n"
    for line in lines:
        us = line.more.get("us", {})
        cost = f"{us[REFERENCE]:.1f} / {us[OURS]:.1f} us" if REFERENCE in us and OURS in us else ""
        values = {name: number(value) for name, value in line.medians.items()}
        ratio = f"{line.ratios[OURS]:.2f}" if OURS in line.ratios else ""
        first = f"{line.name}: {line.what} ({line.unit})"
        others = [values.get(name, "") for name in ("nginx", "aiohttp")]
        cells = [first, values.get(REFERENCE, ""), values.get(OURS, ""), ratio, cost, *others, verdict(line)]
        text += "| " + " | ".join(cells) + " |\n"
    return text
