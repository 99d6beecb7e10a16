"""`python -m trilb` and the `trilb` command."""

from __future__ import annotations

import sys

from trilb.cli import main


def run() -> None:
    """Run and exit with the code."""
    sys.exit(main())


if __name__ == "__main__":
    run()
