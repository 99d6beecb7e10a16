"""Takes a result into the repository: python -m bench.publish [RESULT].

Writes bench/summary.json (medians, ratios, targets), bench/chart.svg, the table in bench/README.md and the picture in
README.md; of both texts only what stands between the two comments. Refuses a quick result, and one that lacks races or
racers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench import races
from bench.chart import draw
from bench.report import Summary, load, table

HERE = Path(__file__).parent
BEGIN, END = "<!-- figures: written by python -m bench.publish -->", "<!-- end of figures -->"


def between(text: str, figures: str) -> str:
    """The text with its figures replaced. Raises ValueError without a place for them."""
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError("no place for figures")
    return f"{before}{BEGIN}\n{figures}\n{END}{after}"


def lacking(summary: Summary) -> list[str]:
    """Races that were not run."""
    run = [line.name for line in summary.lines]
    return [name for name in races.NAMES if not any(had == name or had.startswith(name + "-") for had in run)]


def main(file: Path) -> int:
    """Publish it."""
    summary = load(file)
    if summary.circumstances.quick:
        raise SystemExit(f"{file}: from a quick run, which measures nothing")
    if summary.circumstances.only:
        raise SystemExit(f"{file}: only of {summary.circumstances.only}; run `make bench` for all")
    if missing := lacking(summary):
        raise SystemExit(f"{file}: without {', '.join(missing)}; run `make bench` for all")
    told = summary.circumstances.told()
    summary.save(HERE / "summary.json")
    (HERE / "chart.svg").write_text(draw(summary))
    for page, figures in (
        (HERE / "README.md", f"Measured: {told}.\n\n{table(summary.lines)}"),
        (
            HERE.parent / "README.md",
            f"![Rates beside HAProxy, nginx and aiohttp](bench/chart.svg)\n\nMeasured: {told}.",
        ),
    ):
        page.write_text(between(page.read_text(), figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results" / "latest.json"))
