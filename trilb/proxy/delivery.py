"""A response on its way to the client: rules, framing, who closes, and the rest of its body. HOT.

Its head is here and parsed (`exchange`); the request may still be on its way to the server meanwhile.
"""

from __future__ import annotations

from trilb.http import connection, write
from trilb.http.framing import Body, CloseBody, UnwantedBody, of_response
from trilb.http.head import Head, Refusal, answered_size
from trilb.live.effects import Allow, Deny, Drop, Effect
from trilb.live.plan import Route
from trilb.live.stream import Stream, own_limit
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired
from trilb.proxy import account, assign, pool, relay, tracks
from trilb.proxy.clientside import ClientSide
from trilb.proxy.gather import Came, gather
from trilb.proxy.obey import obey, proceed
from trilb.proxy.tcp import tunnel


class Delivery:
    """One response, from the server's connection to the client's. `flow` brings what is left of the request."""

    __slots__ = ("asked", "conn", "flow", "head", "route", "side", "stream")

    def __init__(
        self,
        side: ClientSide,
        stream: Stream,
        route: Route,
        conn: Conn,
        flow: relay.AnyFlow | None,
        asked: Head,
        head: Head,
    ) -> None:
        self.side = side
        self.stream = stream
        self.route = route
        self.conn = conn
        self.flow = flow
        self.asked = asked
        self.head = head

    async def run(self, size: int) -> bool:
        """Edit the head, of `size` bytes, and send all of it; True when the client's connection may go on."""
        stream, side, route, head, asked, conn = self.stream, self.side, self.route, self.head, self.asked, self.conn
        front, plan = side.plan, route.backend.plan
        counted = answered_size(head)
        self._begin(size)
        # Before the request is complete nobody knows where the other protocol begins.
        if head.status == 101 and (self._uploading() or not side.agrees(asked, head)):
            return await self._unusable()
        server = stream.server
        if server is not None and server.observer is not None:
            server.observer.answered(head.status, side.clock.now)
        if plan.tcp_response is not None:
            stream.position, stream.inspected_server = 0, conn.inbox
            effect = plan.tcp_response(stream)
            stream.position = 0
            if effect is not None and not isinstance(effect, Allow):
                # It is as if no response had come.
                stream.status = -1
                stream.end("P", "D")
                return await self._refused(effect, counted)
        account.answered(stream, head.status)
        if plan.learn is not None:
            plan.learn(stream)
        for step in front.capture_response:
            step(stream)
        for log in front.log_response:
            log(stream)
        # A listen section's rules are its backend's; they run once.
        own = route.backend.config is stream.frontend.config
        for steps in (plan.response, () if own else front.response):
            for step in steps:
                effect = step(stream)
                if effect is not None:
                    effect = await proceed(side, stream, step, effect, self._wait_body)
                if effect is not None:
                    return await self._refused(effect, counted)
        if plan.cookie_response is not None:
            plan.cookie_response(stream)
        for step in plan.after:
            step(stream)
        for step in () if own else front.after:
            step(stream)
        stream.bytes_out += counted
        if head.status == 101 or (asked.method == b"CONNECT" and 200 <= head.status < 300):
            return await self._tunnel()
        if head.status == 204:
            head.remove(b"content-length")
            head.remove(b"transfer-encoding")
        framed = of_response(head)
        unwanted = stream.method == b"HEAD" and asked.method != b"HEAD" and stream.request is asked
        body: Body = UnwantedBody(framed) if unwanted else framed
        uploading = self._uploading()
        keep = (
            side.keeps(asked)
            and not route.client_close
            and not isinstance(body, CloseBody)
            and not uploading
            and not (head.version == 10 and head.chunked)
        )
        extra = b""
        if plan.connection_rules and connection.ruled_close(head):
            # The header is there already.
            keep = False
        else:
            extra = connection.to_client(head, asked.version, keep)
        if head.chunked and conn.multiplexed:
            extra += b"transfer-encoding: chunked\r\n"
        raw = write.response(head, extra, front.case_adjust)
        if conn.inbox and not body.done:
            try:
                payload, used = body.feed(conn.inbox)
            except Refusal:
                account.answered(stream, head.status, -1)
                return await self._unusable()
            conn.inbox = conn.inbox[used:]
            raw += payload
        if front.logasap:
            self._log_early(body.payload_bytes + (head.chunked and body.done))
        reset_before = side.client.watch.broken
        try:
            sent = side.client.send(raw)
        except Broken:
            # Whether the client left before or after its answer is told by what was known when we wrote.
            stream.bytes_out += body.payload_bytes + (body.done and self._last_block())
            if reset_before:
                stream.end("C", "D")
            self._drop()
            return False
        if sent == len(raw) and body.done and not uploading:
            stream.bytes_out += body.payload_bytes + self._last_block()
            self._give_back()
            return keep
        return await self._relay(body, raw[sent:]) and keep

    def _begin(self, size: int) -> None:
        """The stream has a response."""
        stream, head, side = self.stream, self.head, self.side
        stream.response = head
        stream.req_vars = None
        stream.head_size = size
        stream.status = head.status
        stream.responded = side.clock.now
        if stream.tracked is not None or stream.session.tracked is not None:
            process = side.plane.process
            tracks.judge(stream, head.status, process.error_codes, process.failure_codes, side.clock.now)

    def _uploading(self) -> bool:
        """Is some of the request still to be sent?"""
        return self.flow is not None and not self.flow.done

    async def _wait_body(self, stream: Stream, seconds: float, least: int) -> Effect | None:
        """Gather the response's body; late is a refusal, and what ended is passed on as it is."""
        side, conn = self.side, self.conn
        side.waiter.arm(seconds)
        stream.res_body, came = await gather(side.waiter, conn, self.head, least, side.plane.bufsize)
        if came is Came.ENDED:
            # The end is to be read again.
            conn.watch.ready = True
        return Deny(504) if came is Came.LATE else None

    def _log_early(self, had: int) -> None:
        """option logasap: the line is written when the response begins, with what there is of it: `had` bytes."""
        stream = self.stream
        stream.bytes_out += had
        account.log(stream, early=True)
        stream.bytes_out -= had

    # -- the body --------------------------------------------------------------------------------------------------

    async def _relay(self, body: Body, out: bytes) -> bool:
        """Move the rest of the body, while what is left of the request goes the other way; True when all went well."""
        stream, side, conn = self.stream, self.side, self.conn
        client, clock, waiter = side.client, side.clock, side.waiter
        down = relay.flow(conn, client, body, out)
        up = self.flow if self._uploading() else None
        server_left = client_left = clock.now
        client_limit = own_limit(stream, "client", side.plan.client_timeout)
        server_limit = own_limit(stream, "server", self.route.backend.plan.server_timeout)
        keep = True
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
                now = clock.now
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
                    account.aborted(stream, client=stuck_on_client)
                    self._drop()
                    return False
        except (Broken, relay.Truncated, Refusal) as error:
            self._cut_off(error)
            return False
        finally:
            stream.bytes_out += body.payload_bytes + (down.moved if isinstance(down, relay.Splice) else 0)
            if not isinstance(down, relay.Flow):
                down.close()
        stream.bytes_out += self._last_block()
        if self._uploading():
            self._drop()
            return False
        self._give_back()
        return keep

    def _last_block(self) -> int:
        """What the end of a body counts in HAProxy's accounting: its block, which HTTP/2 has only with trailers."""
        return int(self.conn.trailed if self.conn.multiplexed else self.head.chunked)

    async def _tunnel(self) -> bool:
        """After 101, or a CONNECT that succeeded: bytes both ways until both sides are done."""
        stream, side, front, plan = self.stream, self.side, self.side.plan, self.route.backend.plan
        raw = write.response(self.head, b"", front.case_adjust)
        side.tunnelled = True
        if front.logasap:
            self._log_early(len(self.conn.inbox))
        moved = await tunnel(
            side.plane,
            stream,
            side.waiter,
            side.client,
            self.conn,
            out_client=raw,
            client_timeout=own_limit(stream, "client", front.client_timeout),
            server_timeout=own_limit(stream, "server", plan.server_timeout),
            tunnel_timeout=own_limit(stream, "tunnel", plan.tunnel_timeout),
            client_fin=front.client_fin,
            server_fin=plan.server_fin,
        )
        stream.bytes_out += max(0, moved - len(raw))
        return False

    # -- the end of the server's part ------------------------------------------------------------------------------

    def _give_back(self) -> None:
        """The server connection is free: keep it for another stream, or close it."""
        conn, side, asked = self.conn, self.side, self.asked
        server = self.stream.server
        assert server is not None
        reusable = (
            not conn.multiplexed
            and not self.route.server_close
            and not conn.inbox
            and not conn.failed
            and connection.persists(self.head)
            and not side.plane.stopping
            and not (asked.version == 10 and asked.chunked)
        )
        if reusable and self.route.backend.plan.reuse == "never":
            side.session.keep_private(server, conn)
        elif not reusable or not pool.put(server, conn, side.clock.now):
            conn.close()

    def _drop(self) -> None:
        """Give up the server connection."""
        if self.flow is not None:
            self.flow.close()
        self.conn.close()

    def _cut_off(self, error: Exception) -> None:
        """The body did not arrive whole: S when the server is to blame, C when the client is."""
        stream = self.stream
        blame_client = isinstance(error, Broken) and self.side.client.failed and not self.conn.failed
        account.aborted(stream, client=blame_client)
        if blame_client:
            stream.end("C", "D")
        else:
            stream.end("P" if isinstance(error, Refusal) else "S", "D")
            account.cut_short(stream)
        self._drop()

    async def _unusable(self) -> bool:
        """The response cannot be passed on: 502, `PH`."""
        stream, side = self.stream, self.side
        account.unusable(stream)
        self._drop()
        stream.end("P", "H")
        stream.bytes_out = 0
        stream.responded = 0.0
        if stream.server is not None and stream.server.observer is not None:
            stream.server.observer.failed("Invalid http response (headers)", side.clock.now)
        assign.release(stream)
        return await side.error(stream, 502, self.route.errors)

    async def _refused(self, effect: Effect, counted: int) -> bool:
        """A rule wants another end. The answer it replaces counts as far as it had come."""
        stream, head = self.stream, self.head
        had = len(self.conn.inbox)
        if not isinstance(effect, Drop):
            stream.bytes_out += counted + (min(had, head.length) if head.length >= 0 else had)
        stream.responded = 0.0
        if not self._uploading() and not head.chunked and 0 <= had == head.length:
            # Nothing more will come of it: the connection is as good as before.
            self.conn.inbox = b""
            self._give_back()
        else:
            self._drop()
        assign.release(stream)
        return await obey(self.side, stream, effect, self.route.errors, "H")
