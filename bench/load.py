"""The load: wrk for HTTP/1 and what TCP and TLS carry, h2load for HTTP/2; one run of either against one racer.

Both keep a fixed number of requests under way and send the next when an answer has come (bench/pace.py is for fixed
rates). One thread each, so that a proxy on a small machine has a processor to itself.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.programs import cpu_seconds


class Failed(Exception):
    """A run that measured something else than it should have."""


@dataclass(frozen=True)
class Run:
    """What a run gave: requests a second, microseconds of the proxy's processor for each, its part of one processor."""

    rate: float
    us: float
    busy: float


@dataclass(frozen=True)
class Count:
    """What the program under load says of itself: requests, and how many a second."""

    requests: int
    rate: float


def read_wrk(said: str) -> Count:
    """What wrk printed. Raises Failed if answers were not 2xx, or more than one in a hundred connections broke."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    total = re.search(r"(\d+) requests in", said)
    if rate is None or total is None or "Non-2xx" in said:
        raise Failed(f"wrk:\n{said}")
    requests = int(total[1])
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    if errors is not None and sum(map(int, errors.groups())) * 100 > requests:
        raise Failed(f"wrk:\n{said}")
    return Count(requests, float(rate[1]))


def read_h2load(said: str) -> Count:
    """What h2load printed. Raises Failed if a request was not answered, or not with 2xx."""
    rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", said)
    total = re.search(r"requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", said)
    if rate is None or total is None or not int(total[2]) or int(total[3]) or int(total[4]):
        raise Failed(f"h2load:\n{said}")
    return Count(int(total[1]), float(rate[1]))


def wrk(
    url: str, seconds: float, connections: int, script: Path | None = None, headers: Sequence[str] = ()
) -> list[str]:
    """The command."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command += ["-s", str(script)] if script is not None else []
    for header in headers:
        command += ["-H", header]
    return [*command, url]


def h2load(url: str, seconds: float, connections: int, streams: int) -> list[str]:
    """The command."""
    return ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{max(1, round(seconds))}", url]


def run(command: list[str], pids: Sequence[int]) -> Run:
    """Run it, and see what the proxy's processes use meanwhile. Raises Failed."""
    before, began = cpu_seconds(*pids), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    used, took = cpu_seconds(*pids) - before, time.monotonic() - began
    if done.returncode:
        raise Failed(f"{command[0]}:\n{done.stdout}{done.stderr}")
    count = (read_wrk if command[0] == "wrk" else read_h2load)(done.stdout)
    return Run(count.rate, used * 1e6 / max(1, count.requests), used / took)
