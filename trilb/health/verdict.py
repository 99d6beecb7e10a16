"""Rise and fall: what a check's result does to its server (configuration.txt, `rise`, `fall`, `inter`). HOT.

A success adds one to the check's health, or lifts that of a server that just came up to the top; a failure takes one,
or drops that of a server that just went down to zero.
"""

from __future__ import annotations

from trilb.health import states
from trilb.health.results import line
from trilb.live.check import CONDITIONAL, FAILED, PASSED, Check
from trilb.live.server import RUNNING, STARTING, STOPPED, STOPPING, Server


def report(server: Server, check: Check, now: float) -> None:
    """Take the result into account that stands in `check`, and log it where it is news (`log-health-checks`)."""
    before = check.health
    check.health = count(check)
    if check.result == FAILED and before:
        server.counters.chkfail += 1
    news = check.health != before or check.status != check.known
    check.known = check.status
    if news and "log-health-checks" in server.backend.config.options:
        server.backend.say(line(server, check), "notice")
    if check.health < check.rise:
        if server.operation != STOPPED:
            states.stop(server, now, check)
    elif check.result == CONDITIONAL:
        if server.operation in (RUNNING, STARTING) and check.health >= check.rise:
            states.retire(server, now, check)
    elif check.result == PASSED and server.operation in (STOPPED, STOPPING) and healthy(server):
        states.start(server, now, check)


def count(check: Check) -> int:
    """The health after the result that stands in `check`."""
    health = check.health
    if check.result == FAILED:
        return health - 1 if health > check.rise else 0
    if check.result in (PASSED, CONDITIONAL) and health < check.top:
        return check.top if health + 1 >= check.rise else health + 1
    return health


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
