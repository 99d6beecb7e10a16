"""A chart of ratios to HAProxy, as SVG: one group of bars a race, a mark at each target. Pure.

It brings its own ground in light and in dark, so it is readable on any page; what the colours say is written too.
"""

from __future__ import annotations

from html import escape

from bench.figures import OURS, TARGETS, Line
from bench.report import Summary, number

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.ground { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #d8dee4 }
.one { stroke: #1f2328 }
.quiet { fill: #59636e; font-size: 11px }
.title { font-size: 15px; font-weight: 600 }
.value { font-size: 11px }
.strong { font-weight: 600 }
.trilb { fill: #0969da }
.nginx { fill: #9a8cc9 }
.aiohttp { fill: #d98b5f }
.target { stroke: #1f2328; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.ground { fill: #0d1117; stroke: #30363d }
.grid { stroke: #262c33 }
.one, .target { stroke: #e6edf3 }
.quiet { fill: #9198a1 }
.trilb { fill: #4493f8 }
.nginx { fill: #8474bd }
.aiohttp { fill: #c0764b }
}
"""
WIDTH, LEFT, RIGHT, TOP = 860, 330, 60, 92
BAR, THIN, GAP = 12, 6, 14
"""Pixels: trilb's bar, the others', the space between races."""
MOST = 1.5
"""Where the axis ends; a longer bar is cut there and its number tells."""
_OTHERS = ("nginx", "aiohttp")


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>\n'


def _x(ratio: float) -> float:
    return LEFT + min(ratio, MOST) / MOST * (WIDTH - LEFT - RIGHT)


def _bar(y: float, height: int, ratio: float, kind: str) -> str:
    width = max(1.0, _x(ratio) - LEFT)
    return f'<rect x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{height}" rx="2" class="{kind}"/>\n'


def _rule(x: float, top: float, bottom: float, kind: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" class="{kind}"/>\n'


def _race(line: Line, y: float) -> tuple[str, float]:
    """A race's label and bars from `y` down, and the height they take."""
    ratio = line.ratios[OURS]
    drawn = _text(LEFT - 10, y + BAR - 2, line.what, anchor="end")
    drawn += _bar(y, BAR, ratio, OURS) + _text(_x(ratio) + 8, y + BAR - 2, f"{ratio:.2f}", "value strong")
    target = TARGETS.get(line.name)
    if target is not None:
        drawn += _rule(_x(target.limit), y - 3, y + BAR + 3, "target")
    height = BAR
    for name in _OTHERS:
        if name in line.ratios:
            height += 2
            drawn += _bar(y + height, THIN, line.ratios[name], name)
            if line.ratios[name] > MOST:
                drawn += _text(WIDTH - RIGHT + 4, y + height + THIN, f"{line.ratios[name]:.2f}", "quiet")
            height += THIN
    return drawn, height


def charted(lines: list[Line]) -> list[Line]:
    """The races whose ratio is one of rates, where more is better, but for those of many configurations."""
    return [
        line
        for line in lines
        if line.unit.endswith("/s") and OURS in line.ratios and not line.name.startswith(("acls-", "servers-"))
    ]


def _below(lines: list[Line]) -> str:
    """What is not a rate, in words."""
    by_name = {line.name: line for line in lines}
    parts = []
    if "latency-50" in by_name:
        medians = by_name["latency-50"].medians
        parts.append(
            f"p99 at half of trilb's load: trilb {number(medians[OURS])} ms, HAProxy {number(medians['haproxy'])} ms"
        )
    if "idle" in by_name:
        medians = by_name["idle"].medians
        parts.append(f"an idle connection: trilb {number(medians[OURS])} KiB, HAProxy {number(medians['haproxy'])} KiB")
    return "; ".join(parts)


def draw(summary: Summary) -> str:
    """The chart. Races without a ratio are left out; without any there is only the frame."""
    races = ""
    y = float(TOP)
    for line in charted(summary.lines):
        drawn, height = _race(line, y)
        races += drawn
        y += height + GAP
    bottom = y
    grid = ""
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25):
        grid += _rule(_x(tick), TOP - 8, bottom, "one" if tick == 1.0 else "grid")
        grid += _text(_x(tick), TOP - 14, "HAProxy = 1" if tick == 1.0 else f"{tick:g}", "quiet", "middle")
    legend = ""
    x = LEFT
    for name in (OURS, *_OTHERS):
        legend += f'<rect x="{x}" y="46" width="10" height="10" rx="2" class="{name}"/>\n' + _text(x + 15, 55, name)
        x += 80
    legend += _rule(x + 4, 44, 58, "target") + _text(x + 15, 55, "target for trilb")
    height = bottom + 52
    title = "Rates, one thread of HAProxy being 1"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}"'
        f' viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{title}">\n<style>{_STYLE}</style>\n'
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="8" class="ground"/>\n'
        + _text(20, 30, title + ": one process each, the same application behind all", "title")
        + legend
        + grid
        + races
        + _text(20, bottom + 16, _below(summary.lines))
        + _text(20, bottom + 36, summary.circumstances.told(), "quiet")
        + "</svg>\n"
    )
