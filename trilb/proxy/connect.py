"""From a stream to a connection: choose, queue, reuse or dial, retry, redispatch. HOT up to the dial.

Retries follow configuration.txt, `retries`, `option redispatch` and `retry-on`, and what was observed where the
manual is silent: a server chosen by turns is left at once, one chosen by cookie or hash only at the retry that the
option names, and a retry on the same server waits for min(timeout connect, 1s).
"""

from __future__ import annotations

import os
import socket
from typing import Final

from trilb.base.ip import text as address_text
from trilb.http.h2client import ClientConnection
from trilb.live.server import Opening, Server
from trilb.live.stream import Stream
from trilb.net.conn import Broken, Conn, connect, connect_error
from trilb.net.poller import Expired, Waiter
from trilb.proxy import pool, queue, secure
from trilb.proxy.mux import Mux, Owned
from trilb.proxy.plane import Plane
from trilb.tls.conn import TlsConn

TURN_AROUND: Final = 1.0
"""Seconds before a retry on the same server, unless `timeout connect` is shorter (configuration.txt, `retries`)."""


class Failed(Exception):
    """No connection: the status to answer (0: the client is gone) and the termination letters."""

    def __init__(self, status: int, cause: str, during: str) -> None:
        super().__init__(status, cause, during)
        self.status = status
        self.cause = cause
        self.during = during


def own_limit(stream: Stream, name: str, default: float | None) -> float | None:
    """A timeout of the stream: what `set-timeout` gave it, else the proxy's."""
    limits = stream.limits
    if limits is None:
        return default
    own: float | None = getattr(limits, name)
    return default if own is None else own


def retries_of(stream: Stream, default: int) -> int:
    """How often the stream may try again: what `set-retries` gave it, else the proxy's `retries`."""
    limits = stream.limits
    return default if limits is None or limits.retries is None else limits.retries


def release(stream: Stream) -> None:
    """Give back the slot the stream holds, if any."""
    server = stream.picked
    if server is not None:
        stream.picked = None
        queue.leave(server, server.backend.plan.moved)


async def establish(
    plane: Plane, stream: Stream, waiter: Waiter, client: Conn, first: bool, fresh: bool = False
) -> Conn:
    """A connection to a server for this stream. Raises Failed.

    `first` says that the session had no request before (http-reuse); `fresh` that no idle connection will do.
    """
    if stream.picked is None and not choose(plane, stream, None):
        await queued(plane, stream, waiter, client)
    idle = None if fresh else standing(plane, stream, first)
    return idle or await opened(plane, stream, waiter, client, first, fresh)


def standing(plane: Plane, stream: Stream, first: bool) -> Conn | None:
    """A connection to the stream's server that is there already, or None; `first` as for `establish`."""
    backend, server = stream.backend, stream.server
    assert backend is not None and server is not None
    reuse = backend.plan.reuse
    server.counters.begin(plane.clock.now)
    if server.muxes and not wants_h1(stream, server):
        shared = pool.shared(server, stream.session, reuse, first, _key(server, stream))
        if shared is not None:
            server.counters.reuse += 1
            backend.counters.reuse += 1
            backend.counters.h2_req += 1
            stream.connected = plane.clock.now
            stream.bound = shared.conn.bound
            return shared.stream(stream.session)
    if server.idle or stream.session.private is not None:
        key = _key(server, stream)
        conn = pool.take_private(stream.session, server, key) or pool.take(server, reuse, first, key)
        if conn is not None:
            stream.bound = conn.bound
            server.counters.reuse += 1
            backend.counters.reuse += 1
            stream.connected = plane.clock.now
            return conn
    return None


