"""HTTP/2 towards servers: one connection that carries requests of many sessions. HOT.

Theory of operation. A `Mux` owns the connection and has no task: the poller calls it when something happens there, and
it hands what came to its streams. A stream is a connection to the rest of trilb, `ServerStream`, that speaks HTTP/1 on
the inside; so rules, retries, counters and logs know nothing of HTTP/2.

Rules. Nothing in here waits. A stream that cannot send is touched when a window opens or the output drains; a slow
client is felt by the server because windows are given back only as the body is read. Whatever fails ends the streams
it belongs to, never the poller.
"""

from __future__ import annotations

import sys
import time
import traceback

import trio

from trilb.http.h2client import ClientConnection
from trilb.http.h2events import Data, Event, Opened, Reset, Response, Trailers
from trilb.live.server import Server
from trilb.live.session import Session
from trilb.net.conn import Broken, Conn
from trilb.proxy.serverstream import ServerStream
from trilb.proxy.streamconn import OUT_MOST

_READ = 32768
_ROUNDS = 16
"""Reads in a row before the poller goes on to others."""
_FRAMES = 256
"""Frames in a row, likewise. Arbitrary: ten milliseconds of work at the most."""
_SHORT = 4096
"""Bytes read at once where frames are small."""
_OUT_END = 4194304
"""Bytes waiting for the server from which it is taken for one that asks and does not listen. Arbitrary: heads of
requests do not wait for anything, and a hundred large ones are below it."""


class Mux:
    """A connection to a server and its streams."""

    def __init__(self, server: Server, conn: Conn, h2: ClientConnection, session: Session) -> None:
        self.server = server
        self.conn = conn
        self.h2 = h2
        self.session: Session | None = session
        """Whose connection it was opened for, until another one used it."""
        self.streams: dict[int, ServerStream] = {}
        self.waiting: set[ServerStream] = set()
        """Those that have not sent their head yet, or wait for room."""
        self.since = 0.0
        self.closed = False
        self.requests = 0
        self.heard = 0
        """How often something came."""
        self.doubted = False
        """A request was given up while nothing at all came: whether anybody is there must show first."""
        self._orphaned = False
        """It belonged to one session (`http-reuse never`), which is over."""
        self._dense = False
        """The last bytes were many small frames, which are work for a while."""
        self._full = False
        """Streams wait for the output to drain."""
        conn.watch.call = self.run
        # What came with the end of a handshake is here already, and no event will tell.
        self.run()

    @property
    def reused(self) -> bool:
        """Did it carry more than one request?"""
        return self.requests > 1

    def stream(self, session: Session) -> ServerStream:
        """Room for one request."""
        if self.session is not session and self.requests:
            self.session = None
        self.since = 0.0
        made = ServerStream(self)
        if self.closed:
            made.break_off()
        made.reused = self.requests > 0
        self.requests += 1
        self.waiting.add(made)
        return made

    def available(self) -> bool:
        """May it carry another request?"""
        return not self.closed and not self.doubted and not self._orphaned and self.h2.room_for_one()

    def idle(self) -> bool:
        """Does it carry none?"""
        return not self.streams and not self.waiting

    def run(self) -> None:
        """Something happened to the connection: read, hand out, write. Called by the poller; never raises."""
        if self.closed:
            return
        try:
            self._run()
        except Broken:
            self.close()
        except Exception:  # noqa: BLE001
            # A fault of ours here must not end the process: tell the operator, end what it was about.
            traceback.print_exc(file=sys.stderr)
            self.close()

    def _run(self) -> None:
        conn = self.conn
        frames = self.h2.frames
        for _ in range(_ROUNDS):
            begun = self.h2.frames
            if not conn.watch.ready:
                break
            if begun - frames >= _FRAMES:
                # No event will tell of what is still there.
                trio.lowlevel.current_trio_token().run_sync_soon(self.run)
                break
            data = conn.receive(_SHORT if self._dense else _READ)
            if data is None:
                break
            if not data:
                self.close()
                return
            self.heard += 1
            self.doubted = False
            for event in self.h2.receive(data, time.monotonic()):
                self._hand_out(event)
            self._dense = self.h2.frames - begun >= _FRAMES
        else:
            if conn.watch.ready:
                # No event will tell of what is still there.
                trio.lowlevel.current_trio_token().run_sync_soon(self.run)
        self.flush()
        if self.h2.failed or (self.h2.leaving and self.idle()) or len(self.h2.out) > _OUT_END:
            self.close()

    def _hand_out(self, event: Event) -> None:
        if isinstance(event, Opened):
            for each in list(self.waiting):
                each.touch()
            return
        if not isinstance(event, (Response, Data, Trailers, Reset)):
            return
        stream = self.streams.get(event.stream)
        if stream is None:
            if isinstance(event, Data):
                self.h2.consumed(event.stream, event.credit)
            return
        stream.take(event)

    def flush(self) -> None:
        """Write what there is to write. Raises Broken."""
        out = self.h2.out
        while out:
            sent = self.conn.send(bytes(out[:_READ]))
            if not sent:
                break
            del out[:sent]
        if self._full and len(out) < OUT_MOST // 2:
            self._full = False
            for stream in list(self.waiting):
                stream.touch()

    def push(self) -> None:
        """Write what a stream has put into the output."""
        try:
            self.flush()
        except Broken:
            self.close()

    def room(self, number: int) -> int:
        """Bytes of a body that a stream may send now."""
        if len(self.h2.out) >= OUT_MOST:
            self._full = True
            return 0
        return self.h2.room(number)

    def leave(self, stream: ServerStream) -> None:
        """A stream is done with."""
        self.waiting.discard(stream)
        self.streams.pop(stream.number, None)
        if self.idle() and (self.h2.leaving or not self._kept()):
            self.retire()

    def _kept(self) -> bool:
        """May it stay without a request (`pool-max-conn`)?"""
        most = self.server.line.pool_max_conn
        if not self.server.running or self._orphaned:
            return False
        return most < 0 or sum([mux.idle() for mux in self.server.muxes]) <= most

    def orphan(self) -> None:
        """Nobody will use it any more: end it with its last request."""
        self._orphaned = True
        if self.idle():
            self.retire()

    def doubt(self, since: int) -> None:
        """A request was given up: when nothing came since it was sent, ask whether anybody is there."""
        if self.heard == since and not self.closed and not self.doubted:
            self.doubted = True
            self.h2.ping()

    def retire(self) -> None:
        """End the connection politely: nothing is under way."""
        if not self.closed:
            self.h2.goaway()
            self.push()
            self.close()

    def close(self) -> None:
        """End the connection, and what it carries."""
        if self.closed:
            return
        self.closed = True
        if self in self.server.muxes:
            self.server.muxes.remove(self)
        for stream in (*self.streams.values(), *self.waiting):
            stream.break_off()
        self.streams.clear()
        self.waiting.clear()
        self.conn.watch.call = None
        self.conn.close()


class Owned:
    """A connection that only one session may use, for that session to give up (`http-reuse never`)."""

    reused = True

    def __init__(self, mux: Mux) -> None:
        self.mux = mux

    def close(self) -> None:
        """The session is over, or owns another one now."""
        self.mux.orphan()
