"""An HTTP/2 session: one connection, many requests at once, each run as HTTP/1 runs it. HOT.

Theory of operation. One task reads the connection and writes it; every request has a task of the session's nursery,
which serves another one when it is done (`Worker`). A request is an ordinary HttpSession whose client is a
`StreamConn`: a connection that speaks HTTP/1 on the inside and frames on the outside. So rules, cookies, logs and
counters know nothing of HTTP/2.

Rules of this module. Only the session's task touches the socket; a stream puts frames into `h2.out` and kicks it. A
stream that cannot send waits in `_blocked` until its window opens or the output drains; a slow server is felt by the
client because the window is given back only as the body is read. No task outlives the nursery.
"""

from __future__ import annotations

import secrets
import sys
import traceback
from base64 import b64encode
from collections.abc import Iterator

import trio

from trilb.http import replies, write
from trilb.http.h2 import ServerConnection
from trilb.http.h2answer import Answer, Content, Part
from trilb.http.h2events import Data, Failed, Leaving, Opened, Rejected, Request, Reset, Trailers
from trilb.http.h2head import accept_of, origin_form
from trilb.http.head import Field, Head, asked_size
from trilb.live.plan import FrontendPlan
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired, Tasklet, Waiter, Watch
from trilb.proxy import account
from trilb.proxy.clientside import Gone
from trilb.proxy.phases import HttpSession
from trilb.proxy.plane import Plane

_READ = 32768
"""Bytes read at once, and written at once. Others get their turn after each: in small frames it is work for a while."""
_OUT_MOST = 131072
"""Bytes waiting for the client from which streams must wait, and nothing more is read. Arbitrary: some round trips."""
_LINGER = 1.0
_SPARE = 32
"""Tasks that may wait for a request while others of their connection are served. Arbitrary."""
INTERNAL_ERROR, REFUSED_STREAM, CANCEL = 2, 7, 8
"""Codes of RST_STREAM (RFC 9113, section 7)."""


