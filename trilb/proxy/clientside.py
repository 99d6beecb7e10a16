"""The client's side of HTTP: what is said to a client, and what more is taken from him. HOT where it keeps and sends.

`Exchange` is the other side. Whatever version a client speaks, his connection takes HTTP/1 (`ClientStream`).
"""

from __future__ import annotations

from typing import Final

from trilb.http import connection, policy, replies, write
from trilb.http.dechunk import dechunk
from trilb.http.framing import Body, of_request
from trilb.http.head import Field, Head, Refusal, answered_size
from trilb.live.effects import Abort, Answer, Effect
from trilb.live.plan import Errors, FrontendPlan
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired, Waiter
from trilb.proxy import relay
from trilb.proxy.gather import Came, arrived, gather
from trilb.proxy.plane import Plane

_LINGER: Final = 1.0
"""Seconds for the client to read the last answer."""


class Gone(Exception):
    """The client left, or cannot be spoken to any more."""


class ClientSide:
    """A client's connection in mode http, and the request that he has under way."""

    __slots__ = ("body", "client", "clock", "plan", "plane", "session", "tunnelled", "upload", "waiter")

    def __init__(self, plane: Plane, session: Session, client: Conn) -> None:
        self.plane = plane
        self.session = session
        self.client = client
        self.clock = plane.clock
        self.plan: FrontendPlan = session.frontend.plan
        self.waiter = Waiter(plane.wheel, client.tasklet)
        self.body: Body | None = None
        """The request's, once it is on its way to a server; `upload` moves what did not come with the head."""
        self.upload: relay.AnyFlow | None = None
        self.tunnelled = False

    # -- what is said ------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Send all of it under `timeout client`. Raises Gone, Broken."""
        client = self.client
        sent = client.send(data)
        if sent == len(data):
            return
        view = memoryview(data)[sent:]
        self.waiter.arm(self.plan.client_timeout)
        try:
            while view:
                await self.waiter.park(client.watch)
                sent = client.send(view)
                if sent:
                    view = view[sent:]
                    self.waiter.arm(self.plan.client_timeout)
        except Expired:
            raise Gone from None

    async def hint(self, stream: Stream, fields: list[Field]) -> None:
        """Send a 103; a client of HTTP/1.0 does not know what that is. Raises Gone, Broken."""
        request = stream.request
        assert request is not None
        if request.version == 10:
            return
        head = Head(b"", b"", 11, fields)
        head.status, head.reason = 103, b"Early Hints"
        stream.bytes_out += answered_size(head)
        await self.send(write.response(head, b"", self.plan.case_adjust))

    async def error(self, stream: Stream, status: int, errors: Errors, answer: Answer | None = None) -> bool:
        """Answer with `answer`, else with the error page of a status, the configured one if there is one."""
        answer = answer or errors.get(status)
        made = answer(stream) if answer is not None else replies.error(status)
        if made is None:
            stream.status = status
            return False
        return await self.reply(stream, *made, status)

    async def reply(self, stream: Stream, head: Head, body: bytes, status: int = 0) -> bool:
        """Send an answer of our own; True when the connection may go on. Raises Gone, Broken.

        `status` is what it counts as, when an error file says another one.
        """
        request = stream.request
        keep = request is not None and self.keeps(request)
        if request is not None and (request.chunked or request.length > 0):
            keep = self._swallow(request) and keep
        stream.response = head
        stream.status = status or head.status
        if stream.backend is not None and stream.backend.config is not stream.frontend.config:
            for step in stream.backend.plan.after:
                step(stream)
        for step in self.plan.after:
            step(stream)
        counted = answered_size(head)
        if policy.reply(head):
            keep = False
        extra = connection.to_client(head, request.version if request is not None else 11, keep)
        raw = write.response(head, extra, self.plan.case_adjust)
        if request is not None and request.method == b"HEAD":
            body = b""
        stream.bytes_out += counted + len(body)
        await self.send(raw + body)
        return keep

    def _swallow(self, request: Head) -> bool:
        """Take the body of a refused request out of the inbox; True when all of it was there."""
        body = self.body or of_request(request)
        if body is None or body.done:
            return True
        try:
            _, used = body.feed(self.client.inbox)
        except Refusal:
            return False
        self.client.inbox = self.client.inbox[used:]
        return body.done

    async def say_raw(self, status: int) -> None:
        """The last word to a client that sent no request: a fixed page, and the end."""
        raw = self.plan.raw_errors.get(status)
        if raw is None:
            raw = replies.raw(status)
        try:
            if raw:
                await self.send(raw)
            await self.linger()
        except (Broken, Gone):
            pass

    async def linger(self) -> None:
        """Let the client read the last answer: end our side, then take what it still sends, for a moment."""
        client = self.client
        if self.tunnelled or client.watch.hangup or client.failed:
            return
        client.shutdown()
        self.waiter.arm(_LINGER)
        try:
            for _ in range(64):
                data = client.receive()
                if data == b"":
                    return
                if data is None:
                    await self.waiter.park(client.watch)
        except Expired:
            return

    # -- what is asked -----------------------------------------------------------------------------------------

    def write_request(self, head: Head, extra: bytes, case: dict[bytes, bytes] | None) -> bytes:
        """The head as it goes to the server."""
        return write.request(head, extra, case)

    def agrees(self, asked: Head, head: Head) -> bool:
        """Is a 101 what was asked for? A websocket server must say what it accepts; the client sees if it is right."""
        return bool(asked.upgrade) and (asked.upgrade != b"websocket" or bool(head.get(b"sec-websocket-accept")))

    def keeps(self, request: Head) -> bool:
        """May the connection live on after this request, as far as the client is concerned?"""
        return not self.plane.stopping and self.plan.close_mode != "httpclose" and connection.persists(request)

    async def wait_body(self, stream: Stream, seconds: float, least: int) -> Effect | None:
        """Gather the request's body, or `least` bytes of it if not 0; what ends the request when it does not come."""
        request, client, most = stream.request, self.client, self.plane.bufsize
        assert request is not None
        if not request.chunked and request.length <= 0:
            stream.body = b""
            return None
        self.waiter.arm(seconds or None)
        if request.version == 11 and request.get(b"expect") is not None:
            stream.body, enough = arrived(request, client.inbox, least, most)
            if not enough:
                try:
                    await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                except Broken:
                    return Abort(400, "C")
                request.remove(b"expect")
        stream.body, came = await gather(self.waiter, client, request, least, most)
        if came is Came.ENOUGH:
            return None
        return Abort(408, "c") if came is Came.LATE else Abort(400, "C")

    async def whole_body(self, stream: Stream, most: int) -> tuple[Effect | None, bytes | None]:
        """The body of a request that is answered here, None if longer than `most` bytes; or what ends the request.

        It stays in the inbox, from where the reply takes it.
        """
        request = stream.request
        assert request is not None
        if request.length > most:
            return None, None
        ended = await self.wait_body(stream, self.plan.request_timeout or self.plan.client_timeout or 0.0, 0)
        whole = not request.chunked or dechunk(self.client.inbox)[1]
        body = stream.body or b""
        return ended, body if whole and len(body) <= most else None
