"""Who lets a session go on: the poller steps its coroutine (a Tasklet), or wakes its task through trio's scheduler.

1 us
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
