"""One request on one server connection, and its answer on the way back. HOT.

The session (http1) has chosen the server and written the head; here the request is sent, the response awaited,
edited and relayed, and what went wrong becomes a verdict: keep or close the client's connection, or try again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from trilb.http import lane, policy, record, write
from trilb.http.dechunk import dechunk
from trilb.http.framing import Body, ChunkedBody, CloseBody, LengthBody, UnwantedBody
from trilb.http.head import CLOSE, KEEP_ALIVE, UPGRADE, Head, Refusal
from trilb.live.counters import Counters
from trilb.live.effects import Allow, Deny, Drop, Effect, Pause, WaitBody
from trilb.live.plan import Errors, Route, Step
from trilb.live.stream import Stream
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired
from trilb.proxy import connect, pool, relay
from trilb.proxy.invalid import keep_response
from trilb.proxy.tcp import tunnel
from trilb.proxy.tracks import failed, judge

if TYPE_CHECKING:
    from trilb.proxy.http1 import HttpSession

_READ: Final = 16384
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))


def _close_done(flow: relay.AnyFlow) -> None:
    if flow.done:
        flow.close()


def asked_size(head: Head) -> int:
    """The size of a request's head in HAProxy's accounting, which `bin` and the log's %U show."""
    size = 29 + len(head.method) + len(head.target)
    for name, value in head.fields:
        if name != b"connection":
            size += len(name) + len(value)
    return size if not head.connection & UPGRADE else size + len(b"connection") + len(b"upgrade")


def size_of(head: Head) -> int:
    """The size of a response head in HAProxy's accounting, which the log's %B shows."""
    size = 32 + len(head.reason)
    for name, value in head.fields:
        size += len(name) + len(value)
    return size


