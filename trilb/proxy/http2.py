"""An HTTP/2 session: one connection, many requests at once, each run as HTTP/1 runs it. HOT.

Theory of operation. One task reads the connection and writes it; every request has a task of the session's nursery,
which serves another one when it is done (`Worker`). A request is an ordinary HttpSession whose client is a
`ClientStream`: a connection that speaks HTTP/1 on the inside and frames on the outside.

Rules of this module. Only the session's task touches the socket; a stream puts frames into `h2.out` and kicks it. A
stream that cannot send waits in `_blocked` until its window opens or the output drains; a slow server is felt by the
client because the window is given back only as the body is read. No task outlives the nursery.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio
from h2.errors import ErrorCodes

from trilb.http.h2events import Data, Failed, Leaving, Opened, Rejected, Request, Reset, Trailers
from trilb.http.h2server import ServerConnection
from trilb.live.plan import FrontendPlan
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired, Waiter
from trilb.proxy import account
from trilb.proxy.clientside import Gone
from trilb.proxy.clientstream import ClientStream
from trilb.proxy.plane import Plane
from trilb.proxy.streamconn import OUT_MOST
from trilb.proxy.streamsession import Worker

_READ = 32768
"""Bytes read at once, and written at once. Others get their turn after each: in small frames it is work for a while."""
_LINGER = 1.0
_SPARE = 32
"""Tasks that may wait for a request. Arbitrary."""
_REST = 1.0
"""Seconds without a request after which all but one of them end. Arbitrary: long enough for what comes in bursts, as a
page does, for beginning a task costs as much as a request."""


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
        self.streams: dict[int, ClientStream] = {}
        self._blocked: dict[int, ClientStream] = {}
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
            if client.watch.ready and len(h2.out) < OUT_MOST:
                data = client.receive(_READ)
                if data == b"":
                    self._ended()
                    return
            if data:
                await trio.lowlevel.checkpoint()
                continue
            if self._dirty or moved:
                continue
            limit, rest = self._deadline(), self._rest()
            waiter.until(min(limit, rest) if limit and rest else limit or rest)
            try:
                await waiter.park(client.watch)
            except Expired:
                if rest and (not limit or rest < limit):
                    self._dismiss(1)
                    continue
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

    def _rest(self) -> float:
        """When to let tasks go that nobody needs, 0 where there are none."""
        return self._idle_since + _REST if len(self._spare) > 1 and not self.streams else 0.0

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
        if self._blocked and len(out) < OUT_MOST // 2:
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
        return min(self.h2.room(number), max(0, OUT_MOST - len(self.h2.out)))

    def block(self, stream: ClientStream) -> None:
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
            self.h2.reset(event.stream, ErrorCodes.REFUSED_STREAM)
            return
        conn = ClientStream(self, event.stream, event.head, ended=event.ended)
        self.streams[event.stream] = conn
        if self._spare:
            self._spare.pop().give(conn, event)
        else:
            self._nursery.start_soon(Worker(self).run, conn, event, name=self.session.frontend.name)

    def spare(self, worker: Worker) -> bool:
        """A request is served: may who served it wait for another one?"""
        if self._ending or len(self._spare) >= _SPARE:
            return False
        self._spare.append(worker)
        return True

    def _dismiss(self, most: int) -> None:
        while len(self._spare) > most:
            self._spare.pop().give(None, None)

    def waited_since(self) -> float:
        """Since when a request that begins now was waited for: nobody did while others are served."""
        return self._idle_since if len(self.streams) == 1 else self.clock.now

    def over(self, conn: ClientStream) -> None:
        """A request is done with."""
        self.streams.pop(conn.number, None)
        self._blocked.pop(conn.number, None)
        self.session.requests += 1
        if not self.streams:
            self._idle_since = self.clock.now
            self.kick()
