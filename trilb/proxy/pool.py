"""Idle connections to servers: which may be taken, which must go. Bookkeeping only; the caller closes. HOT.

`http-reuse`: never - only what this session used before; safe - a session's first request gets a connection of its
own; aggressive - a first request may take one that was reused already; always - any (configuration.txt,
`http-reuse`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from trilb.live.server import Server
from trilb.live.session import Session
from trilb.net.conn import Broken, Conn
from trilb.proxy.mux import Mux, Owned

_MOST: Final = 4096
"""Idle connections kept per server without `pool-max-conn`. Arbitrary; descriptors are finite."""


def take(server: Server, reuse: str, first: bool, key: object) -> Conn | None:
    """An idle connection, opened with that key, that may carry the next request, or None."""
    idle = server.idle
    if not idle or reuse == "never" or (first and reuse == "safe"):
        return None
    if key is not None:
        return _take_like(server, key, reused=first and reuse == "aggressive")
    if first and reuse == "aggressive":
        for at in range(len(idle) - 1, -1, -1):
            if idle[at].reused:
                conn = idle.pop(at)
                break
        else:
            return None
    else:
        conn = idle.pop()
    assert isinstance(conn, Conn)
    conn.watch.idle = None
    conn.reused = True
    return conn


def _take_like(server: Server, key: object, *, reused: bool) -> Conn | None:
    idle = server.idle
    for at in range(len(idle) - 1, -1, -1):
        conn = idle[at]
        assert isinstance(conn, Conn)
        if conn.key == key and (conn.reused or not reused):
            del idle[at]
            conn.watch.idle = None
            conn.reused = True
            return conn
    return None


def take_private(session: Session, server: Server, key: object) -> Conn | None:
    """The connection this session kept to that server, if it is still good (`http-reuse never`)."""
    if session.private is None or session.private[0] is not server:
        return None
    conn = session.private[1]
    if isinstance(conn, Owned):
        return None  # it is shared, if only with itself
    if isinstance(conn, Conn) and conn.key != key:
        session.close_private()
        return None
    session.private = None
    assert isinstance(conn, Conn)
    if conn.watch.hangup:
        conn.close()
        return None
    conn.reused = True
    return conn


def put(server: Server, conn: Conn, now: float) -> bool:
    """Keep an idle connection; False when it must be closed instead."""
    most = server.line.pool_max_conn
    if (0 <= most <= len(server.idle)) or len(server.idle) >= _MOST or conn.watch.hangup or not server.running:
        return False
    conn.since = now
    conn.watch.edge = False
    if conn.gone is None:
        conn.gone = _gone(server, conn)
    conn.watch.idle = conn.gone
    server.idle.append(conn)
    return True


def _gone(server: Server, conn: Conn) -> Callable[[], None]:
    def gone() -> None:
        # An event of bytes that were read already, when both are of one round, says nothing.
        try:
            if not conn.watch.hangup and conn.receive() is None:
                return
        except Broken:
            pass
        # The server closed, or said something nobody asked for: either way it is of no use.
        if conn in server.idle:
            server.idle.remove(conn)
        conn.close()

    return gone


def shared(server: Server, session: Session, reuse: str, first: bool, key: object) -> Mux | None:
    """A connection for many requests at once that may carry this one as well, or None."""
    for mux in server.muxes:
        assert isinstance(mux, Mux)
        if mux.conn.key != key or not mux.available():
            continue
        if (
            mux.session is session
            or reuse == "always"
            or (reuse != "never" and (not first or (reuse == "aggressive" and mux.reused)))
        ):
            return mux
    return None


def stale(server: Server, now: float) -> list[Conn]:
    """Take out connections idle for longer than `pool-purge-delay`; the caller closes them."""
    limit = now - server.line.pool_purge_delay
    old = [conn for conn in server.idle if isinstance(conn, Conn) and conn.since < limit]
    if old:
        server.idle[:] = [conn for conn in server.idle if conn not in old]
    return old


def retire(server: Server, now: float) -> None:
    """Close shared connections that carried nothing for longer than `pool-purge-delay`."""
    for mux in list(server.muxes):
        if not mux.idle():
            mux.since = 0.0
        elif not mux.since:
            mux.since = now
        elif mux.since < now - server.line.pool_purge_delay:
            mux.retire()