async def opened(plane: Plane, stream: Stream, waiter: Waiter, client: Conn, first: bool, fresh: bool) -> Conn:
    """A new connection to the stream's server; after a retry, one that stands will do. Raises Failed."""
    backend = stream.backend
    assert backend is not None
    plan = backend.plan
    while True:
        server = stream.server
        assert server is not None
        try:
            conn = await dial(plane, stream, server, waiter, client)
        except Broken:
            cause = "S"
        except Expired:
            cause = "s"
        else:
            stream.connected = plane.clock.now
            return _multiplexed(plane, stream, server, conn)
        if server.observer is not None and stream.cause == "-":
            server.observer.refused(plane.clock.now)
        if stream.cause != "-":
            # Somebody ended the stream meanwhile.
            raise Failed(0, stream.cause, "-")
        if stream.retries >= retries_of(stream, plan.retries) or "conn-failure" not in plan.retry_on:
            server.counters.econ += 1
            backend.counters.econ += 1
            raise Failed(503, cause, "C")
        await retry(plane, stream, waiter, client, wait=cause == "S")
        if stream.cause != "-":
            raise Failed(0, stream.cause, "-")
        idle = None if fresh else standing(plane, stream, first)
        if idle is not None:
            return idle


def _key(server: Server, stream: Stream) -> object:
    return server.opening.key(stream) if server.opening is not None else None


def _multiplexed(plane: Plane, stream: Stream, server: Server, conn: Conn) -> Conn:
    """The connection itself, or a stream on it when it speaks HTTP/2."""
    if stream.request is None or not _speaks_2(stream, server, conn):
        return conn
    tuning = plane.h2
    h2 = ClientConnection(plane.limits, tuning.be_window, tuning.header_table, tuning.frame_size, tuning.be_streams)
    mux = Mux(server, conn, h2, stream.session)
    server.backend.counters.h2_sess += 1
    server.backend.counters.h2_req += 1
    if not mux.closed:
        server.muxes.append(mux)
        if server.backend.plan.reuse == "never":
            stream.session.keep_private(server, Owned(mux))
    return mux.stream(stream.session)


def _speaks_2(stream: Stream, server: Server, conn: Conn) -> bool:
    if conn.alpn:
        return conn.alpn == b"h2"
    line = server.line
    if wants_h1(stream, server):
        return False
    return line.proto == "h2"


def wants_h1(stream: Stream, server: Server) -> bool:
    """Is this a websocket's request that the server is to get in HTTP/1 (`ws`)?"""
    line = server.line
    if line.ws == "h2" or stream.request is None or stream.request.upgrade != b"websocket":
        return False
    return line.ws == "h1" or (bool(line.tls.alpn) and b"http/1.1" in (line.tls.alpn or ()))


async def retry(plane: Plane, stream: Stream, waiter: Waiter, client: Conn, *, wait: bool) -> None:
    """Account for a retry, and move to another server if it is time to. `wait` for the turn-around otherwise."""
    backend, server = stream.backend, stream.server
    assert backend is not None and server is not None
    plan = backend.plan
    stream.retries += 1
    redispatched = False
    if may_redispatch(stream):
        server.counters.wredis += 1
        backend.counters.wredis += 1
        by_cookie, letter = stream.chosen_by_cookie, stream.cookie_in
        if by_cookie:
            stream.chosen_by_cookie = False
            stream.cookie_in = "D"
        stream.server, stream.chosen_by_table = None, False
        release(stream)
        if not choose(plane, stream, server):
            await queued(plane, stream, waiter, client)
        chosen = _server_of(stream)
        if chosen is not server:
            stream.redispatched = True
            return
        if len(backend.usable()) > 1:
            return
        # Nowhere else to go: the turn-around applies after all, and the cookie was right.
        stream.chosen_by_cookie, stream.cookie_in = by_cookie, letter
        redispatched = True
    server.counters.wretr += 1
    backend.counters.wretr += 1
    if wait:
        pause = min(own_limit(stream, "connect", plan.connect_timeout) or TURN_AROUND, TURN_AROUND)
        until = plane.clock.now + pause
        waiter.until(until)
        try:
            while plane.clock.now < until and stream.cause == "-":
                check_client(stream, client, "C")
                await waiter.park(client.watch)
        except Expired:
            pass
        if redispatched:
            stream.dispatched = plane.clock.now


