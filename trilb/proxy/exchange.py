"""One request on one server connection, until the response's head is here. HOT.

The session (phases) has chosen the server and written the head; here the request is sent and the response awaited, and
what went wrong becomes a verdict. The response itself is a Delivery's.
"""

from __future__ import annotations

from typing import Final, Literal

from trilb.http import lane, policy, record, write
from trilb.http.framing import Body, LengthBody
from trilb.http.head import Head, Refusal, answered_size
from trilb.live.plan import Route
from trilb.live.stream import Stream, own_limit, retries_of
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired
from trilb.proxy import account, assign, relay
from trilb.proxy.clientside import ClientSide
from trilb.proxy.delivery import Delivery
from trilb.proxy.invalid import keep_response

_READ: Final = 16384
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))

Verdict = Literal["keep", "close", "retry", "stale"]
"""What is to be done: with the client's connection; or again, on another connection, since a pooled one was stale."""


def _close_done(flow: relay.AnyFlow) -> None:
    if flow.done:
        flow.close()


class Exchange:
    """One request on one server connection."""

    __slots__ = ("body", "client", "conn", "flow", "raw", "route", "side", "stream", "waiter", "whole")

    def __init__(
        self, side: ClientSide, stream: Stream, route: Route, conn: Conn, raw: bytes, body: Body | None
    ) -> None:
        self.side = side
        self.stream = stream
        self.route = route
        self.conn = conn
        self.raw = raw
        self.body = body
        self.client = side.client
        self.waiter = side.waiter
        self.flow: relay.AnyFlow | None = None
        self.whole = body is None or body.done
        """All of the request is in `raw`, and can be said again."""

    def abandon(self) -> None:
        """Give up the server connection."""
        if self.flow is not None:
            self.flow.close()
        self.conn.close()

    async def run(self, retryable: bool) -> Verdict:
        """Send, receive, relay. `retryable` says that the request may be sent again where `retry-on` has the reason."""
        stream, conn = self.stream, self.conn
        plan = self.route.backend.plan
        asked = stream.request
        assert asked is not None
        failure, how = "SH", "Close from server (http)"
        try:
            sent = conn.send(self.raw)
            if sent < len(self.raw) or (self.body is not None and not self.body.done):
                rest = self.raw[sent:]
                if self.body is None:
                    self.flow = relay.Flow(self.client, conn, LengthBody(0), rest)
                else:
                    self.flow = self.side.upload = relay.flow(self.client, conn, self.body, rest)
            conn.requests += 1
            got = await self._response_head(asked)
        except Broken:
            got, how = None, "Read error (http)"
            if self.client.failed and not conn.failed:
                return await self._client_left()
        except relay.Truncated:
            return await self._client_left()
        except Expired:
            got, failure, how = None, "sH", "Read timeout (http)"
        except Refusal as refusal:
            if refusal.status == 400:
                return await self._bad_body()
            keep_response(stream, conn.inbox, refusal.reason)
            got, failure, how = None, "PH", "Invalid http response (headers)"
        if got is None:
            return await self._no_answer(failure, how, retryable)
        head, size = got
        if retryable and str(head.status) in plan.retry_on and stream.retries < retries_of(stream, plan.retries):
            self.abandon()
            return "retry"
        keep = await Delivery(self.side, stream, self.route, conn, self.flow, asked, head).run(size)
        return "keep" if keep else "close"

    def _uploading(self) -> bool:
        """Is some of the request still to be sent?"""
        return self.flow is not None and not self.flow.done

    async def _response_head(self, asked: Head) -> tuple[Head, int] | None:
        """Wait for a final response head, sending what is left of the request meanwhile.

        None when the server closed without one. Raises Broken, Expired, Refusal, Truncated.
        """
        conn, client, waiter = self.conn, self.client, self.waiter
        plane = self.side.plane
        plan = self.route.backend.plan
        timeout = own_limit(self.stream, "server", plan.server_timeout)
        waiter.arm(timeout)
        watched = client.watch if plan.abortonclose or client.multiplexed else None
        interim: list[Head] = []
        while True:
            progress = False
            flow = self.flow
            if flow is not None and not flow.done:
                progress = flow.step()
                _close_done(flow)
            # Right after the request nothing can be there: trying would be a system call wasted.
            data = conn.receive(_READ) if conn.watch.ready else None
            if data is None:
                if progress:
                    waiter.arm(timeout)
                    if flow is not None and flow.more:
                        await waiter.breathe()
                        continue
                uploading = flow is not None and not flow.done
                if watched is not None and client.watch.hangup and not uploading and self._aborted():
                    raise relay.Truncated
                await waiter.park(conn.watch, client.watch if uploading else watched)
                continue
            if not data:
                return None
            inbox = conn.inbox + data if conn.inbox else data
            while True:
                try:
                    got = self._parse(inbox)
                    if got is not None:
                        policy.response(got[0], got[1], plane.limits, asked.method)
                except Refusal:
                    conn.inbox = inbox
                    raise
                if got is None:
                    conn.inbox = inbox
                    break
                head, size = got
                if conn.multiplexed:
                    # HTTP/1 is only how it was handed over.
                    head.spoken = b"2.0"
                    if head.chunked:
                        head.remove(b"transfer-encoding")
                conn.inbox = inbox = inbox[size:]
                if head.status >= 200 or head.status == 101:
                    if interim:
                        await self._say_interim(interim)
                    return head, size
                interim.append(head)
                if not inbox:
                    break
            if interim:
                await self._say_interim(interim)
                interim = []
            waiter.arm(timeout)

    def _parse(self, data: bytes) -> tuple[Head, int] | None:
        plane = self.side.plane
        if plane.lane:
            found = lane.response(data)
            if found is not None:
                return found
        skip = record.skip_empty_lines(data)
        found = record.response(data[skip:] if skip else data, plane.limits.raw)
        return (found[0], found[1] + skip) if found is not None else None

    def _aborted(self) -> bool:
        """abortonclose: has the client really gone, with nothing left to read?"""
        client = self.client
        if client.inbox:
            return False
        try:
            data = client.receive()
        except Broken:
            return True
        if data:
            client.inbox = data
        return data == b""

    async def _say_interim(self, heads: list[Head]) -> None:
        """Pass on the 1xx of one read at once (RFC 9110, 15.2); what comes with them has been parsed already."""
        raw = b""
        for head in heads:
            account.answered(self.stream, head.status)
            self.stream.bytes_out += answered_size(head)
            head.remove(b"content-length")
            head.remove(b"transfer-encoding")
            raw += write.response(head, b"", self.side.plan.case_adjust)
        await self.side.send(raw)

    # -- what went wrong -------------------------------------------------------------------------------------------

    async def _client_left(self) -> Verdict:
        """The client went away before its request was complete, or (abortonclose) before the answer."""
        stream = self.stream
        gone = self._uploading() or self.client.failed
        self.abandon()
        stream.end("C", "D" if gone else "H")
        account.aborted(stream, client=True)
        if not gone:
            # abortonclose: it ended its side only, and is told.
            assign.release(stream)
            await self.side.error(stream, 400, self.route.errors)
        return "close"

    async def _bad_body(self) -> Verdict:
        """The client's chunks went wrong after the head was sent."""
        stream = self.stream
        self.abandon()
        stream.end("P", "H")
        for counters in stream.session.tallies():
            counters.ereq += 1
        await self.side.error(stream, 400, self.route.errors)
        return "close"

    async def _no_answer(self, failure: str, how: str, retryable: bool) -> Verdict:
        """No usable response head: stale, retry, or an error to the client; `how` is for who observes the server."""
        stream, conn = self.stream, self.conn
        plan = self.route.backend.plan
        asked = stream.request
        assert asked is not None
        if stream.cause != "-":
            # Somebody ended the stream: that is no reason to try again.
            retryable = False
            if self._uploading():
                self.abandon()
                return "close"
        stale = stream.cause == "-" and conn.reused and failure == "SH" and not conn.inbox
        if stale and self.whole and (conn.unserved or (self.body is None and asked.method in _IDEMPOTENT)):
            self.abandon()
            return "stale"
        self.abandon()
        event = {"SH": "empty-response", "PH": "junk-response", "sH": "response-timeout"}[failure]
        if retryable and event in plan.retry_on and stream.retries < retries_of(stream, plan.retries):
            return "retry"
        server = stream.server
        assert server is not None
        if server.observer is not None and stream.cause == "-":
            server.observer.failed(how, self.side.clock.now)
        stream.end(failure[0], failure[1])
        account.unusable(stream)
        assign.release(stream)
        status = 504 if failure == "sH" else 502
        keep = await self.side.error(stream, status, self.route.errors)
        return "keep" if keep and not self._uploading() else "close"
