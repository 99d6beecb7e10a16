"""What a lookup does to a server: another address, none any more, another name. With the lines HAProxy logs of it."""

from __future__ import annotations

from trilb.base import ip
from trilb.health import moves, states
from trilb.live.server import HMAINT, RMAINT, Server


def packed(server: Server) -> bytes | None:
    """The address it has now."""
    return ip.packed(server.address[0]) if isinstance(server.address, tuple) else None


def move(server: Server, address: bytes, by: str) -> None:
    """It is to be found elsewhere; `by` names who said so."""
    before = packed(server)
    if address == before:
        return
    old, new = ip.text(before) if before is not None else "(none)", ip.text(address)
    offset = server.port_offset
    moves.relocate(server, new, server.port if offset is None else offset, offset=offset is not None)
    server.backend.say(f"{server.backend.name}/{server.name} changed its IP from {old} to {new} by {by}.", "notice")


def lose(server: Server, cause: str, now: float) -> None:
    """It has no address any more, and is in maintenance until it has."""
    server.address = None
    states.maintain(server, now, RMAINT, cause)


def rename(server: Server, fqdn: str, by: str) -> str:
    """It is looked up by another name from now on. The line that tells so."""
    text = f"{server.backend.name}/{server.name} changed its FQDN from {server.fqdn or '(null)'} to {fqdn} by '{by}'"
    server.fqdn = fqdn
    server.admin |= HMAINT
    server.backend.say(text, "notice")
    return text
