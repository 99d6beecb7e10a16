"""mypyc against Python, on what a small request does between its system calls: heads read, judged, written.

It measures the tree it is started from, and the compiled copy (`make compiled`) if there is one.

Measured (CPython 3.11): plain Python 7.77 us a request and its answer, heads only; compiled 4.71 us (0.61).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.micro import cost, count
from bench.micro.lane import HEAD
from trilb.http import lane, policy, write

ANSWER = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n"
COPY = Path(__file__).parents[2] / "build" / "compiled"
LIMITS = policy.Limits()


def requests(often: int) -> None:
    """A request and its answer."""
    for _ in range(often):
        asked = lane.request(HEAD)
        assert asked is not None
        policy.request(*asked, LIMITS)
        write.request(asked[0], b"x-forwarded-for: 127.0.0.1\r\n")
        answered = lane.response(ANSWER)
        assert answered is not None
        policy.response(*answered, LIMITS, b"GET")
        write.response(answered[0])


def main(often: int) -> None:
    """Print the figures."""
    kind = "plain Python" if str(lane.__file__).endswith(".py") else "compiled"
    print(f"{kind:14} {cost(requests, often):7.2f} us a request and its answer, heads only", flush=True)
    if kind == "plain Python" and COPY.exists():
        command = [sys.executable, "-m", "bench.micro.compiled", str(often)]
        subprocess.run(command, cwd=COPY, env={**os.environ, "PYTHONPATH": str(COPY)}, check=True)


if __name__ == "__main__":
    main(count(20_000))
