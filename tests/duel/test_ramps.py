"""A server that came back: the steps of its weight and its log lines as in HAProxy."""

from __future__ import annotations

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor

from tests.duel.conftest import DuelFactory
from tests.support.duel import Side
from tests.support.runtime_socket import command
from tests.support.syslog import mask

CONFIG = """
global
    stats socket {dir}/socket level admin
    log 127.0.0.1:{syslog} local0
defaults
    log global
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen b
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{dead} weight 100 slowstart 2s
    server o 127.0.0.1:{dead} weight 100
listen fixed
    bind 127.0.0.1:{port_fixed}
    balance static-rr
    server s 127.0.0.1:{dead} weight 100 slowstart 2s
    server o 127.0.0.1:{dead} weight 100
"""


def test_steps(duel: DuelFactory) -> None:
    def act(side: Side) -> list[object]:
        path = side.program.dir / "socket"
        for state in ("maint", "ready"):
            for proxy in ("b", "fixed"):
                command(path, f"set server {proxy}/s state {state}")
        seen: dict[str, list[object]] = {"b": [], "fixed": []}
        deadline = time.monotonic() + 15
        ended = 0
        while ended < 2 and time.monotonic() < deadline:
            ended = 0
            states = {
                line.split()[1]: line.split()[5]
                for line in command(path, "show servers state").splitlines()[2:]
                if line.split()[3] == "s"
            }
            for row in csv.DictReader(io.StringIO(command(path, "show stat")[2:])):
                if row["svname"] == "s":
                    now = (row["weight"], row["throttle"])
                    if now not in seen[row["pxname"]]:
                        seen[row["pxname"]].append(now)
                    ended += states[row["pxname"]] == "2"
            time.sleep(0.02)
        return [seen, sorted(mask(line) for line in side.syslog.take(6))]

    both = duel(CONFIG)
    with ThreadPoolExecutor() as pool:
        sides = [pool.submit(act, side) for side in (both.haproxy, both.trilb)]
    expected, got = (side.result() for side in sides)
    assert got == expected
