"""A connection to the server a stream was assigned: one that stands, or a new one. HOT up to the dial."""

from __future__ import annotations

import os
import socket

from trilb.base.ip import text as address_text
from trilb.http.h2client import ClientConnection
from trilb.live.server import Opening, Server
from trilb.live.stream import Stream, own_limit, retries_of
from trilb.net.conn import Broken, Conn, connect, connect_error
from trilb.net.poller import Expired, Waiter
from trilb.proxy import pool, secure
from trilb.proxy.assign import Failed, check_client, choose, queued, retry
from trilb.proxy.mux import Mux, Owned
from trilb.proxy.plane import Plane
from trilb.tls.conn import TlsConn


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
