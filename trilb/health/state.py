"""Rise and fall: the automaton of a server's health, pure (configuration.txt, `rise`, `fall`, `inter`).

Health counts from 0 to rise+fall-1. At rise or above the server is up. A success adds one, or lifts a server that
just came up to the top; a failure takes one, or drops a server that just went down to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from trilb.live.server import Server


@dataclass(frozen=True, slots=True)
class Change:
    """What a check's result did: did the server go up or down, and how far is it."""

    flipped: bool
    up: bool
    health: int


def observe(server: Server, ok: bool, now: float) -> Change:
    """Take one result into account. The caller tells the backend when `flipped`."""
    line = server.line
    top = line.rise + line.fall - 1
    counters = server.counters
    if ok:
        if server.health < top:
            server.health += 1
        if server.up:
            server.health = top
        elif server.health >= line.rise:
            server.up, server.health = True, top
            counters.lastchg = server.last_change = now
            return Change(True, True, top)
        return Change(False, server.up, server.health)
    counters.chkfail += server.up
    if server.up:
        server.health -= 1
        if server.health < line.rise:
            server.up, server.health = False, 0
            counters.chkdown += 1
            counters.lastchg = server.last_change = now
            return Change(True, False, 0)
    else:
        server.health = 0
    return Change(False, server.up, server.health)


def interval(server: Server) -> float:
    """Seconds until the next check: slower when down, faster while the state is changing."""
    line = server.line
    top = line.rise + line.fall - 1
    if server.up and server.health >= top:
        return line.inter
    if not server.up and server.health == 0:
        return line.downinter or line.inter
    return line.fastinter or line.inter
