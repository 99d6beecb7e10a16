"""What a lookup does to a server: another address, none any more, one again. With the lines HAProxy logs about it."""

from __future__ import annotations

import socket

from trilb.base import ip
from trilb.live.server import HMAINT, MAINT, RMAINT, RUNNING, STOPPED, Server


def packed(server: Server) -> bytes | None:
    """The address it has now."""
    return ip.packed(server.address[0]) if isinstance(server.address, tuple) else None


def move(server: Server, address: bytes, by: str) -> None:
    """It is to be found elsewhere; `by` names who said so. Its idle connections lead to where it was."""
    before = packed(server)
    if address == before:
        return
    old = ip.text(before) if before is not None else "(none)"
    server.family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    server.address = (ip.text(address), server.port)
    _let_go(server)
    server.backend.changed()
    server.backend.say(f"{_of(server)} changed its IP from {old} to {ip.text(address)} by {by}.", "notice")


def lose(server: Server, cause: str, now: float) -> None:
    """It has no address any more, and is in maintenance until it has."""
    backend = server.backend
    was_up, was_maintained = server.running, bool(server.admin & MAINT)
    server.admin |= RMAINT
    server.operation = STOPPED
    server.address = None
    _let_go(server)
    backend.changed()
    if was_maintained:
        return
    server.counters.lastchg = server.last_change = now
    requeued = len(server.queue)
    backend.dispatch()
    if not was_up:
        backend.say(f"{_kind(server)} {_of(server)} was DOWN and now enters maintenance ({cause}).", "notice")
        return
    active = sum(s.effective > 0 and not s.line.backup for s in backend.servers)
    backups = sum(s.effective > 0 and s.line.backup for s in backend.servers)
    text = f"{_kind(server)} {_of(server)} is going DOWN for maintenance ({cause}). "
    text += f"{active} active and {backups} backup servers left."
    text += " Running on backup." if not active and backups else ""
    text += f" {server.used} sessions active, {requeued} requeued, {len(backend.queue)} remaining in queue."
    backend.say(text, "alert")
    if not active and not backups:
        backend.say(f"backend {backend.name} has no server available!", "emerg")


def regain(server: Server, now: float) -> None:
    """It has an address again; if nothing else keeps it in maintenance it is up, until its check says otherwise."""
    server.admin &= ~RMAINT
    if server.admin & MAINT:
        server.backend.changed()
        return
    server.operation = RUNNING
    if server.check is not None:
        server.check.health = server.check.rise
    server.counters.lastchg = server.last_change = now
    server.backend.changed()
    ready = "READY" if server.effective or not server.weight else "DRAIN"
    server.backend.say(f"{_kind(server)} {_of(server)} ('{server.fqdn}') is UP/{ready} (resolves again).", "notice")
    server.backend.dispatch()


def reweigh(server: Server, weight: int) -> None:
    """Balancing is to use another weight."""
    server.weight = weight
    had = bool(server.backend.usable())
    server.backend.changed()
    if had and not server.backend.usable():
        server.backend.say(f"backend {server.backend.name} has no server available!", "emerg")
    server.backend.dispatch()


def rename(server: Server, fqdn: str, by: str) -> str:
    """It is looked up by another name from now on. The line that tells so."""
    text = f"{_of(server)} changed its FQDN from {server.fqdn or '(null)'} to {fqdn} by '{by}'"
    server.fqdn = fqdn
    server.admin |= HMAINT
    server.backend.say(text, "notice")
    return text


def _of(server: Server) -> str:
    return f"{server.backend.name}/{server.name}"


def _kind(server: Server) -> str:
    return "Backup Server" if server.line.backup else "Server"


def _let_go(server: Server) -> None:
    """Close connections that wait for requests, and let those in use end with their sessions."""
    for idle in server.idle:
        idle.close()
    server.idle.clear()
    for mux in list(server.muxes):
        mux.orphan()
