"""`python -m trilb` and the `trilb` command."""

from __future__ import annotations

import signal
import sys


def run() -> None:
    """Run and exit with the code."""
    # Until the worker or the master asks for signals they end the process as any other; no traceback of an import.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from trilb.cli import main

    sys.exit(main())


if __name__ == "__main__":
    run()