def _server_of(stream: Stream) -> Server | None:
    """The stream's server, which an await may have changed."""
    return stream.server


def may_redispatch(stream: Stream) -> bool:
    """Is this retry one that may leave the server?"""
    backend = stream.backend
    assert backend is not None
    plan = backend.plan
    every = plan.redispatch
    if every is None or stream.forced:
        return False
    if not stream.chosen_by_cookie and not stream.chosen_by_table and not plan.hashed and len(backend.usable()) > 1:
        return True
    if every < 0:
        every = max(0, retries_of(stream, plan.retries) + 1 + every)
    return every > 0 and stream.retries % every == 0


def check_client(stream: Stream, client: Conn, during: str) -> None:
    """Stop waiting for a server when the client has gone. Raises Failed.

    HTTP asks for it by `option abortonclose`; a TCP client that ended without a byte, or reset, is gone anyway.
    """
    if not client.watch.hangup:
        return
    backend = stream.backend
    assert backend is not None
    if stream.request is not None:
        if backend.plan.abortonclose or client.multiplexed:
            raise Failed(0, "C", during)
        return
    if client.watch.broken:
        raise Failed(0, "C", "D")
    if client.inbox:
        return
    try:
        waiting = client.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return
    except OSError:
        raise Failed(0, "C", "D") from None
    if not waiting:
        raise Failed(0, "C", during)


def choose(plane: Plane, stream: Stream, avoid: Server | None) -> bool:
    """Choose a server, if none is chosen yet, and take a slot on it. Raises Failed.

    False when there is none and the stream must wait (`queued`): for its server, or for any when it has none.
    """
    backend = stream.backend
    assert backend is not None
    plan = backend.plan
    server = stream.server
    if server is None:
        server = plan.balance.pick(plan.key(stream) if plan.key is not None else None, avoid)
        if server is None and not any(s.effective for s in backend.servers):
            backend.counters.econ += 1
            raise Failed(503, "S", "C")
        if server is not None:
            server.counters.lbtot += 1
            backend.counters.lbtot += 1
        stream.server = server
    if server is None:
        return False
    if server.maxconn and not server.available():
        persistent = stream.chosen_by_cookie or stream.chosen_by_table
        if persistent and 0 < server.line.maxqueue <= len(server.queue):
            if plan.redispatch is None:
                backend.counters.econ += 1
                raise Failed(503, "S", "Q")
            server.counters.wredis += 1
            backend.counters.wredis += 1
            if stream.chosen_by_cookie:
                stream.cookie_in = "D"
            stream.chosen_by_cookie, stream.chosen_by_table, stream.server = False, False, None
            stream.redispatched = True
            return choose(plane, stream, server)
        return False
    server.used = used = server.used + 1
    if used > server.counters.smax:
        server.counters.rise(used)
    if plan.moved is not None:
        plan.moved(server)
    stream.picked = server
    stream.dispatched = plane.clock.now
    return True


async def queued(plane: Plane, stream: Stream, waiter: Waiter, client: Conn) -> None:
    """Wait for a slot: of the stream's server, or of any when it has none. Raises Failed."""
    while True:
        server = stream.server
        await _wait(plane, stream, waiter, client, server)
        if _has_slot(stream) or choose(plane, stream, server):
            break
    stream.dispatched = plane.clock.now


def _has_slot(stream: Stream) -> bool:
    """Whether it holds one, which an await may have changed."""
    return stream.picked is not None


