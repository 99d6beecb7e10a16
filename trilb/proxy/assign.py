"""A server for a stream: chosen, waited for, left for another one. HOT.

Whoever is assigned holds a slot of its server until `release`. Retries follow configuration.txt, `retries`, `option
redispatch` and `retry-on`, and what was observed where the manual is silent: a server chosen by turns is left at once,
one chosen by cookie or hash only at the retry that the option names, and a retry on the same server waits for
min(timeout connect, 1s).
"""

from __future__ import annotations

import socket
from typing import Final

from trilb.live.server import Server
from trilb.live.stream import Stream, own_limit, retries_of
from trilb.net.conn import Conn
from trilb.net.poller import Expired, Waiter
from trilb.proxy import queue
from trilb.proxy.plane import Plane

TURN_AROUND: Final = 1.0
"""Seconds before a retry on the same server, unless `timeout connect` is shorter (configuration.txt, `retries`)."""


class Failed(Exception):
    """No connection: the status to answer (0: the client is gone) and the termination letters."""

    def __init__(self, status: int, cause: str, during: str) -> None:
        super().__init__(status, cause, during)
        self.status = status
        self.cause = cause
        self.during = during


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


def release(stream: Stream) -> None:
    """Give back the slot the stream holds, if any."""
    server = stream.picked
    if server is not None:
        stream.picked = None
        queue.leave(server, server.backend.plan.moved)


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
