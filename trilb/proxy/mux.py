"""HTTP/2 towards servers: one connection that carries requests of many sessions. HOT.

Theory of operation. A `Mux` owns the connection and has no task: the poller calls it when something happens there, and
it hands what came to its streams. A stream is a connection to the rest of trilb, `ServerStream`, that speaks HTTP/1 on
the inside; so rules, retries, counters and logs know nothing of HTTP/2.

Rules. Nothing in here waits. A stream that cannot send is touched when a window opens or the output drains; a slow
client is felt by the server because windows are given back only as the body is read. Whatever fails ends the streams
it belongs to, never the poller.
"""

from __future__ import annotations

import re
import sys
import time
import traceback

import trio
from h2.errors import ErrorCodes

from trilb.http.h2answer import Content as Piece
from trilb.http.h2answer import Part
from trilb.http.h2ask import Ask
from trilb.http.h2client import ClientConnection, Content, Event, Gone, Opened, Response, Trailers
from trilb.http.h2head import accept_of, origin_form
from trilb.http.head import Head, Refusal
from trilb.http.policy import NO_BODY
from trilb.live.server import Server
from trilb.live.session import Session
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Watch

_READ = 32768
_ROUNDS = 16
"""Reads in a row before the poller goes on to others."""
_FRAMES = 256
"""Frames in a row, likewise. Arbitrary: ten milliseconds of work at the most."""
_SHORT = 4096
"""Bytes read at once where frames are small."""
_OUT_MOST = 131072
"""Bytes waiting for the server from which streams must wait. Arbitrary: some round trips."""
_OUT_END = 4194304
"""Bytes waiting for the server from which it is taken for one that asks and does not listen. Arbitrary: heads of
requests do not wait for anything, and a hundred large ones are below it."""
_INTERIM_MOST = 262144
"""Bytes of interim responses nobody has read yet, which no window bounds. Arbitrary."""
_UPGRADE = re.compile(rb"\r\nconnection: [^\r\n]*upgrade")


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
        if not isinstance(event, (Response, Content, Trailers, Gone)):
            return
        stream = self.streams.get(event.stream)
        if stream is None:
            if isinstance(event, Content):
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
        if self._full and len(out) < _OUT_MOST // 2:
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
        if len(self.h2.out) >= _OUT_MOST:
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