async def _wait(plane: Plane, stream: Stream, waiter: Waiter, client: Conn, server: Server | None) -> None:
    """Wait once in the queue of `server`, or of the backend; with or without success. Raises Failed."""
    backend = stream.backend
    assert backend is not None
    plan = backend.plan
    line = backend.queue if server is None else server.queue
    pending = queue.Pending(waiter, plane.clock.now, server or backend)
    queue.join(line, pending, stream.priority_class, stream.priority_offset)
    if server is None:
        backend.counters.qmax = max(backend.counters.qmax, len(line))
    else:
        server.counters.qmax = max(server.counters.qmax, len(line))
    timeout = own_limit(stream, "queue", plan.queue_timeout or plan.connect_timeout)
    waiter.arm(timeout)
    watched = client.watch if plan.abortonclose or client.multiplexed else None
    try:
        while not pending.served():
            if watched is not None and watched.hangup:
                stream.dispatched = plane.clock.now
                raise Failed(0, "C", "Q")
            await waiter.park(watched)
            if pending.served():
                break
            if server is not None and not server.running:
                # It went down while we waited: whoever is left may serve.
                stream.server, stream.chosen_by_cookie, stream.chosen_by_table = None, False, False
                break
    except Expired:
        stream.dispatched = plane.clock.now
        backend.counters.econ += 1
        raise Failed(503, "s", "Q") from None
    finally:
        if pending in line:
            line.remove(pending)
        if server is None:
            stream.queue_backend = pending.position()
        else:
            stream.queue_server = pending.position()
        if pending.server is not None:
            stream.picked = pending.server
            stream.server = pending.server


async def dial(plane: Plane, stream: Stream, server: Server, waiter: Waiter, client: Conn) -> Conn:
    """A new connection to the server. Raises Broken, Expired, Failed (the client left, abortonclose)."""
    address = server.address
    if address is None:
        raise Broken("no address")
    if server.port_offset is not None and isinstance(address, tuple):
        address = (address[0], (stream.local_port + server.port_offset) & 0xFFFF)
    family = server.family
    if server.transparent and isinstance(address, tuple):
        port = address[1] if server.port_offset is None else stream.local_port + server.port_offset
        address = (address_text(stream.local), port & 0xFFFF)
        family = socket.AF_INET6 if len(stream.local) == 16 else socket.AF_INET
    plan = server.backend.plan
    opening = server.opening
    make = Conn if opening is None or opening.tls is None else TlsConn
    conn, ready = connect(family, address, plane.poller, server.source, make)
    stream.bound = conn.bound = conn.sock.getsockname()
    server.counters.conn_tot += 1
    server.backend.counters.conn_tot += 1
    if plan.keepalive:
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if ready and opening is None:
        return conn
    waiter.arm(own_limit(stream, "connect", plan.connect_timeout))
    stream.server_side = conn
    try:
        while not ready:
            check_client(stream, client, "C")
            await waiter.park(conn.watch, client.watch)
            code = connect_error(conn)
            if code:
                raise Broken(os.strerror(code))
            ready = code == 0
        if opening is not None:
            await _open(stream, conn, opening, waiter, client)
    except BaseException:
        conn.close()
        raise
    return conn


async def _open(stream: Stream, conn: Conn, opening: Opening, waiter: Waiter, client: Conn) -> None:
    """Say what goes before the first request: the PROXY header, the TLS handshake. Raises Broken, Expired, Failed."""
    conn.key = opening.key(stream)
    # Whatever becomes of it: rules and logs may ask what went wrong.
    stream.server_side = conn
    if opening.header is not None:
        header = opening.header(stream)
        # A new socket has room for it, or it is broken.
        if conn.send(header) < len(header):
            raise Broken("no room for the PROXY header")
    if opening.tls is None:
        return
    assert isinstance(conn, TlsConn)
    tls = opening.tls
    if opening.tls_h1 is not None and stream.server is not None and wants_h1(stream, stream.server):
        tls = opening.tls_h1
    server = stream.server
    assert server is not None
    secure.begin(conn, tls, opening.name(stream) if opening.name is not None else None)
    try:
        while not conn.handshake():
            check_client(stream, client, "C")
            await waiter.park(conn.watch, client.watch)
        secure.check(conn, tls)
    except (Broken, Expired):
        for counters in (server.counters, server.backend.counters):
            counters.ssl_failed += 1
        raise
    if not conn.resumed:
        process = stream.frontend.process
        process.tls_back_rate.add(process.clock.now)
    for counters in (server.counters, server.backend.counters):
        if conn.resumed:
            counters.ssl_reused += 1
        else:
            counters.ssl_sess += 1
