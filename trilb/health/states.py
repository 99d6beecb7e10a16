"""A server changes its state: what that does to who tracks it, to its connections, to balancing, to the logs.

Pure but for what it tells: `Backend.say` writes a log line, `Backend.dispatch` serves those who wait.
"""

from __future__ import annotations

from trilb.live.check import Check
from trilb.live.server import RUNNING, STOPPED, Server

_WORDS = {
    "L4OK": "Layer4 check passed",
    "L4CON": "Layer4 connection problem",
    "L4TOUT": "Layer4 timeout",
    "L6OK": "Layer6 check passed",
    "L6RSP": "Layer6 invalid response",
    "L6TOUT": "Layer6 timeout",
}


def stop(server: Server, now: float, cause: Check) -> None:
    """It is down, and so are those that track it."""
    if server.operation == STOPPED:
        return
    server.operation = STOPPED
    server.counters.chkdown += 1
    _changed(server, now, cause)
    for follower in server.followers:
        stop(follower, now, cause)


def start(server: Server, now: float, cause: Check) -> None:
    """It is up, and so are those that track it."""
    if server.operation != STOPPED:
        return
    server.operation = RUNNING
    _changed(server, now, cause)
    for follower in server.followers:
        start(follower, now, cause)


def _changed(server: Server, now: float, cause: Check) -> None:
    backend = server.backend
    server.counters.lastchg = server.last_change = now
    backend.changed()
    requeued = len(server.queue)
    up = server.operation != STOPPED
    if not up:
        for idle in server.idle:
            idle.close()
        server.idle.clear()
        if server.line.down_shuts_sessions:
            backend.shutdown(server, "D")
    elif server.line.up_shuts_backups and server.effective and not server.line.backup:
        for other in backend.servers:
            if other.line.backup:
                backend.shutdown(other, "U")
    backend.dispatch()
    kind = "Backup Server" if server.line.backup else "Server"
    active = sum(s.effective > 0 and not s.line.backup for s in backend.servers)
    backups = sum(s.effective > 0 and s.line.backup for s in backend.servers)
    said = f', info: "{cause.text}"' if cause.text else ""
    text = f"{kind} {backend.name}/{server.name} is {'UP' if up else 'DOWN'}, "
    text += f"reason: {_WORDS.get(cause.status, cause.status)}{said}, check duration: {cause.duration}ms. "
    text += f"{active} active and {backups} backup servers {'online' if up else 'left'}."
    text += " Running on backup." if not active and backups else ""
    text += f" {server.used} sessions active, {requeued} requeued, {len(backend.queue)} "
    text += "total in queue." if up else "remaining in queue."
    backend.say(text, "notice" if up else "alert")
    if not active and not backups:
        backend.say(f"backend {backend.name} has no server available!", "emerg")