class ServerStream(Conn):
    """One request on a server's connection, as a connection that speaks HTTP/1."""

    plain = False
    multiplexed = True

    __slots__ = (
        "_arrived",
        "_ask",
        "_chunked",
        "_credit",
        "_ended",
        "_junk",
        "_said",
        "_since",
        "mux",
        "number",
        "trailed",
        "unserved",
    )

    def __init__(self, mux: Mux) -> None:
        # There is no socket of its own: nothing of Conn's is set up but what others look at.
        self.mux = mux
        self.number = 0
        self.sock = mux.conn.sock
        self.fd = -1
        self.watch = Watch(-1)
        self.bound = mux.conn.bound
        self.inbox = b""
        self.reused = self.closed = self.failed = False
        self.requests = 0
        self.error = 0
        self.key = mux.conn.key
        self.since = 0.0
        self.gone = self.tasklet = None
        self.unserved = False
        self._ask = Ask()
        self._arrived = bytearray()
        self._credit = 0
        self._said = False
        """The head of the final response was read."""
        self._chunked = False
        self._ended = False
        self._since = 0
        self._junk = False
        self.trailed = False

    @property
    def secured(self) -> object:
        """OpenSSL's connection, where it is secured."""
        return getattr(self.mux.conn, "secured", None)

    def __getattr__(self, name: str) -> object:
        # What rules ask of a connection with TLS is the real connection's to tell.
        if name in ("sni", "hello", "verdict", "resumed", "tls_error"):
            return getattr(self.mux.conn, name)
        raise AttributeError(name)

    @property
    def alpn(self) -> bytes:
        """What the connection agreed to speak."""
        return self.mux.conn.alpn

    def prepare(self, head: Head, target: bytes, *, secured: bool) -> None:
        """Hear whose request comes: `target` is the one received, of which HTTP/1 may only write the path.

        A client of HTTP/2 always said a scheme, which is not kept without an authority: `secured` tells.
        """
        host = head.get(b"host")
        scheme, colon, rest = target.partition(b"://")
        if not colon or b"/" in scheme:
            if head.spoken == b"2.0" and not secured:
                self._ask.scheme = b"http"
            return
        if head.spoken == b"2.0":
            self._ask.scheme = scheme
            if head.composed and not head.target.startswith(b"/"):
                scheme, _, rest = head.target.partition(b"://")
                path = origin_form(head)
                authority = host or rest.partition(b"/")[0]
                self._ask.absolute = scheme + b"://" + authority + (b"" if path == b"*" else path)
        elif host and head.target.startswith(b"/"):
            self._ask.absolute = scheme + b"://" + host + head.target

    # -- what the connection tells ---------------------------------------------------------------------------------

    def take(self, event: Response | Content | Trailers | Gone) -> None:
        """Something came for this stream: in HTTP/1's words it goes to who reads."""
        if isinstance(event, Response):
            if event.status < 200 and len(self._arrived) > _INTERIM_MOST:
                self.mux.h2.reset(self.number, ErrorCodes.ENHANCE_YOUR_CALM)
                self.break_off()
                return
            self._head(event)
        elif isinstance(event, Content):
            self._credit += len(event.data)
            # Padding is not kept.
            self.mux.h2.consumed(self.number, event.credit - len(event.data))
            self._body(event.data, event.ended)
        elif isinstance(event, Trailers):
            if self._chunked:
                lines = b"".join([b"%b: %b\r\n" % field for field in event.fields])
                self._arrived += b"0\r\n" + lines + b"\r\n"
                self.trailed = True
            self._ended = True
        else:
            self.unserved, self._junk = event.unserved, event.malformed
            self.break_off()
            return
        self.touch()

    def _head(self, event: Response) -> None:
        ask, status, fields = self._ask, event.status, event.fields
        if status >= 200:
            if ask.upgraded and 200 <= status < 300:
                status = 101
                fields = [field for field in fields if field[0] not in (b"content-length", b"sec-websocket-accept")]
                fields += [(b"connection", b"upgrade"), (b"upgrade", ask.upgraded)]
                if ask.key:
                    fields.append((b"sec-websocket-accept", accept_of(ask.key)))
            elif not (
                ask.method == b"HEAD"
                or status in NO_BODY
                or ask.method == b"CONNECT"
                or any(name == b"content-length" for name, _ in fields)
            ):
                self._chunked = True
                fields = [*fields, (b"transfer-encoding", b"chunked")]
            self._said = True
        self._arrived += b"HTTP/1.1 %d \r\n%b\r\n" % (status, b"".join([b"%b: %b\r\n" % field for field in fields]))
        if event.ended and status >= 200:
            self._body(b"", True)

    def _body(self, data: bytes, ended: bool) -> None:
        if not self._chunked:
            self._arrived += data
        elif data:
            self._arrived += b"%X\r\n%b\r\n" % (len(data), data)
        if ended:
            if self._chunked:
                self._arrived += b"0\r\n\r\n"
            self._ended = True

    def break_off(self) -> None:
        """The stream is gone, or the whole connection."""
        self.failed = True
        self.watch.hangup = self.watch.broken = True
        self.touch()

    def _end(self) -> Exception:
        """What to raise where nothing more comes."""
        if self._junk and not self._said:
            return Refusal(502, "malformed response")
        return Broken("stream reset")

    def touch(self) -> None:
        """Something happened: whoever waits shall look."""
        watch = self.watch
        watch.ready = True
        if watch.waiter is not None:
            watch.waiter.wake()
        else:
            watch.edge = True

    # -- what a connection does ------------------------------------------------------------------------------------

    def receive(self, size: int = 16384) -> bytes | None:
        """Read of the response what is there, in HTTP/1's framing."""
        watch = self.watch
        watch.ready = False
        arrived = self._arrived
        if not arrived:
            if self._ended:
                return b""
            if self.failed:
                raise self._end()
            return None
        data = bytes(arrived[:size])
        del arrived[:size]
        if arrived or self._ended or self.failed:
            watch.ready = True
        elif self._credit:
            # All of it was read: the server may send as much again.
            self.mux.h2.consumed(self.number, self._credit)
            self._credit = 0
            self.mux.push()
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Take of an HTTP/1 request what windows and output have room for."""
        if self.failed or self.closed:
            if self._arrived and not self.closed:
                return 0  # what the server said before it gave up comes first
            self.failed = True
            raise self._end()
        mux, ask = self.mux, self._ask
        raw = bytes(data) if isinstance(data, memoryview) else data
        if not ask.begun and not self._may_begin(raw):
            return 0
        used = 0
        while used < len(raw):
            room = mux.room(self.number) if self.number else 0
            took, part = ask.feed(raw[used:], room)
            if part is not None:
                self._emit(part)
            elif not took:
                break
            used += took
        if used < len(raw):
            mux.waiting.add(self)
        elif self.number:
            mux.waiting.discard(self)
        mux.push()
        if self.failed:
            raise Broken("stream reset")
        return used

    def _may_begin(self, raw: bytes) -> bool:
        """An upgrade waits until the server has said whether it knows what that is. Raises Broken when it does not."""
        head = raw.partition(b"\r\n\r\n")[0].lower()
        if b"\r\nupgrade: " not in head or not _UPGRADE.search(head):
            return True
        if not head.startswith(b"get ") or b"\r\ncontent-length: " in head or b"\r\ntransfer-encoding: " in head:
            self.failed = True
            raise Broken("an upgrade with a body has no counterpart in HTTP/2")
        h2 = self.mux.h2
        if not h2.settled:
            self.mux.waiting.add(self)
            return False
        if not h2.websockets:
            self.failed = True
            raise Broken("the server does not know extended CONNECT")
        return True

    def _emit(self, part: Part) -> None:
        h2 = self.mux.h2
        if isinstance(part, Piece):
            h2.send_data(self.number, part.data, ended=part.ended)
        elif not self.number:
            if not h2.room_for_one():
                self.failed = True
                self.unserved = True
                raise Broken("no room for another stream")
            self._since = self.mux.heard
            self.number = h2.open(part.fields, ended=part.ended)
            self.mux.streams[self.number] = self
        else:
            h2.send_trailers(self.number, part.fields)

    def shutdown(self) -> None:
        """Tell the server that no more will come: the end of a tunnel."""
        part = self._ask.close()
        if part is not None and isinstance(part, Piece) and self.number and not self.failed:
            self.mux.h2.send_data(self.number, b"", ended=True)
            self.mux.push()

    def cut(self) -> None:
        """Whoever reads the stream finds it broken off, and resets it by closing it."""
        if not self.closed:
            self.break_off()

    def close(self, *, reset: bool = False) -> None:
        """End the stream; one whose response is not complete is reset."""
        if self.closed:
            return
        self.closed = True
        if self.number and not self.mux.closed:
            if self._credit:
                self.mux.h2.consumed(self.number, self._credit)
            self.mux.h2.reset(self.number)
            if not self._said:
                self.mux.doubt(self._since)
            self.mux.push()
        self.mux.leave(self)
        self._arrived.clear()

    def addresses(self) -> tuple[bytes, int, bytes, int] | None:
        """The connection's."""
        return self.mux.conn.addresses()

    def tcp_info(self) -> bytes | None:
        """The connection's."""
        return self.mux.conn.tcp_info()

    def set_option(self, name: str, value: int) -> None:
        """Options are the connection's."""
        self.mux.conn.set_option(name, value)