class StreamConn(Conn):
    """The client's end of one stream, as a connection that speaks HTTP/1."""

    plain = False
    multiplexed = True

    __slots__ = ("_answer", "_arrived", "_chunked", "_ended", "_last", "link", "number", "serving")

    def __init__(self, link: Http2Session, number: int, head: Head | None, *, ended: bool) -> None:
        # There is no socket of its own: nothing of Conn's is set up but what others look at.
        self.link = link
        self.number = number
        self.serving: StreamSession | None = None
        """Who serves the request, once somebody does."""
        self.sock = link.client.sock
        self.fd = -1
        self.watch = Watch(-1)
        self.bound = None
        self.inbox = b""
        self.reused = self.closed = self.failed = False
        self.requests = 0
        self.error = 0
        self.key = None
        self.since = 0.0
        self.gone = self.tasklet = None
        self._arrived = bytearray()
        self._chunked = head is not None and head.chunked
        self._ended = ended
        self._last = b"0\r\n\r\n"
        upgrade = head is not None and bool(head.upgrade)
        self._answer = Answer(head.method if head is not None else b"GET", upgrade=upgrade)

    # -- what the session tells ------------------------------------------------------------------------------------

    def arrive(self, data: bytes, credit: int, *, ended: bool) -> None:
        """A piece of the request's body."""
        self._arrived += data
        if credit > len(data):
            # Padding is not kept.
            self.link.h2.consumed(self.number, credit - len(data))
        self._ended = self._ended or ended
        self.touch()

    def end(self, trailers: list[Field]) -> None:
        """The request is complete, with fields behind its body."""
        self._last = b"0\r\n" + b"".join([b"%b: %b\r\n" % field for field in trailers]) + b"\r\n"
        self._ended = True
        self.touch()

    def break_off(self) -> None:
        """The stream is gone: the client, or the whole connection."""
        self.failed = True
        self.watch.hangup = self.watch.broken = True
        self.touch()

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
        """Read of the body what is there, in HTTP/1's framing."""
        watch = self.watch
        watch.ready = False
        if self.failed:
            raise Broken("stream reset")
        arrived = self._arrived
        if not arrived:
            if not self._ended:
                return None
            last, self._last = self._last if self._chunked else b"", b""
            return last
        payload = bytes(arrived[:size])
        del arrived[:size]
        self.link.h2.consumed(self.number, len(payload))
        self.link.kick()
        if arrived:
            watch.ready = True
        if not self._chunked:
            if self._ended:
                watch.ready = True
            return payload
        payload = b"%X\r\n%b\r\n" % (len(payload), payload)
        if self._ended and not arrived:
            last, self._last = self._last, b""
            payload += last
        return payload

    def send(self, data: bytes | memoryview) -> int:
        """Take of an HTTP/1 response what windows and output have room for."""
        if self.failed or self.closed:
            self.failed = True
            raise Broken("stream reset")
        link, answer = self.link, self._answer
        room = link.room(self.number)
        given = len(data)
        if not room and answer.begun and not answer.done:
            # No body will go: what frames it fits into this.
            data = data[:64]
        raw = bytes(data) if isinstance(data, memoryview) else data
        used, size = 0, len(raw)
        while used < size:
            took, part = answer.feed(raw[used:] if used else raw, room)
            if part is not None:
                self._emit(part)
                if isinstance(part, Content):
                    room = link.room(self.number)
            elif not took:
                break
            used += took
        if used < given:
            link.block(self)
        link.kick()
        return used

    def _emit(self, part: Part) -> None:
        h2 = self.link.h2
        if self.number not in h2.streams:
            self.failed = True
            raise Broken("stream reset")
        if isinstance(part, Content):
            h2.send_data(self.number, part.data, ended=part.ended)
        else:
            h2.send_head(self.number, part.fields, ended=part.ended)

    def shutdown(self) -> None:
        """Tell the client that no more will come: the end of a tunnel, or of a body without a length."""
        if not self.failed and not self.closed and self.number in self.link.h2.streams:
            part = self._answer.close()
            if part is not None:
                self._emit(part)
                self.link.kick()

    def close(self, *, reset: bool = False) -> None:
        """End the stream; one whose answer is not complete is reset."""
        if self.closed:
            return
        self.closed = True
        if not self.failed and not self._answer.done:
            self.link.h2.reset(self.number, CANCEL)
            self.link.kick()
        self._arrived.clear()

    def finish(self, *, cut: bool) -> None:
        """The request was served; `cut` says that its answer broke off before its end."""
        if not cut:
            self.shutdown()
        self.close()

    def vanish(self, ttl: int) -> None:
        """`silent-drop`: the connection goes, with all its streams."""
        self.link.client.vanish(ttl)
        self.link.kick()

    def set_option(self, name: str, value: int) -> None:
        """Options are the connection's."""
        self.link.client.set_option(name, value)


class StreamSession(HttpSession):
    """A request of an HTTP/2 connection: HTTP/1 but for how it is written to a server, and what a 101 must prove."""

    __slots__ = ("key",)

    def __init__(self, plane: Plane, session: Session, client: StreamConn) -> None:
        super().__init__(plane, session, client)
        self.key = b""

    def write_request(self, head: Head, extra: bytes, case: dict[bytes, bytes] | None) -> bytes:
        """The head as an HTTP/1 server wants it: a path for a target, and how its body is framed."""
        if head.chunked:
            extra += b"transfer-encoding: chunked\r\n"
        if head.upgrade == b"websocket":
            self.key = b64encode(secrets.token_bytes(16))
            extra += b"sec-websocket-key: %b\r\n" % self.key
        target = head.target
        head.target = origin_form(head)
        try:
            return write.request(head, extra, case)
        finally:
            head.target = target

    def agrees(self, asked: Head, head: Head) -> bool:
        """Is a 101 the answer to what was asked? Nobody behind us checks the key: it is ours."""
        if asked.upgrade == b"websocket":
            return head.get(b"sec-websocket-accept") == accept_of(self.key)
        return super().agrees(asked, head)


