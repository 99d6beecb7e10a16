"""Races trilb, HAProxy, nginx and aiohttp over the same application, in turn. See README.md beside this file."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench import races, report
from bench.field import ORDER, Field, missing, some
from bench.figures import summary
from bench.load import Failed
from bench.programs import compiled, processor, versions


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(races.NAMES)} (all)")
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second: shows that it runs, measures nothing"
    )
    parser.add_argument("--only", metavar="RACERS", default="", help=f"some of: {','.join(ORDER)} (all)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a run (4)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of a race (3)")
    parser.add_argument(
        "--result", type=Path, default=Path(__file__).parent / "results" / "latest.json", help="the file"
    )
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run the races that were asked for, tell of each, write the result."""
    asked = arguments(words)
    try:
        names, racers = races.chosen(asked.names), some(asked.only)
        races.possible(names, racers)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if programs := missing():
        raise SystemExit(f"not installed: {', '.join(programs)}; `make packages` installs what the benchmark needs")
    how = races.Pace(1.0, 1, 64, 500) if asked.quick else races.Pace(asked.seconds, asked.rounds)
    circumstances = report.Circumstances(
        datetime.now(UTC).strftime("%Y-%m-%d"),
        "compiled" if compiled() else "pure Python",
        platform.python_version(),
        processor(),
        versions(),
        how.seconds,
        how.rounds,
        asked.quick,
        asked.only,
    )
    print(circumstances.told(), flush=True)
    result = report.Result(circumstances)
    try:
        with ExitStack() as stack:
            for row in races.run(names, Field(stack, racers), how, shutil.which("h2load") is not None):
                result.rows.append(row)
                result.save(asked.result)
                print(report.told(summary(row)), end="", flush=True)
    except Failed as error:
        raise SystemExit(str(error)) from None
    print("targets\n" + report.targets([summary(row) for row in result.rows]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
