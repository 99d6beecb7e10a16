"""A server changes its state: what that does to who tracks it, to its connections, to balancing, to the logs. HOT.

Two things make a state: the operation (down, up, stopping), which checks, agents and the CLI change, and the
administration (maintenance, drain), which has reasons of its own as bits and rules over the operation: a server in
maintenance is down, and comes back in the state that its checks, or whom it tracks, have then. Who tracks a server
takes over both, and tells in the log via whom. A server whose drain goes on says so with every change (observed).

Pure but for what it tells: `Backend.say` writes a log line, `Backend.dispatch` serves those who wait. `now` is the
loop's time in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from trilb.health.results import reason
from trilb.live.check import Check
from trilb.live.proxy import Backend
from trilb.live.server import (
    DRAIN,
    FDRAIN,
    FMAINT,
    IDRAIN,
    IMAINT,
    MAINT,
    RMAINT,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPING,
    Server,
)

Cause = Check | Server | str
"""Why a server changed: what a check found, whom it tracks, or words for the log ("changed from CLI")."""


def stop(server: Server, now: float, cause: Cause) -> None:
    """It is down."""
    if server.operation != STOPPED and not server.admin & MAINT:
        _operate(server, STOPPED, now, cause)
        for follower in server.followers:
            stop(follower, now, server)


def start(server: Server, now: float, cause: Cause) -> None:
    """It is up."""
    if server.operation not in (RUNNING, STARTING) and not server.admin & MAINT:
        _operate(server, _risen(server), now, cause)
        for follower in server.followers:
            start(follower, now, server)


def retire(server: Server, now: float, cause: Cause) -> None:
    """It wants no new clients, and goes on with those it has (NOLB)."""
    if server.operation != STOPPING and not server.admin & MAINT:
        _operate(server, STOPPING, now, cause)
        for follower in server.followers:
            retire(follower, now, server)


def force(server: Server, state: str, now: float) -> None:
    """What an operator wants: "ready", "drain" or "maint"."""
    if state == "maint":
        maintain(server, now)
        undrain(server, now)
        return
    if state == "drain":
        drain(server, now)
    else:
        undrain(server, now)
    resume(server, now)


def maintain(server: Server, now: float, flag: int = FMAINT, cause: str = "") -> None:
    """A reason for maintenance; `cause` goes to the log."""
    before = server.admin
    server.admin |= flag
    if before & MAINT or before == server.admin:
        return
    was, soft = server.operation, server.operation == STOPPING or before & DRAIN
    _move(server, STOPPED, now)
    server.health.health = 0
    if server.check is not None and server.check.enabled:
        server.check.paused = True
    told = (f" ({cause})" if cause else "") + (f" via {server.via}" if flag != FMAINT and server.track else "")
    if was == STOPPED:
        _rebalance(server, now, f"was DOWN and now enters maintenance{told}.", "notice", counted=False)
    else:
        server.counters.chkdown += 1
        _rebalance(server, now, f"is going DOWN for maintenance{told}.", "notice" if soft else "alert")
    for follower in server.followers:
        maintain(follower, now, IMAINT, cause)


def resume(server: Server, now: float, flag: int = FMAINT) -> None:
    """A reason for maintenance is gone; with the last one, the server is back."""
    if not server.admin & flag:
        return
    server.admin &= ~flag
    if server.admin & MAINT:
        _say(server, _remains_in_maintenance(server, flag))
        return
    if server.check is not None and server.check.enabled:
        server.health.health = server.first_health()
        server.check.paused = False
    _move(server, _operation_found(server), now)
    up = "DOWN" if server.operation == STOPPED else "UP"
    why = {FMAINT: "leaving forced maintenance", RMAINT: "resolves again"}.get(flag, "leaving maintenance")
    ready = "DRAIN" if server.admin & DRAIN else "READY"
    named = f"('{server.fqdn}') " if flag == RMAINT else ""
    _rebalance(server, now, f"{named}is {up}/{ready} ({why}).", "notice", counted=False, back=True)
    for follower in server.followers:
        resume(follower, now, IMAINT)


def drain(server: Server, now: float, flag: int = FDRAIN, cause: str = "") -> None:
    """A reason for drain: only those who belong to the server are sent to it. `cause` goes to the log."""
    before = server.admin
    if before & flag:
        return
    server.admin |= flag
    if not before & MAINT:
        if before & DRAIN:
            _remains(server)
        else:
            _move(server, server.operation, now)
            told = (f" ({cause})" if cause else "") + (f" via {server.via}" if flag == IDRAIN else "")
            _rebalance(server, now, f"enters drain state{told}.", "notice", entering=True)
    if not before & DRAIN:
        for follower in server.followers:
            drain(follower, now, IDRAIN, cause)


def undrain(server: Server, now: float, flag: int = FDRAIN) -> None:
    """A reason for drain is gone."""
    if not server.admin & flag:
        return
    server.admin &= ~flag
    if server.admin & DRAIN:
        if not server.admin & MAINT:
            _remains(server)
        return
    if not server.admin & MAINT:
        _move(server, server.operation, now)
        up = "DOWN" if server.operation == STOPPED else "UP"
        _rebalance(server, now, f"is {up} (leaving forced drain).", "notice", counted=False)
    for follower in server.followers:
        undrain(follower, now, IDRAIN)


def reweigh(server: Server, weight: int, now: float) -> None:
    """Balancing is to use another weight."""
    server.weight = weight
    _rebalance(server, now, "", "notice")


def inherit(backends: Iterable[Backend]) -> None:
    """At start: whoever tracks a server that is in maintenance or drains follows it without a word."""
    backends = list(backends)
    for backend in backends:
        for server in backend.servers:
            if server.track is None:
                _follow(server)
    for backend in backends:
        had = backend.active + backend.spare
        backend.changed()
        if had and not backend.active + backend.spare:
            backend.counters.chkdown += 1


def begin(backends: Iterable[Backend], shift: float) -> None:
    """The clock that times are read from begins anew, `shift` seconds ahead of the one they were read from so far."""
    for backend in backends:
        backend.last_change += shift
        for server in backend.servers:
            server.last_change += shift


def _follow(server: Server) -> None:
    for follower in server.followers:
        if server.admin & MAINT:
            follower.admin |= IMAINT
            follower.operation = STOPPED
            follower.health.health = 0
        else:
            if server.admin & DRAIN:
                follower.admin |= IDRAIN
            if not follower.admin & MAINT:
                follower.operation = server.operation
        _follow(follower)


def _operation_found(server: Server) -> int:
    """The operation of a server that leaves maintenance."""
    if server.track is not None:
        found = server.track.operation
        return _risen(server) if found in (RUNNING, STARTING) else found
    if server.line.init_state in ("down", "fully-down"):
        return STOPPED
    agent = server.agent
    return STOPPED if agent is not None and agent.enabled and agent.health < agent.rise else _risen(server)


def _risen(server: Server) -> int:
    """The operation of one that comes back: with `slowstart` it takes time."""
    return RUNNING if server.slowstart is None else STARTING


def warmed(server: Server, now: float) -> None:
    """It has come back in full."""
    server.operation = RUNNING
    _rebalance(server, now, "is UP.", "notice")


def _operate(server: Server, operation: int, now: float, cause: Cause) -> None:
    soft = server.operation == STOPPING or server.admin & DRAIN
    _move(server, operation, now)
    word = {STOPPED: "DOWN", STOPPING: "stopping"}.get(operation, "UP")
    server.counters.chkdown += operation == STOPPED
    level = "notice" if operation != STOPPED or soft else "alert"
    _rebalance(server, now, f"is {word}{_because(server, cause)}.", level, back=operation in (RUNNING, STARTING))


def _move(server: Server, operation: int, now: float) -> None:
    if server.operation == STOPPED:
        server.down_seconds += now - server.last_change
    server.last_change = server.counters.lastchg = now
    server.operation = operation
    if operation == STARTING and server.slowstart is not None:
        server.slowstart.begin(now)


def _rebalance(
    server: Server,
    now: float,
    text: str,
    level: str,
    *,
    counted: bool = True,
    entering: bool = False,
    back: bool = False,
) -> None:
    """Let balancing know, serve, move or end who waits and who is served, and log what happened.

    The text goes on with how many servers are left where it is `counted`. `back`: it is up again; `entering`: it drains
    from now on.
    """
    backend = server.backend
    had, waiting, own = backend.active + backend.spare, len(backend.queue), len(server.queue)
    ran = server.running
    backend.changed()
    if not server.running:
        let_go(server)
        if ran and server.line.down_shuts_sessions:
            backend.shutdown(server, "D")
    elif back and server.line.up_shuts_backups and server.effective and not server.line.backup:
        for other in backend.servers:
            if other.line.backup:
                backend.shutdown(other, "U")
    backend.dispatch()
    up, active, spare = server.operation != STOPPED, backend.active, backend.spare
    if text and counted:
        text += f" {active} active and {spare} backup servers {'online' if up else 'left'}."
        text += " Running on backup." if not active and spare else ""
        if up:
            moved, total = max(0, waiting - len(backend.queue)), len(backend.queue)
            text += f" {moved} sessions requeued, {total} total in queue."
        else:
            text += f" {server.used} sessions active, {own - len(server.queue)} requeued, "
            text += f"{len(server.queue)} remaining in queue."
    if text:
        _say(server, text, level)
    if had and not active + spare:
        backend.counters.chkdown += 1
        backend.counters.lastchg = backend.last_change = now
        kind = "proxy" if backend.config.kind == "listen" else "backend"
        backend.say(f"{kind} {backend.name} has no server available!", "emerg")
    elif active + spare and not had:
        backend.down_seconds += now - backend.last_change
        backend.counters.lastchg = backend.last_change = now
    if server.admin & DRAIN and not server.admin & MAINT and not entering:
        _remains(server)


def let_go(server: Server) -> None:
    """Close connections that wait for requests, and let those in use end with what they carry."""
    for idle in server.idle:
        idle.close()
    server.idle.clear()
    for mux in list(server.muxes):
        if mux.idle():
            mux.retire()


def _remains(server: Server) -> None:
    if server.admin & FDRAIN:
        _say(server, "remains in forced drain mode.")
    else:
        _say(server, f"is leaving forced drain but remains in drain mode via {server.via}.")


def _remains_in_maintenance(server: Server, gone: int) -> str:
    if gone == RMAINT:
        via = f" via {server.via}" if server.admin & IMAINT else ""
        return f"('{server.fqdn}') resolves again but remains in maintenance{via}."
    if server.admin & FMAINT:
        return "remains in forced maintenance."
    via = f" via {server.via}" if server.admin & IMAINT else ""
    return f"is leaving forced maintenance but remains in maintenance{via}."


def _because(server: Server, cause: Cause) -> str:
    if isinstance(cause, Server):
        return f" via {cause.backend.name}/{cause.name}"
    if isinstance(cause, str):
        return f", {cause}"
    # Where every check has a line of its own the reason is told already.
    return "" if "log-health-checks" in server.backend.config.options else reason(cause)


def _say(server: Server, text: str, level: str = "notice") -> None:
    kind = "Backup Server" if server.line.backup else "Server"
    server.backend.say(f"{kind} {server.backend.name}/{server.name} {text}", level)
