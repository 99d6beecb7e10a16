"""A request's way through its phases: rules, routing, a server for it, and the answer back. HOT.

Rules of this module: one task, no nursery, no scope per request; I/O is tried before it is parked; what depends on
configuration was decided when the plans were built. A stream that ends, however it ends, passes `finish` once.
"""

from __future__ import annotations

from collections.abc import Iterator

from trilb.http import connection
from trilb.http.framing import of_request
from trilb.http.head import Head, Refusal, asked_size
from trilb.live.effects import Abort, Allow, Effect, Upgrade
from trilb.live.plan import BackendPlan, Errors, Route, Step
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.net.conn import Conn
from trilb.net.poller import Waiter
from trilb.proxy import account, assign, connect, relay, tracks
from trilb.proxy.assign import Failed
from trilb.proxy.clientside import ClientSide
from trilb.proxy.exchange import Exchange
from trilb.proxy.inspect import inspect
from trilb.proxy.invalid import keep_request
from trilb.proxy.obey import obey, proceed
from trilb.proxy.plane import Plane
from trilb.proxy.serverstream import ServerStream
from trilb.samples.fetch_uri import pathq_of


class HttpSession(ClientSide):
    """Serves requests of a client, one at a time, whatever version of HTTP brought them."""

    __slots__ = ("stream",)

    def __init__(self, plane: Plane, session: Session, client: Conn) -> None:
        super().__init__(plane, session, client)
        self.stream: Stream | None = None

    def begin(self, head: Head, size: int, started: float, idle_since: float) -> Stream:
        """A stream for a request whose head of `size` bytes began to come at `started`, awaited since `idle_since`."""
        stream = Stream(self.session, self.session.frontend)
        stream.request = head
        stream.target, stream.method = head.target, head.method
        stream.accepted = started
        stream.accepted_wall = self.clock.wall
        stream.idle_since = idle_since
        stream.received = self.clock.now
        stream.head_size = size
        stream.bytes_in = asked_size(head)
        return stream

    def under_way(self) -> Iterator[tuple[Stream, Waiter]]:
        """What is being served, and by what it waits."""
        if self.stream is not None:
            yield self.stream, self.waiter

    async def run(self, stream: Stream) -> bool:
        """Take a request through its phases; True when the connection may carry another one."""
        head = stream.request
        assert head is not None
        self.body = self.upload = None
        session, front = self.session, self.plan
        monitor = front.monitor
        if monitor and (head.target == monitor or pathq_of(head.target) == monitor):
            account.requested(session)
            stream.frontend.counters.intercepted += 1
            stream.logged = True
            failed = any(when(stream) for when in front.monitor_fail)
            return await self.error(stream, 503 if failed else 200, front.errors)
        if session.carried is not None:
            stream.tracked, session.carried = session.carried, None
        for step in front.capture:
            step(stream)
        for log in front.log_accept:
            log(stream)
        for log in front.log_request:
            log(stream)
        if front.content is not None and not self._switched(stream):
            effect = await self._inspect(stream, front.content, front.inspect_delay)
            if effect is not None:
                return await obey(self, stream, effect, front.errors)
        account.requested(session)
        if stream.tracked is not None or session.tracked is not None:
            tracks.asked(stream, self.clock.now)
        if front.buffer_request:
            effect = await self._buffered(stream, front.request_timeout)
            if effect is not None:
                route = front.choose(stream)
                if isinstance(effect, Abort) and effect.cause == "C" and route is not None:
                    # Observed: a client that left is accounted to the backend its request was for.
                    stream.backend = route.backend
                    route.backend.counters.enter(self.clock.now)
                return await obey(self, stream, effect, front.errors)
        for step in front.request:
            effect = step(stream)
            if effect is not None:
                effect = await proceed(self, stream, step, effect, self.wait_body)
            if effect is not None:
                return await obey(self, stream, effect, front.errors)
        route = front.choose(stream)
        if route is None:
            stream.received = 0.0
            stream.end("S", "C")
            return await self.error(stream, 503, front.errors)
        backend = route.backend
        stream.backend = backend
        if stream.limits is not None and backend.config is not stream.frontend.config:
            stream.limits.leave_frontend()
        backend.counters.enter(self.clock.now)
        backend.counters.req_tot += 1
        back = backend.plan
        if route.content is not None:
            effect = await self._inspect(stream, route.content, route.inspect_delay)
            if effect is not None:
                return await obey(self, stream, effect, route.errors)
        if back.buffer_request and not front.buffer_request:
            effect = await self._buffered(stream, backend.config.timeouts.http_request)
            if effect is not None:
                return await obey(self, stream, effect, route.errors)
        for step in route.rules:
            effect = step(stream)
            if effect is not None:
                effect = await proceed(self, stream, step, effect, self.wait_body)
            if effect is not None:
                return await obey(self, stream, effect, route.errors)
        _prefer(stream, back)
        for edit in route.edits:
            edit(stream)
        return await self._forward(stream, route, head)

    async def _buffered(self, stream: Stream, timeout: float | None) -> Effect | None:
        """`option http-buffer-request`: wait for the body under `timeout http-request` before rules look at it."""
        return await self.wait_body(stream, timeout or self.plan.client_timeout or 0.0, 0)

    def _switched(self, stream: Stream) -> bool:
        """Did content rules look at the request already, in mode tcp? What they set stays."""
        before, self.session.switched = self.session.switched, None
        if before is None:
            return False
        stream.req_vars, stream.txn_vars = before.req_vars, before.txn_vars
        return True

    async def _inspect(self, stream: Stream, rules: Step, delay: float) -> Effect | None:
        """Run content rules over a request whose head is here; some wait for its body, at most for `delay` seconds."""
        request, client = stream.request, self.client
        assert request is not None
        whole = not request.chunked and len(client.inbox) >= request.length
        effect = await inspect(self.waiter, stream, client, rules, 0.0 if whole else delay, self.plane.bufsize)
        return None if isinstance(effect, (Allow, Upgrade)) else effect

    async def _forward(self, stream: Stream, route: Route, head: Head) -> bool:
        """Send the request to a server and the answer back; retries where that is allowed."""
        plan = route.backend.plan
        client = self.client
        extra = connection.to_server(head, route.server_close and not route.pretend)
        raw = self.write_request(head, extra, plan.case_adjust)
        body = of_request(head)
        if body is not None and client.inbox:
            try:
                payload, used = body.feed(client.inbox)
            except Refusal as refusal:
                stream.request = stream.server = None
                _leave_backend(stream)
                stream.backend, stream.received = None, 0.0
                stream.status = refusal.status
                stream.end("P", "R")
                keep_request(self.session, client.inbox, refusal.reason)
                await self.say_raw(refusal.status)
                return False
            client.inbox = client.inbox[used:]
            raw += payload
        self.body = body
        whole = body is None or body.done
        retryable = plan.retries_answers and whole and not stream.no_l7_retry and len(raw) <= self.plane.bufsize
        fresh = False
        while True:
            try:
                if stream.picked is None and not assign.choose(self.plane, stream, None):
                    await assign.queued(self.plane, stream, self.waiter, client)
                first = self.session.requests == 0
                server = None if fresh else connect.standing(self.plane, stream, first)
                if server is None:
                    server = await connect.opened(self.plane, stream, self.waiter, client, first, fresh)
            except Failed as failed:
                return await self._failed(stream, failed, route.errors)
            stream.server_side = server
            if isinstance(server, ServerStream):
                server.prepare(head, stream.target, secured=self.session.tls is not None)
            for log in self.plan.log_connect:
                log(stream)
            exchange = Exchange(self, stream, route, server, raw, body)
            try:
                verdict = await exchange.run(retryable)
            except BaseException:
                exchange.abandon()
                raise
            if verdict == "stale":
                # A pooled connection died before it said a word: the request goes over a new one, uncounted.
                fresh = True
                continue
            if verdict == "retry":
                try:
                    await assign.retry(self.plane, stream, self.waiter, client, wait=False)
                except Failed as failed:
                    return await self._failed(stream, failed, route.errors)
                continue
            return verdict == "keep"

    async def _failed(self, stream: Stream, failed: Failed, errors: Errors) -> bool:
        stream.end(failed.cause, failed.during)
        assign.release(stream)
        if not failed.status:
            backend = stream.backend
            assert backend is not None
            # Who leaves the queue has not been given up by anybody (observed).
            if failed.cause == "C" and failed.during != "Q":
                backend.counters.cli_abrt += 1
            return False
        return await self.error(stream, failed.status, errors)

    def finish(self, stream: Stream) -> None:
        """Count and log a stream that ended; no await in here."""
        body = self.body
        if body is not None and stream.request is not None:
            spliced = self.upload.moved if isinstance(self.upload, relay.Splice) else 0
            last_chunk = stream.request.chunked and body.done and not self.client.multiplexed
            stream.bytes_in += body.payload_bytes + spliced + last_chunk
        if stream.tracked is not None or self.session.tracked is not None:
            tracks.leave(stream, self.clock.now)
        _leave_backend(stream)
        account.ended(stream)


def _prefer(stream: Stream, plan: BackendPlan) -> None:
    """The server that a cookie, `use-server` or a stick table wants, if any."""
    if plan.persist is not None:
        plan.persist(stream)
    if plan.use_server is not None:
        server = plan.use_server(stream)
        if server is not None:
            # Observed: it wins over the cookie, which then counts as unused.
            stream.server, stream.chosen_by_cookie, stream.ignore_persist = server, False, True
            stream.cookie_in = "N" if stream.cookie_in == "N" else "U"
    if plan.stick is not None:
        plan.stick(stream)


def _leave_backend(stream: Stream) -> None:
    assign.release(stream)
    backend = stream.backend
    if backend is not None:
        backend.counters.scur -= 1