class Worker:
    """A task that serves requests of a connection, one after the other: beginning one costs as much as serving does.

    It runs as a tasklet: whoever has something for it steps it in place.
    """

    __slots__ = ("_conn", "_event", "_waiter", "link")

    def __init__(self, link: Http2Session) -> None:
        self.link = link
        self._conn: StreamConn | None = None
        self._event: Request | None = None
        self._waiter: Waiter | None = None

    async def run(self, conn: StreamConn, event: Request) -> None:
        """The task, from its first request on."""
        self._conn, self._event = conn, event
        tasklet = Tasklet(self.link.plane.poller)
        await tasklet.run(self._work(tasklet))

    async def _work(self, tasklet: Tasklet) -> None:
        waiter = self._waiter = Waiter(self.link.plane.wheel, tasklet)
        while True:
            conn, event = self._conn, self._event
            if conn is None or event is None:
                return
            self._conn = None
            conn.tasklet = tasklet
            await self.link.attend(conn, event)
            if not self.link.spare(self):
                return
            await waiter.park(None)

    def give(self, conn: StreamConn | None, event: Request | None) -> None:
        """Serve this, or (None) end."""
        self._conn, self._event = conn, event
        assert self._waiter is not None
        self._waiter.happened()


class Http2Session:
    """The life of a client connection that speaks HTTP/2. `inflight` is False: a soft stop may always wake it."""

    __slots__ = (
        "_blocked",
        "_dirty",
        "_ending",
        "_idle_since",
        "_left",
        "_moved",
        "_nursery",
        "_spare",
        "client",
        "clock",
        "h2",
        "inflight",
        "plan",
        "plane",
        "session",
        "streams",
        "waiter",
    )

    _nursery: trio.Nursery

    def __init__(self, plane: Plane, session: Session, client: Conn) -> None:
        self.plane = plane
        self.session = session
        self.client = client
        self.clock = plane.clock
        self.plan: FrontendPlan = session.frontend.plan
        self.waiter = Waiter(plane.wheel)
        self.inflight = False
        session.major = 2
        # A TCP stream that turned to HTTP/2 is over: each request is looked at by all rules.
        session.switched = None
        self.h2 = ServerConnection(plane.h2, self.plan.limits)
        self.streams: dict[int, StreamConn] = {}
        self._blocked: dict[int, StreamConn] = {}
        self._dirty = False
        self._ending = False
        self._spare: list[Worker] = []
        """Who waits for a request to serve."""
        self._idle_since = session.accepted
        self._moved = self.clock.now
        self._left = False
        """The client said GOAWAY."""

    async def serve(self) -> bool:
        """Serve until the connection ends; always False. Never raises but for cancellation."""
        counters = self.session.frontend.counters
        counters.h2_sess += 1
        counters.h2_open += 1
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                try:
                    await self._run()
                except (Broken, Gone):
                    pass
                finally:
                    self.waiter.finish()
                    self.client.close()
                    self._ending = True
                    self._break_off()
                    self._dismiss(0)
        finally:
            counters.h2_open -= 1
            self.session.close_private()
        return False

    def under_way(self) -> Iterator[tuple[Stream, Waiter]]:
        """The requests being served, and by what they wait."""
        for conn in self.streams.values():
            if conn.serving is not None:
                yield from conn.serving.under_way()

    # -- the connection ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        client, h2, waiter = self.client, self.h2, self.waiter
        data: bytes | None = client.inbox
        client.inbox = b""
        while True:
            if data and self._take(data):
                await self._part()
                return
            data = None
            moved = self._flush()
            if self.plane.stopping and not h2.draining:
                h2.drain()
                continue
            if (h2.draining or self._left) and not self.streams:
                # Whatever was under way meanwhile is told that nobody looked at it.
                h2.goaway()
                await self._part()
                return
            if client.watch.ready and len(h2.out) < _OUT_MOST:
                data = client.receive(_READ)
                if data == b"":
                    self._ended()
                    return
            if data:
                await trio.lowlevel.checkpoint()
                continue
            if self._dirty or moved:
                continue
            waiter.until(self._deadline())
            try:
                await waiter.park(client.watch)
            except Expired:
                if self.streams or h2.out:
                    raise Gone from None
                h2.goaway()
                await self._part()
                return
            if client.closed:
                return

    def _ended(self) -> None:
        """The client closed; one that never said it speaks HTTP/2 is noted."""
        if not self.h2.prefaced and not (self.plan.dontlognull or self.plan.ignore_probes):
            self._note()

    def _deadline(self) -> float:
        """Until when the client may stay silent: the times of an idle connection, or of one that does not read."""
        plan = self.plan
        if self.h2.out:
            # Streams that wait for it time out first, so that the log tells whose fault it was.
            grace = 1.0 if self.streams else 0.0
            return self._moved + plan.client_timeout + grace if plan.client_timeout else 0.0
        if self.streams:
            return 0.0
        if not self.h2.accepted:
            limit = plan.request_timeout or plan.client_timeout
        else:
            limit = plan.keep_alive_timeout or plan.request_timeout or plan.client_timeout
        return self._idle_since + limit if limit else 0.0

    def _flush(self) -> bool:
        """Write what waits; did anything go? Raises Broken."""
        self._dirty = False
        out = self.h2.out
        if not out:
            return False
        sent = self.client.send(bytes(out[:_READ]))
        if not sent:
            return False
        del out[:sent]
        self._moved = self.clock.now
        if self._blocked and len(out) < _OUT_MOST // 2:
            self._unblock()
        return True

    async def _part(self) -> None:
        """Send what is left, end our side, and take what the client still sends, for a moment."""
        client, waiter = self.client, self.waiter
        waiter.arm(_LINGER)
        try:
            while self.h2.out:
                if not self._flush():
                    await waiter.park(client.watch)
            client.shutdown()
            for _ in range(64):
                data = client.receive()
                if data == b"":
                    return
                if data is None:
                    await waiter.park(client.watch)
        except Expired:
            return

    def _break_off(self) -> None:
        for stream in list(self.streams.values()):
            stream.break_off()

    # -- what streams ask for ------------------------------------------------------------------------------------

    def kick(self) -> None:
        """There may be something to write."""
        self._dirty = True
        self.waiter.wake()

    def room(self, number: int) -> int:
        """How much of a body may be sent on a stream now."""
        return min(self.h2.room(number), max(0, _OUT_MOST - len(self.h2.out)))

    def block(self, stream: StreamConn) -> None:
        """Wake this stream when there may be room again."""
        self._blocked[stream.number] = stream

    def _unblock(self) -> None:
        blocked, self._blocked = self._blocked, {}
        for stream in blocked.values():
            stream.touch()

    # -- what the client sends -----------------------------------------------------------------------------------

    def _take(self, data: bytes) -> bool:
        """Obey what came; True when the connection is to end."""
        events = self.h2.receive(data, self.clock.now)
        if self.h2.glitches > self.session.glitches:
            self._count_glitches()
        for event in events:
            if isinstance(event, Request):
                self._begin(event)
            elif isinstance(event, Data):
                if event.stream in self.streams:
                    self.streams[event.stream].arrive(event.data, event.credit, ended=event.ended)
            elif isinstance(event, Trailers):
                if event.stream in self.streams:
                    self.streams[event.stream].end(event.fields)
            elif isinstance(event, Opened):
                self._opened(event.stream)
            elif isinstance(event, Reset):
                stream = self.streams.get(event.stream)
                if stream is not None:
                    stream.break_off()
            elif isinstance(event, Rejected):
                if self.plane.h2.logs == "stream":
                    self._note()
            elif isinstance(event, Leaving):
                self._left = True
            elif isinstance(event, Failed):
                if self.plane.h2.logs != "none":
                    self._note()
                self._break_off()
                return True
        return False

    def _count_glitches(self) -> None:
        """What is tracked for the connection counts them too."""
        more = self.h2.glitches - self.session.glitches
        self.session.glitches += more
        for each in self.session.tracks(None):
            each.count(each.table.on_glitch, self.clock.now, more)

    def _opened(self, number: int) -> None:
        if not number:
            self._unblock()
        elif number in self._blocked:
            self._blocked.pop(number).touch()

    def _note(self) -> None:
        """Count and log something that was no request."""
        now = self.clock.now
        account.log(account.bad(self.session, 0, "P", now, now))

    # -- requests ------------------------------------------------------------------------------------------------

    def _begin(self, event: Request) -> None:
        if len(self.streams) >= 2 * self.plane.h2.max_streams:
            # Streams that were reset may take a while to end: no more than as many again.
            self.h2.reset(event.stream, REFUSED_STREAM)
            return
        conn = StreamConn(self, event.stream, event.head, ended=event.ended)
        self.streams[event.stream] = conn
        if self._spare:
            self._spare.pop().give(conn, event)
        else:
            self._nursery.start_soon(Worker(self).run, conn, event, name=self.session.frontend.name)

    def _stream(self, event: Request, head: Head) -> Stream:
        now = self.clock.now
        stream = Stream(self.session, self.session.frontend)
        stream.request = head
        stream.target, stream.method = head.target, head.method
        stream.accepted = stream.received = now
        stream.accepted_wall = self.clock.wall
        # Nobody waited for a request that comes while others are served.
        stream.idle_since = self._idle_since if len(self.streams) == 1 else now
        stream.head_size = event.size
        stream.bytes_in = asked_size(head)
        self.session.frontend.counters.h2_req += 1
        return stream

    def spare(self, worker: Worker) -> bool:
        """A request is served: may who served it wait for another one?"""
        if self._ending or len(self._spare) >= _SPARE:
            return False
        self._spare.append(worker)
        return True

    def _dismiss(self, most: int) -> None:
        while len(self._spare) > most:
            self._spare.pop().give(None, None)

    async def attend(self, conn: StreamConn, event: Request) -> None:
        """Serve one request."""
        http = StreamSession(self.plane, self.session, conn)
        cut = True
        try:
            if event.head is None:
                assert event.refusal is not None
                await self._refuse(http, event.refusal.status, event.size)
                cut = False
                return
            stream = http.stream = self._stream(event, event.head)
            conn.serving = http
            try:
                if conn.failed:
                    # Given up before anybody looked at it: no server shall.
                    stream.end("C", "R")
                    return
                await http.run(stream)
                cut = stream.during == "D"
            finally:
                http.finish(stream)
        except (Broken, Gone):
            pass
        except Exception:  # noqa: BLE001
            # A fault of ours in one stream must not end the others: tell the operator, count it, reset this one.
            self.plane.process.faults += 1
            traceback.print_exc(file=sys.stderr)
            self.h2.reset(conn.number, INTERNAL_ERROR)
        finally:
            http.waiter.finish()
            conn.finish(cut=cut)
            self._over(conn)

    async def _refuse(self, http: StreamSession, status: int, size: int) -> None:
        """Answer something that was no request. Raises Broken, Gone."""
        stream = account.bad(self.session, status, "P", self.clock.now, self.clock.now)
        raw = self.plan.raw_errors.get(status) or replies.raw(status)
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        stream.bytes_out = 32 + len(lines[0]) - 13 + sum([len(line) - 2 for line in lines[1:]]) + len(body)
        stream.bytes_in = size
        stream.captures_in = [None] * len(self.session.frontend.config.captures_in)
        stream.logged = True
        for write_line in self.plan.log:
            write_line(stream)
        await http.send(raw)

    def _over(self, conn: StreamConn) -> None:
        self.streams.pop(conn.number, None)
        self._blocked.pop(conn.number, None)
        self.session.requests += 1
        if not self.streams:
            self._idle_since = self.clock.now
            self._dismiss(1)
            self.kick()
