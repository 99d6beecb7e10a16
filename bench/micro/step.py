"""Who lets a session go on: the poller steps its coroutine (a Tasklet), or wakes its task through trio's scheduler.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio; compiled it is 2.77 us and 5.73 us, 2.07):
- a wake, with a send and two reads, of 64 sessions: stepped by the poller 3.15 us (1.00), trio.lowlevel.reschedule
  5.46 us (1.73).
"""

from __future__ import annotations

from bench.micro import compare, count
from bench.micro.epoll import PAIRS, nested, stepped, talks


def main(often: int) -> None:
    """Print the figures."""
    ways = {"stepped by the poller": talks(stepped), "trio.lowlevel.reschedule": talks(nested)}
    compare(f"a wake, with a send and two reads, of {2 * PAIRS} sessions", ways, often)


if __name__ == "__main__":
    main(count(20_000))
