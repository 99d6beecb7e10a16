"""Whether bytes are in bytes: asked with `find`, or with `in`, which first tries whether it was given a number.

Measured (CPython 3.11; in brackets the ratio):
- a cookie's name in a cookie header: find 0.10 us (1.00), in 0.18 us (1.87).
"""

from __future__ import annotations

from bench.micro import Work, compare, count

HEADER = b"session=7c9e6679f0b1; theme=dark; consent=yes"
NAME = b"SRV"


def main(often: int) -> None:
    """Print the figures."""
    ways: dict[str, Work] = {
        "find": lambda n: [HEADER.find(NAME) >= 0 for _ in range(n)],
        "in": lambda n: [NAME in HEADER for _ in range(n)],
    }
    compare("a cookie's name in a cookie header", ways, often)


if __name__ == "__main__":
    main(count(500_000))
