"""Small measurements, each of one decision; README.md has a line for each. `python -m bench.micro.NAME [COUNT]`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Work = Callable[[int], object]
"""Does something that often."""


def cost(work: Work, count: int, rounds: int = 5, clock: Callable[[], float] = time.process_time) -> float:
    """Microseconds of the processor for one time: of several rounds the best, which is the least disturbed."""
    best = float("inf")
    for _ in range(rounds):
        began = clock()
        work(count)
        best = min(best, clock() - began)
    return best * 1e6 / count


def compare(
    what: str, ways: dict[str, Work], count: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Measure each way and print it beside the first, whose ratio is 1."""
    print(what)
    costs: dict[str, float] = {}
    for name, work in ways.items():
        costs[name] = cost(work, count, clock=clock)
        ratio = costs[name] / (next(iter(costs.values())) or 1.0)
        print(f"  {name:44} {costs[name]:8.2f} us  {ratio:5.2f}", flush=True)
    return costs


def count(usual: int) -> int:
    """What the command line says, or as often as is usual."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else usual
