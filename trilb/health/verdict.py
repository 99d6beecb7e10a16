"""Rise and fall: what a check's result does to its server (configuration.txt, `rise`, `fall`, `inter`).

A success adds one to the check's health, or lifts that of a server that just came up to the top; a failure takes one,
or drops that of a server that just went down to zero.
"""

from __future__ import annotations

from trilb.health import states
from trilb.live.check import FAILED, PASSED, Check
from trilb.live.server import STOPPED, Server


def report(server: Server, check: Check, now: float) -> None:
    """Take the result into account that stands in `check`."""
    if check.result == PASSED:
        if check.health < check.top:
            check.health += 1
            if check.health >= check.rise:
                check.health = check.top
                if healthy(server):
                    states.start(server, now, check)
    elif check.result == FAILED:
        up = server.operation != STOPPED
        server.counters.chkfail += up
        if check.health > check.rise:
            check.health -= 1
        elif check.health == check.rise:
            check.health = 0
            states.stop(server, now, check)
        else:
            check.health = 0


def healthy(server: Server) -> bool:
    """Do its health check and its agent, where there are any, all say that it is up?"""
    return all(c is None or not c.enabled or c.health >= c.rise for c in (server.check, server.agent))


def interval(server: Server, check: Check) -> float:
    """Seconds until the next check: slower when down, faster while the state is changing."""
    if check is server.agent:
        return check.inter
    health = server.check.health if server.check is not None else check.top
    top = server.check.top if server.check is not None else check.top
    if server.operation != STOPPED and health >= top:
        return check.inter
    if server.operation == STOPPED and health == 0:
        return check.downinter or check.inter
    return check.fastinter or check.inter