class Exchange:
    """One request on one server connection, and its answer on the way back."""

    __slots__ = ("body", "client", "conn", "flow", "http", "raw", "route", "stream", "waiter", "whole")

    def __init__(
        self, http: HttpSession, stream: Stream, route: Route, conn: Conn, raw: bytes, body: Body | None
    ) -> None:
        self.http = http
        self.stream = stream
        self.route = route
        self.conn = conn
        self.raw = raw
        self.body = body
        self.client = http.client
        self.waiter = http.waiter
        self.flow: relay.AnyFlow | None = None
        self.whole = body is None or body.done
        """All of the request is in `raw`, and can be said again."""

    def abandon(self) -> None:
        """Give up the server connection."""
        if self.flow is not None:
            self.flow.close()
        self.conn.close()

    async def run(self, retryable: bool) -> str | None:
        """Send, receive, relay. "keep" or "close" for the client's connection; "retry"; None for a stale pooled one."""
        stream, conn = self.stream, self.conn
        plan = self.route.backend.plan
        asked = stream.request
        assert asked is not None
        failure, how = "", "Close from server (http)"
        try:
            sent = conn.send(self.raw)
            if sent < len(self.raw) or (self.body is not None and not self.body.done):
                rest = self.raw[sent:]
                if self.body is None:
                    self.flow = relay.Flow(self.client, conn, LengthBody(0), rest)
                else:
                    self.flow = self.http.upload = relay.flow(self.client, conn, self.body, rest)
            conn.requests += 1
            got = await self._response_head(asked)
        except Broken:
            got, failure, how = None, "SH", "Read error (http)"
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
            return await self._no_answer(failure or "SH", how, retryable)
        head, size = got
        if (
            retryable
            and str(head.status) in plan.retry_on
            and stream.retries < connect.retries_of(stream, plan.retries)
        ):
            self._drop()
            return "retry"
        return await self._answer(head, size, asked)

    async def _response_head(self, asked: Head) -> tuple[Head, int] | None:
        """Wait for a final response head, sending what is left of the request meanwhile.

        None when the server closed without one. Raises Broken, Expired, Refusal, Truncated.
        """
        conn, client, waiter = self.conn, self.client, self.waiter
        plane = self.http.plane
        plan = self.route.backend.plan
        timeout = connect.own_limit(self.stream, "server", plan.server_timeout)
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
        plane = self.http.plane
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
            self._count_answer(head.status, 1)
            self.stream.bytes_out += size_of(head)
            head.fields = [f for f in head.fields if f[0] not in (b"content-length", b"transfer-encoding")]
            raw += write.response(head, b"", self.http.plan.case_adjust)[0]
        await self.http.send(raw)

    def _drop(self) -> None:
        self.abandon()

    async def _client_left(self) -> str:
        """The client went away before its request was complete, or (abortonclose) before the answer."""
        stream = self.stream
        uploading = self.flow is not None and not self.flow.done
        self._drop()
        stream.end("C", "D" if uploading or self.client.failed else "H")
        self._count_abort(client=True)
        if not uploading and not self.client.failed:
            # abortonclose: it ended its side only, and is told.
            connect.release(stream)
            await self.http.error(stream, 400, self.route.errors)
        return "close"

    async def _bad_body(self) -> str:
        """The client's chunks went wrong after the head was sent."""
        stream = self.stream
        self._drop()
        stream.end("P", "H")
        for counters in stream.session.tallies():
            counters.ereq += 1
        await self.http.error(stream, 400, self.route.errors)
        return "close"

    async def _no_answer(self, failure: str, how: str, retryable: bool) -> str | None:
        """No usable response head: stale, retry, or an error to the client; `how` is for who observes the server."""
        stream, conn = self.stream, self.conn
        plan = self.route.backend.plan
        asked = stream.request
        assert asked is not None
        if stream.cause != "-":
            # Somebody ended the stream: that is no reason to try again.
            retryable = False
            if self.flow is not None and not self.flow.done:
                self._drop()
                return "close"
        stale = stream.cause == "-" and conn.reused and failure == "SH" and not conn.inbox
        if stale and self.whole and (conn.unserved or (self.body is None and asked.method in _IDEMPOTENT)):
            self._drop()
            return None
        self._drop()
        event = {"SH": "empty-response", "PH": "junk-response", "sH": "response-timeout"}[failure]
        if retryable and event in plan.retry_on and stream.retries < connect.retries_of(stream, plan.retries):
            return "retry"
        server = stream.server
        assert server is not None
        if server.observer is not None and stream.cause == "-":
            server.observer.failed(how, self.http.clock.now)
        stream.end(failure[0], failure[1])
        failed(stream, self.http.clock.now)
        server.counters.eresp += 1
        self.route.backend.counters.eresp += 1
        connect.release(stream)
        status = 504 if failure == "sH" else 502
        keep = await self.http.error(stream, status, self.route.errors)
        unfinished = self.flow is not None and not self.flow.done
        return "keep" if keep and not unfinished else "close"

    # -- the answer ----------------------------------------------------------------------------------------------

    async def _answer(self, head: Head, size: int, asked: Head) -> str:
        """Rules, cookies, head and body of the response on their way to the client."""
        stream, http, route = self.stream, self.http, self.route
        backend = route.backend
        plan = backend.plan
        stream.response = head
        stream.req_vars = None
        stream.head_size = size
        stream.status = head.status
        stream.responded = http.clock.now
        counted = size_of(head)
        if stream.tracked is not None or stream.session.tracked is not None:
            process = http.plane.process
            judge(stream, head.status, process.error_codes, process.failure_codes, http.clock.now)
        # Before the request is complete nobody knows where the other protocol begins.
        whole = self.flow is None or self.flow.done
        if head.status == 101 and not (whole and http.agrees(asked, head)):
            return await self._refuse_answer(502)
        server = stream.server
        if server is not None and server.observer is not None:
            server.observer.answered(head.status, http.clock.now)
        if plan.tcp_response is not None:
            stream.position, stream.inspected_server = 0, self.conn.inbox
            effect = plan.tcp_response(stream)
            stream.position = 0
            if effect is not None and not isinstance(effect, Allow):
                # It is as if no response had come.
                stream.status = -1
                stream.end("P", "D")
                return await self._refused_by_rule(effect, counted, route.errors)
        self._count_answer(head.status, 1)
        if plan.learn is not None:
            plan.learn(stream)
        for step in http.plan.capture_response:
            step(stream)
        for log in http.plan.log_response:
            log(stream)
        # A listen section's rules are its backend's; they run once.
        own = self.route.backend.config is stream.frontend.config
        for steps in (plan.response, () if own else http.plan.response):
            for step in steps:
                effect = step(stream)
                if effect is not None:
                    effect = await self._go_on(stream, step, effect)
                if effect is not None:
                    return await self._refused_by_rule(effect, counted, route.errors)
        if plan.cookie_response is not None:
            plan.cookie_response(stream)
        for step in plan.after:
            step(stream)
        for step in () if own else http.plan.after:
            step(stream)
        if head.status == 101 or (asked.method == b"CONNECT" and 200 <= head.status < 300):
            return await self._tunnel(head, counted)
        if head.status in (204,):
            head.fields = [f for f in head.fields if f[0] not in (b"content-length", b"transfer-encoding")]
        body: LengthBody | CloseBody | ChunkedBody | UnwantedBody
        if head.chunked:
            body = ChunkedBody(502)
        elif head.length >= 0:
            body = LengthBody(head.length)
        else:
            body = CloseBody()
        if stream.method == b"HEAD" and asked.method != b"HEAD" and stream.request is asked:
            body = UnwantedBody(body)
        uploading = self.flow is not None and not self.flow.done
        keep = (
            http.client_keeps(asked)
            and not route.client_close
            and not isinstance(body, CloseBody)
            and not uploading
            and not (head.version == 10 and head.chunked)
        )
        extra = b""
        if plan.connection_rules and b"close" in (head.get(b"connection") or b"").lower():
            # A rule said so; the header is there already.
            keep = False
        elif asked.version == 10:
            extra = b"connection: keep-alive\r\n" if keep else b"connection: close\r\n"
            if head.version == 10 and not keep:
                extra = b""
        elif keep:
            if head.version == 10:
                extra = b"connection: keep-alive\r\n"
        elif head.version == 11 and not head.connection & UPGRADE:
            extra = b"connection: close\r\n"
        conn = self.conn
        if head.chunked and conn.multiplexed:
            extra += b"transfer-encoding: chunked\r\n"
        raw, _ = write.response(head, extra, http.plan.case_adjust)
        stream.bytes_out += counted
        if conn.inbox and not body.done:
            try:
                payload, used = body.feed(conn.inbox)
            except Refusal:
                self._count_answer(head.status, -1)
                return await self._refuse_answer(502)
            conn.inbox = conn.inbox[used:]
            raw += payload
        if http.plan.logasap:
            self._log_early(body, head)
        reset_before = self.client.watch.broken
        try:
            sent = self.client.send(raw)
        except Broken:
            # Whether the client left before or after its answer is told by what was known when we wrote.
            stream.bytes_out += body.payload_bytes + (body.done and self._last_block(head))
            if reset_before:
                stream.end("C", "D")
            self._drop()
            return "close"
        if sent == len(raw) and body.done and not uploading:
            stream.bytes_out += body.payload_bytes + self._last_block(head)
            self._give_back(head)
            return "keep" if keep else "close"
        return await self._relay(head, body, raw[sent:], keep)

    def _count_answer(self, status: int, times: int) -> None:
        """A server counts what it answered, whatever becomes of it; -1 times takes it back."""
        server = self.stream.server
        if server is not None:
            kind = status // 100
            server.counters.hrsp[kind if 1 <= kind <= 5 else 0] += times
            server.counters.req_tot += times

    async def _go_on(self, stream: Stream, step: Step, effect: Effect | None) -> Effect | None:
        """Do what response rules want to take time for, and let them go on; what is left ends the response."""
        while effect is not None:
            if isinstance(effect, Pause):
                await self.http.pause(effect.seconds)
            elif isinstance(effect, WaitBody):
                if not await self._wait_body(effect):
                    return Deny(504)
            else:
                return effect
            effect = step(stream)
        return None

    async def _wait_body(self, wanted: WaitBody) -> bool:
        """Gather the response's body in the inbox; False when the time is over."""
        stream, conn = self.stream, self.conn
        head = stream.response
        assert head is not None
        self.waiter.arm(wanted.seconds)
        try:
            while True:
                if head.chunked:
                    stream.res_body, whole = dechunk(conn.inbox)
                else:
                    whole = 0 <= head.length <= len(conn.inbox)
                    stream.res_body = conn.inbox[: head.length] if head.length >= 0 else conn.inbox
                if whole or (wanted.least and len(stream.res_body) >= wanted.least):
                    return True
                if len(conn.inbox) >= self.http.plane.bufsize:
                    return True
                data = conn.receive(_READ) if conn.watch.ready else None
                if data:
                    conn.inbox += data
                elif data == b"":
                    conn.watch.ready = True
                    return True
                else:
                    await self.waiter.park(conn.watch)
        except Expired:
            return False
        except Broken:
            return True

    def _log_early(self, body: Body | None, head: Head) -> None:
        """option logasap: the line is written when the response begins, with what there is of it."""
        stream = self.stream
        had = body.payload_bytes + (head.chunked and body.done) if body is not None else len(self.conn.inbox)
        stream.bytes_out += had
        self.http.log(stream, early=True)
        stream.bytes_out -= had

    async def _refuse_answer(self, status: int) -> str:
        """The response turned out to be unusable: 502, `PH`."""
        stream = self.stream
        failed(stream, self.http.clock.now)
        self._drop()
        stream.end("P", "H")
        stream.bytes_out = 0
        stream.responded = 0.0
        if stream.server is not None:
            stream.server.counters.eresp += 1
            if stream.server.observer is not None:
                stream.server.observer.failed("Invalid http response (headers)", self.http.clock.now)
        self.route.backend.counters.eresp += 1
        connect.release(stream)
        keep = await self.http.error(stream, status, self.route.errors)
        return "keep" if keep else "close"

    async def _refused_by_rule(self, effect: Effect, counted: int, errors: Errors) -> str:
        # The answer that was replaced counts as far as it had come.
        head = self.stream.response
        assert head is not None
        had = len(self.conn.inbox)
        if not isinstance(effect, Drop):
            self.stream.bytes_out += counted + (min(had, head.length) if head.length >= 0 else had)
        self.stream.responded = 0.0
        if (self.flow is None or self.flow.done) and not head.chunked and 0 <= had == head.length:
            # Nothing more will come of it: the connection is as good as before.
            self.conn.inbox = b""
            self._give_back(head)
        else:
            self._drop()
        connect.release(self.stream)
        keep = await self.http.obey(self.stream, effect, errors, "H")
        return "keep" if keep else "close"

    def _give_back(self, head: Head) -> None:
        """The server connection is free: keep it for another stream, or close it."""
        conn, stream = self.conn, self.stream
        server, asked = stream.server, stream.request
        assert server is not None
        assert asked is not None
        reusable = (
            not conn.multiplexed
            and not self.route.server_close
            and not conn.inbox
            and not conn.failed
            and not head.connection & CLOSE
            and (head.version == 11 or head.connection & KEEP_ALIVE)
            and not self.http.plane.stopping
            and not (asked.version == 10 and asked.chunked)
        )
        if reusable and self.route.backend.plan.reuse == "never":
            self.http.session.keep_private(server, conn)
            return
        if not reusable or not pool.put(server, conn, self.http.clock.now):
            conn.close()

    async def _relay(self, head: Head, body: Body, out: bytes, keep: bool) -> str:
        """Move the rest of the body, while what is left of the request goes the other way."""
        stream, client, conn, waiter = self.stream, self.client, self.conn, self.waiter
        http, plan = self.http, self.route.backend.plan
        down = relay.flow(conn, client, body, out)
        up = self.flow if self.flow is not None and not self.flow.done else None
        server_left = client_left = http.clock.now
        client_limit = connect.own_limit(stream, "client", http.plan.client_timeout)
        server_limit = connect.own_limit(stream, "server", plan.server_timeout)
        try:
            while True:
                if client.failed:
                    raise Broken("client gone")
                moved = down.step()
                if up is not None and not up.done:
                    try:
                        moved = up.step() or moved
                    except Broken:
                        # The server may stop reading once it has answered; its answer still counts.
                        if client.failed:
                            raise
                        up, keep = None, False
                if down.done:
                    break
                now = http.clock.now
                if moved:
                    server_left = client_left = now
                    if down.more or (up is not None and up.more):
                        await waiter.breathe()
                        continue
                stuck_on_client = bool(down.out) or (isinstance(down, relay.Splice) and down._held > 0)
                limit = client_limit if stuck_on_client else server_limit
                since = client_left if stuck_on_client else server_left
                waiter.until(since + limit if limit else 0.0)
                try:
                    await waiter.park(conn.watch, client.watch)
                except Expired:
                    stream.end("c" if stuck_on_client else "s", "D")
                    self._count_abort(client=stuck_on_client)
                    self._drop()
                    return "close"
        except (Broken, relay.Truncated, Refusal) as error:
            return self._cut_off(error)
        finally:
            stream.bytes_out += self._payload(down, body)
            if not isinstance(down, relay.Flow):
                down.close()
        stream.bytes_out += self._last_block(head)
        if self.flow is not None and not self.flow.done:
            self._drop()
            return "close"
        self._give_back(head)
        return "keep" if keep else "close"

    def _last_block(self, head: Head) -> int:
        """What the end of a body counts in HAProxy's accounting: its block, which HTTP/2 has only with trailers."""
        return int(self.conn.trailed if self.conn.multiplexed else head.chunked)

    @staticmethod
    def _payload(down: relay.AnyFlow, body: Body) -> int:
        return body.payload_bytes + (down.moved if isinstance(down, relay.Splice) else 0)

    def _cut_off(self, error: Exception) -> str:
        """The body did not arrive whole: S when the server is to blame, C when the client is."""
        stream = self.stream
        blame_client = isinstance(error, Broken) and self.client.failed and not self.conn.failed
        if blame_client:
            stream.end("C", "D")
            self._count_abort(client=True)
        else:
            stream.end("P" if isinstance(error, Refusal) else "S", "D")
            self._count_abort(client=False)
            for counters in self._counters():
                counters.eresp += 1
        self._drop()
        return "close"

    def _counters(self) -> Iterator[Counters]:
        """What counts on the server's side."""
        yield self.route.backend.counters
        if self.stream.server is not None:
            yield self.stream.server.counters

    def _count_abort(self, *, client: bool) -> None:
        for counters in self._counters():
            if client:
                counters.cli_abrt += 1
            else:
                counters.srv_abrt += 1

    async def _tunnel(self, head: Head, counted: int) -> str:
        """After 101, or a CONNECT that succeeded: bytes both ways until both sides are done."""
        stream, http = self.stream, self.http
        raw, _ = write.response(head, b"", http.plan.case_adjust)
        stream.bytes_out += counted
        http.tunnelled = True
        if http.plan.logasap:
            self._log_early(None, head)
        plan = self.route.backend.plan
        before = len(raw)
        moved = await tunnel(
            http.plane,
            stream,
            self.waiter,
            self.client,
            self.conn,
            out_client=raw,
            client_timeout=connect.own_limit(stream, "client", http.plan.client_timeout),
            server_timeout=connect.own_limit(stream, "server", plan.server_timeout),
            tunnel_timeout=connect.own_limit(stream, "tunnel", plan.tunnel_timeout),
            client_fin=http.plan.client_fin,
            server_fin=plan.server_fin,
        )
        stream.bytes_out += max(0, moved - before)
        return "close"
