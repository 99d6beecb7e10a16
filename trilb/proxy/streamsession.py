"""The requests of an HTTP/2 connection: each is an ordinary HttpSession whose client is a stream. HOT.

So rules, cookies, logs and counters know nothing of HTTP/2. What a request needs of its connection is asked of `link`,
the Http2Session.
"""

from __future__ import annotations

import secrets
import sys
import traceback
from base64 import b64encode
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from trilb.http import replies, write
from trilb.http.h2events import Request
from trilb.http.h2head import accept_of, origin_form
from trilb.http.head import Head
from trilb.net.conn import Broken
from trilb.net.poller import Tasklet, Waiter
from trilb.proxy import account
from trilb.proxy.clientside import Gone
from trilb.proxy.clientstream import ClientStream
from trilb.proxy.phases import HttpSession

if TYPE_CHECKING:
    from trilb.proxy.http2 import Http2Session


class StreamSession(HttpSession):
    """A request of an HTTP/2 connection: HTTP/1 but for how it begins and ends, and how it is written to a server."""

    __slots__ = ("_key", "_link")

    def __init__(self, link: Http2Session, conn: ClientStream) -> None:
        super().__init__(link.plane, link.session, conn)
        self._link = link
        self._key = b""
        """What a websocket server has to answer to."""

    async def attend(self, conn: ClientStream, event: Request) -> None:
        """Serve one request."""
        cut = True
        try:
            if event.head is None:
                assert event.refusal is not None
                await self._reject(event.refusal.status, event.size)
                cut = False
                return
            self.session.frontend.counters.h2_req += 1
            stream = self.stream = self.begin(event.head, event.size, self.clock.now, self._link.waited_since())
            conn.serving = self
            try:
                if conn.failed:
                    # Given up before anybody looked at it: no server shall.
                    stream.end("C", "R")
                    return
                await self.run(stream)
                cut = stream.during == "D"
            finally:
                self.finish(stream)
        except (Broken, Gone):
            pass
        except Exception:  # noqa: BLE001
            # A fault of ours in one stream must not end the others: tell the operator, count it, reset this one.
            self.plane.process.faults += 1
            traceback.print_exc(file=sys.stderr)
            self._link.h2.reset(conn.number, ErrorCodes.INTERNAL_ERROR)
        finally:
            self.waiter.finish()
            # They hold each other, and nothing shall be left to the garbage collector.
            conn.serving = None
            conn.finish(cut=cut)
            self._link.over(conn)

    async def _reject(self, status: int, size: int) -> None:
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
        await self.send(raw)

    def write_request(self, head: Head, extra: bytes, case: dict[bytes, bytes] | None) -> bytes:
        """The head as an HTTP/1 server wants it: a path for a target, and how its body is framed."""
        if head.chunked:
            extra += b"transfer-encoding: chunked\r\n"
        if head.upgrade == b"websocket":
            self._key = b64encode(secrets.token_bytes(16))
            extra += b"sec-websocket-key: %b\r\n" % self._key
        target = head.target
        head.target = origin_form(head)
        try:
            return write.request(head, extra, case)
        finally:
            head.target = target

    def agrees(self, asked: Head, head: Head) -> bool:
        """Is a 101 the answer to what was asked? Nobody behind us checks the key: it is ours."""
        if asked.upgrade == b"websocket":
            return head.get(b"sec-websocket-accept") == accept_of(self._key)
        return super().agrees(asked, head)


class Worker:
    """A task that serves requests of a connection, one after the other: beginning one costs as much as serving does.

    It runs as a tasklet: whoever has something for it steps it in place.
    """

    __slots__ = ("_conn", "_event", "_waiter", "link")

    def __init__(self, link: Http2Session) -> None:
        self.link = link
        self._conn: ClientStream | None = None
        self._event: Request | None = None
        self._waiter: Waiter | None = None

    async def run(self, conn: ClientStream, event: Request) -> None:
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
            await StreamSession(self.link, conn).attend(conn, event)
            if not self.link.spare(self):
                return
            await waiter.park(None)

    def give(self, conn: ClientStream | None, event: Request | None) -> None:
        """Serve this, or (None) end."""
        self._conn, self._event = conn, event
        assert self._waiter is not None
        self._waiter.happened()
