"""An HTTP/1 session: requests in, answers out, in order, over one client connection. HOT.

Rules of this module: one task, no nursery, no scope per request; I/O is tried before it is parked; what depends on
configuration was decided when the plans were built. A stream that ends, however it ends, passes `_finish` once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trilb.http import lane, policy, record, replies, write
from trilb.http.dechunk import dechunk
from trilb.http.framing import Body, ChunkedBody, LengthBody
from trilb.http.h2 import PREFACE
from trilb.http.head import CLOSE, KEEP_ALIVE, UPGRADE, Field, Head, Refusal
from trilb.live.counters import Counters
from trilb.live.effects import (
    Abort,
    Allow,
    Answer,
    Challenge,
    Compose,
    Deny,
    Drop,
    EarlyHint,
    Effect,
    Fail,
    NeedBody,
    Pause,
    Reply,
    Resolve,
    Return,
    Tarpit,
    Upgrade,
    WaitBody,
)
from trilb.live.plan import Errors, FrontendPlan, Route, Step
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.logs.writers import failed
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired, Waiter
from trilb.proxy import connect, relay
from trilb.proxy.connect import Failed
from trilb.proxy.exchange import Exchange, asked_size, size_of
from trilb.proxy.hold import resolved
from trilb.proxy.inspect import inspect
from trilb.proxy.invalid import keep_request
from trilb.proxy.plane import Plane
from trilb.proxy.serverstream import ServerStream
from trilb.proxy.tracks import leave
from trilb.samples.fetch_uri import pathq_of

_READ: Final = 16384
_FAIR: Final = 16
"""Requests served in a row before others get a turn, when a client never lets us wait."""


class Gone(Exception):
    """The client left, or cannot be spoken to any more."""


class HttpSession:
    """The life of a client connection in mode http."""

    __slots__ = (
        "body",
        "client",
        "clock",
        "may_upgrade",
        "plan",
        "plane",
        "previous",
        "session",
        "stream",
        "tunnelled",
        "upload",
        "waiter",
    )

    def __init__(self, plane: Plane, session: Session, client: Conn, *, may_upgrade: bool = False) -> None:
        self.plane = plane
        self.session = session
        self.client = client
        self.clock = plane.clock
        self.plan: FrontendPlan = session.frontend.plan
        self.waiter = Waiter(plane.wheel, client.tasklet)
        self.stream: Stream | None = None
        self.may_upgrade = may_upgrade
        """A client that begins with the preface of HTTP/2 is to be served as such."""
        self.body: Body | None = None
        self.previous: lane.Previous | None = None
        self.tunnelled = False
        self.upload: relay.AnyFlow | None = None

    @property
    def inflight(self) -> bool:
        """Is a request being served?"""
        return self.stream is not None

    def under_way(self) -> Iterator[tuple[Stream, Waiter]]:
        """What is being served, and by what it waits."""
        if self.stream is not None:
            yield self.stream, self.waiter

    # -- the loop --------------------------------------------------------------------------------------------

    async def serve(self) -> bool:
        """Serve requests until the connection ends; True when it is to go on as HTTP/2.

        Never raises but for cancellation.
        """
        session = self.session
        try:
            while True:
                stream = await self.read_request()
                if stream is None:
                    return self.may_upgrade and not session.requests and self.client.inbox.startswith(PREFACE)
                self.stream = stream
                try:
                    keep = await self.run(stream)
                finally:
                    self.finish(stream)
                    self.stream = None
                if not keep:
                    await self._linger()
                    return False
                session.requests += 1
                if not session.requests % _FAIR:
                    await self.waiter.breathe()
        except (Broken, Gone):
            return False
        finally:
            self.waiter.finish()
            session.close_private()

    async def _linger(self) -> None:
        """Let the client read the last answer: end our side, then take what it still sends, for a moment."""
        client = self.client
        if self.tunnelled or client.watch.hangup or client.failed:
            return
        client.shutdown()
        self.waiter.arm(1.0)
        try:
            for _ in range(64):
                data = client.receive()
                if data == b"":
                    return
                if data is None:
                    await self.waiter.park(client.watch)
        except Expired:
            return

    # -- reading a request -------------------------------------------------------------------------------------

    async def read_request(self) -> Stream | None:
        """The next request as a stream, or None when the session is over (whatever there was to say is said)."""
        client, plan, waiter = self.client, self.plan, self.waiter
        session, plane = self.session, self.plane
        first = session.requests == 0
        data = client.inbox
        began = (session.secured or session.accepted) if first else self.clock.now
        idle_since = began
        if first:
            limit = plan.request_timeout or plan.client_timeout
        else:
            limit = plan.keep_alive_timeout or plan.request_timeout or plan.client_timeout
        deadline = began + limit if limit else 0.0
        waiter.until(deadline)
        started = began if first else 0.0
        while True:
            if data:
                if not started or (first and began == started):
                    started = self.clock.now
                    if not first:
                        waiter.arm(plan.request_timeout or plan.client_timeout)
                    first = False
                try:
                    found = self._parse(data)
                except Refusal as refusal:
                    if self.may_upgrade and not session.requests and data.startswith(PREFACE[: len(data)]):
                        if len(data) >= len(PREFACE):
                            client.inbox = data
                            return None
                        found = None
                    else:
                        await self._refuse(refusal, data, started, idle_since)
                        return None
                if found is not None:
                    head, size = found
                    break
            if plane.stopping and not data and session.requests:
                return None
            try:
                more = client.receive(_READ) if client.watch.ready else None
                if more is None:
                    if not data:
                        client.rest()
                    await waiter.park(client.watch)
                    if plane.stopping and not data and session.requests:
                        return None
                    continue
            except Expired:
                if data or not session.requests:
                    await self._timed_out(data, started, idle_since)
                return None
            except Broken:
                if not session.requests or data.strip(b"\r\n"):
                    self._log_bad(400, "C", data, started, idle_since)
                return None
            if not more:
                if data or not session.requests:
                    await self._refuse_closed(data, started, idle_since)
                return None
            data = data + more if data else more
            if data[:1] == b"\r":
                data = data[record.skip_empty_lines(data) :] or data[-2:]
        client.inbox = data[size:] if size < len(data) else b""
        if head.chunked and client.inbox:
            # What came with the head is judged with it.
            try:
                ChunkedBody().feed(client.inbox)
            except Refusal as refusal:
                await self._refuse(refusal, data, started, idle_since)
                return None
        stream = Stream(session, session.frontend)
        stream.request = head
        stream.target, stream.method = head.target, head.method
        stream.accepted = started
        stream.accepted_wall = self.clock.wall
        stream.idle_since = idle_since
        stream.received = self.clock.now
        stream.head_size = size
        stream.bytes_in = asked_size(head)
        session.frontend.counters.streams += 1
        return stream

    def _parse(self, data: bytes) -> tuple[Head, int] | None:
        """A whole request head, or None while more is needed. Raises Refusal."""
        limits = self.plan.limits
        if self.plane.lane:
            previous = self.previous
            if previous is not None:
                found = previous.request(data, limits.unmeasured)
                if found is not None:
                    self.session.frontend.counters.lane_hits += 1
                    return found
            found = lane.request(data)
            if found is not None:
                head, size = found
                self.session.frontend.counters.lane_hits += 1
                policy.request(head, size, limits, True)
                if previous is not None:
                    previous.keep(data, head, size)
                elif self.session.requests:
                    # Many connections carry one request only: it is not kept.
                    self.previous = lane.Previous()
                return found
        parse = record.relaxed_request if limits.relaxed else record.request
        if data[:1] == b"\r":
            skip = record.skip_empty_lines(data)
            if skip:
                found = parse(data[skip:], limits.raw)
                if found is None:
                    return None
                policy.request(found[0], found[1], limits)
                return found[0], found[1] + skip
        found = parse(data, limits.raw)
        if found is not None:
            policy.request(found[0], found[1], limits)
        return found

    def bad_stream(self, status: int, cause: str, started: float, idle_since: float) -> Stream:
        stream = Stream(self.session, self.session.frontend)
        stream.accepted = started or self.clock.now
        stream.accepted_wall = self.clock.wall
        stream.idle_since = idle_since
        stream.status = status
        stream.end(cause, "R")
        self._count_request()
        self.session.frontend.counters.hrsp[status // 100] += 1
        for counters in self.session.tallies():
            counters.ereq += 1
        for each in self.session.tracks(None):
            each.count(each.table.on_request, self.clock.now)
            each.count(each.table.on_error, self.clock.now)
        return stream

    def _count_request(self) -> None:
        counters, process, now = self.session.frontend.counters, self.plane.process, self.clock.now
        counters.req_tot += 1
        counters.req_rate.add(now)
        process.cum_req += 1
        process.req_rate.add(now)

    def _denied(self, stream: Stream, during: str, *, ended: bool = False) -> None:
        """A rule refused a request, or (`during` H) a response: whoever had to do with it counts it.

        A backend does not count a request that was `ended` without an answer (observed).
        """
        counted = list(self.session.tallies())
        if stream.backend is not None and not (ended and during == "R"):
            counted.append(stream.backend.counters)
        if during == "R":
            for counters in counted:
                counters.dreq += 1
            self._at_fault(stream)
            return
        if stream.server is not None:
            counted.append(stream.server.counters)
        for counters in counted:
            counters.dresp += 1

    def _at_fault(self, stream: Stream) -> None:
        """The client made an error, or was denied: what is tracked counts it."""
        if stream.tracked is not None or self.session.tracked is not None:
            for each in self.session.tracks(stream.tracked):
                each.count(each.table.on_error, self.clock.now)

    def _log_bad(self, status: int, cause: str, data: bytes, started: float, idle_since: float) -> None:
        if not data and self.plan.ignore_probes:
            return
        stream = self.bad_stream(status, cause, started, idle_since)
        self.session.frontend.counters.streams += bool(data)
        if data or not self.plan.dontlognull:
            self.log(stream)

    async def _refuse(self, refusal: Refusal, data: bytes, started: float, idle_since: float) -> None:
        """Answer something that was no request, and end the session."""
        keep_request(self.session, data, refusal.reason)
        stream = self.bad_stream(refusal.status, "P", started, idle_since)
        self.session.frontend.counters.streams += 1
        self.log(stream)
        await self._say_raw(refusal.status)

    async def _refuse_closed(self, data: bytes, started: float, idle_since: float) -> None:
        self._log_bad(400, "C", data, started, idle_since)
        if data or not self.plan.ignore_probes:
            await self._say_raw(400)

    async def _timed_out(self, data: bytes, started: float, idle_since: float) -> None:
        self._log_bad(408, "c", data, started, idle_since)
        if data or not self.plan.ignore_probes:
            await self._say_raw(408)

    async def _say_raw(self, status: int) -> None:
        raw = self.plan.raw_errors.get(status)
        if raw is None:
            raw = replies.raw(status)
        try:
            if raw:
                await self.send(raw)
            await self._linger()
        except (Broken, Gone):
            pass

    # -- one request -------------------------------------------------------------------------------------------

    async def run(self, stream: Stream) -> bool:
        """Take a request through its phases; True when the connection may carry another one."""
        head = stream.request
        assert head is not None
        self.body = self.upload = None
        frontend = stream.frontend
        monitor = self.plan.monitor
        if monitor and (head.target == monitor or pathq_of(head.target) == monitor):
            self._count_request()
            frontend.counters.intercepted += 1
            stream.logged = True
            failed = any(when(stream) for when in self.plan.monitor_fail)
            return await self.error(stream, 503 if failed else 200, self.plan.errors)
        if self.session.carried is not None:
            stream.tracked, self.session.carried = self.session.carried, None
        for step in self.plan.capture:
            step(stream)
        for log in self.plan.log_accept:
            log(stream)
        for log in self.plan.log_request:
            log(stream)
        if self.plan.content is not None and not self._switched(stream):
            effect = await self._inspect(stream, self.plan.content, self.plan.inspect_delay)
            if effect is not None:
                return await self.obey(stream, effect, self.plan.errors)
        self._count_request()
        if stream.tracked is not None or self.session.tracked is not None:
            for each in self.session.tracks(stream.tracked):
                each.count(each.table.on_request, self.clock.now)
        if self.plan.buffer_request:
            effect = await self._buffered(stream, self.plan.request_timeout)
            if effect is not None:
                route = self.plan.choose(stream)
                if isinstance(effect, Abort) and effect.cause == "C" and route is not None:
                    # Observed: a client that left is accounted to the backend its request was for.
                    stream.backend = route.backend
                    route.backend.counters.enter(self.clock.now)
                return await self.obey(stream, effect, self.plan.errors)
        for step in self.plan.request:
            effect = step(stream)
            if effect is not None:
                effect = await self._go_on(stream, step, effect)
            if effect is not None:
                return await self.obey(stream, effect, self.plan.errors)
        route = self.plan.choose(stream)
        if route is None:
            stream.received = 0.0
            stream.end("S", "C")
            return await self.error(stream, 503, self.plan.errors)
        backend = route.backend
        stream.backend = backend
        if stream.limits is not None and backend.config is not frontend.config:
            stream.limits.leave_frontend()
        backend.counters.enter(self.clock.now)
        backend.counters.req_tot += 1
        plan = backend.plan
        if route.content is not None:
            effect = await self._inspect(stream, route.content, route.inspect_delay)
            if effect is not None:
                return await self.obey(stream, effect, route.errors)
        if plan.buffer_request and not self.plan.buffer_request:
            effect = await self._buffered(stream, backend.config.timeouts.http_request)
            if effect is not None:
                return await self.obey(stream, effect, route.errors)
        for step in route.rules:
            effect = step(stream)
            if effect is not None:
                effect = await self._go_on(stream, step, effect)
            if effect is not None:
                return await self.obey(stream, effect, route.errors)
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
        for edit in route.edits:
            edit(stream)
        return await self._forward(stream, route, head)

    async def _forward(self, stream: Stream, route: Route, head: Head) -> bool:
        """Send the request to a server and the answer back; retries where that is allowed."""
        plan = route.backend.plan
        client = self.client
        extra = b""
        if not head.connection & UPGRADE or not head.upgrade:
            if route.server_close and not route.pretend:
                extra = b"" if head.version == 10 else b"connection: close\r\n"
            elif head.version == 10:
                if b"close" in (head.get(b"connection") or b"").lower():
                    # A rule said so; an HTTP/1.0 server closes without being told.
                    head.remove(b"connection")
                elif not head.chunked:
                    extra = b"connection: keep-alive\r\n"
        raw = self.write_request(head, extra, plan.case_adjust)
        body: Body | None = None
        if head.chunked:
            body = ChunkedBody(400)
        elif head.length:
            body = LengthBody(head.length)
        if body is not None and client.inbox:
            try:
                payload, used = body.feed(client.inbox)
            except Refusal as refusal:
                stream.request, stream.server, stream.backend = None, None, stream.backend
                self._leave_backend(stream)
                stream.backend, stream.received = None, 0.0
                stream.status = refusal.status
                stream.end("P", "R")
                keep_request(self.session, client.inbox, refusal.reason)
                await self._say_raw(refusal.status)
                return False
            client.inbox = client.inbox[used:]
            raw += payload
        self.body = body
        whole = body is None or body.done
        retryable = plan.retries_answers and whole and not stream.no_l7_retry and len(raw) <= self.plane.bufsize
        fresh = False
        while True:
            try:
                if stream.picked is None and not connect.choose(self.plane, stream, None):
                    await connect.queued(self.plane, stream, self.waiter, client)
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
            if verdict is None:
                # A pooled connection died before it said a word: the request goes over a new one, uncounted.
                fresh = True
                continue
            if verdict == "retry":
                try:
                    await connect.retry(self.plane, stream, self.waiter, client, wait=False)
                except Failed as failed:
                    return await self._failed(stream, failed, route.errors)
                continue
            return verdict == "keep"

    def write_request(self, head: Head, extra: bytes, case: dict[bytes, bytes] | None) -> bytes:
        """The head as it goes to the server."""
        return write.request(head, extra, case)

    def agrees(self, asked: Head, head: Head) -> bool:
        """Is a 101 what was asked for? A websocket server must say what it accepts; the client sees whether it is
        right.
        """
        return bool(asked.upgrade) and (asked.upgrade != b"websocket" or bool(head.get(b"sec-websocket-accept")))

    async def _failed(self, stream: Stream, failed: Failed, errors: Errors) -> bool:
        stream.end(failed.cause, failed.during)
        connect.release(stream)
        if not failed.status:
            backend = stream.backend
            assert backend is not None
            # Who leaves the queue has not been given up by anybody (observed).
            if failed.cause == "C" and failed.during != "Q":
                backend.counters.cli_abrt += 1
            return False
        return await self.error(stream, failed.status, errors)

    # -- answers of our own ------------------------------------------------------------------------------------

    async def obey(self, stream: Stream, effect: Effect, errors: Errors, during: str = "R") -> bool:
        """Do what a rule asked for."""
        if isinstance(effect, Deny):
            self._denied(stream, during)
            stream.end("P", during)
            return await self.error(stream, effect.status, errors, effect.answer)
        if isinstance(effect, Return):
            self._intercepted(stream, during)
            stream.end("L", during)
            return await self.error(stream, effect.status, errors, effect.answer)
        if isinstance(effect, Challenge):
            return await self._challenge(stream, effect, errors)
        if isinstance(effect, Fail):
            self._at_a_loss(stream)
            stream.end("I", during)
            return await self.error(stream, 500, errors)
        if isinstance(effect, Abort):
            for counters in self.session.tallies():
                counters.ereq += 1
            self._at_fault(stream)
            if effect.cause == "c":
                stream.received = 0.0
            stream.end(effect.cause, during)
            await self.error(stream, effect.status, errors)
            return False
        if isinstance(effect, NeedBody):
            ended, body = await self._read_body(stream, effect.most)
            if ended is not None:
                return await self.obey(stream, ended, errors, during)
            self._intercepted(stream, during)
            stream.bytes_in += len(stream.body or b"")
            made = effect.then(body)
            stream.end("L", during)
            return await self.reply(stream, replies.head(made.status, list(made.fields)), made.body)
        if isinstance(effect, Compose):
            pieces: list[str] = []
            for piece in effect.pieces:
                pieces.append(piece)
                await self.waiter.breathe()
            return await self.obey(stream, effect.then("".join(pieces).encode("utf-8", "replace")), errors, during)
        if isinstance(effect, Tarpit):
            return await self._tarpit(stream, effect, errors)
        if isinstance(effect, Drop):
            if during == "R":
                stream.received = 0.0
            stream.end("P", during)
            self._denied(stream, during, ended=True)
            if effect.silent:
                self.client.vanish(effect.ttl)
            return False
        assert isinstance(effect, Reply)
        if effect.denied:
            self._denied(stream, during)
        elif not effect.counted:
            self._intercepted(stream, during)
        stream.end("P" if effect.denied else "L", during)
        head = replies.head(effect.status, list(effect.fields))
        head.reason = effect.reason or head.reason
        request = stream.request
        assert request is not None
        if during == "R" and 301 <= effect.status <= 308 and (request.chunked or request.length > 0):
            head.fields.append((b"connection", b"close"))
        return await self.reply(stream, head, effect.body)

    @staticmethod
    def _intercepted(stream: Stream, during: str) -> None:
        """A frontend answered by itself."""
        if stream.backend is None and during == "R":
            stream.frontend.counters.intercepted += 1

    def _at_a_loss(self, stream: Stream) -> None:
        """We could not do what was asked of us."""
        for counters in self.session.tallies():
            counters.eint += 1
        for thing in (stream.backend, stream.server):
            if thing is not None:
                thing.counters.eint += 1

    async def _go_on(self, stream: Stream, step: Step, effect: Effect | None) -> Effect | None:
        """Do what rules want to take time for, and let them go on; what is left ends the request."""
        while effect is not None:
            if isinstance(effect, EarlyHint):
                fields = list(effect.fields)
                while isinstance(effect := step(stream), EarlyHint):
                    fields += effect.fields
                await self._hint(stream, fields)
                continue
            if isinstance(effect, Pause):
                await self.pause(effect.seconds)
            elif isinstance(effect, Resolve):
                await resolved(self.waiter, effect)
            elif isinstance(effect, WaitBody):
                refused = await self._wait_body(stream, effect.seconds, effect.least)
                if refused is not None:
                    return refused
            else:
                return effect
            effect = step(stream)
        return None

    async def pause(self, seconds: float) -> None:
        """Hold the stream for a time."""
        until = self.clock.now + seconds
        self.waiter.until(until)
        try:
            while self.clock.now < until:
                await self.waiter.park(None)
        except Expired:
            return

    async def _hint(self, stream: Stream, fields: list[Field]) -> None:
        """Send a 103; a client of HTTP/1.0 does not know what that is."""
        request = stream.request
        assert request is not None
        if request.version == 10:
            return
        head = Head(b"", b"", 11, fields)
        head.status, head.reason = 103, b"Early Hints"
        raw, counted = write.response(head, b"", self.plan.case_adjust)
        stream.bytes_out += counted
        await self.send(raw)

    async def _buffered(self, stream: Stream, timeout: float | None) -> Effect | None:
        """`option http-buffer-request`: wait for the body under `timeout http-request` before rules look at it."""
        return await self._wait_body(stream, timeout or self.plan.client_timeout or 0.0, 0)

    async def _wait_body(self, stream: Stream, seconds: float, least: int) -> Effect | None:
        """Gather the request's body in the inbox; what ends the request when it does not come."""
        request, client = stream.request, self.client
        assert request is not None
        if not request.chunked and request.length <= 0:
            stream.body = b""
            return None
        waited = False
        self.waiter.arm(seconds or None)
        try:
            while True:
                if request.chunked:
                    stream.body, whole = dechunk(client.inbox)
                else:
                    stream.body, whole = client.inbox[: request.length], len(client.inbox) >= request.length
                if whole or (least and len(stream.body) >= least) or len(client.inbox) >= self.plane.bufsize:
                    return None
                if not waited and request.version == 11 and request.get(b"expect") is not None:
                    waited = True
                    await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                    request.remove(b"expect")
                data = client.receive(_READ) if client.watch.ready else None
                if data:
                    client.inbox += data
                elif data == b"":
                    return Abort(400, "C")
                else:
                    await self.waiter.park(client.watch)
        except Expired:
            return Abort(408, "c")
        except Broken:
            return Abort(400, "C")

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

    async def _read_body(self, stream: Stream, most: int) -> tuple[Effect | None, bytes | None]:
        """The whole body of a request trilb answers itself, None for a longer one; or else what ends the request.

        It stays in the inbox, from where the reply takes it.
        """
        request = stream.request
        assert request is not None
        if request.length > most:
            return None, None
        ended = await self._wait_body(stream, self.plan.request_timeout or self.plan.client_timeout or 0.0, 0)
        whole = dechunk(self.client.inbox)[1] if request.chunked else True
        body = stream.body or b""
        return ended, body if whole and len(body) <= most else None

    async def _tarpit(self, stream: Stream, effect: Tarpit, errors: Errors) -> bool:
        """Hold the client, then answer; the time shows as queue time."""
        plan = self.plan
        own = stream.backend.config.timeouts.tarpit if stream.backend is not None else None
        pause = connect.own_limit(stream, "tarpit", own or plan.tarpit)
        pause = pause or (stream.backend.plan.connect_timeout if stream.backend else None) or 0.0
        until = self.clock.now + pause
        self._denied(stream, "R")
        self.waiter.until(until)
        try:
            while self.clock.now < until:
                await self.waiter.park(self.client.watch)
                if self.client.watch.hangup:
                    break
        except Expired:
            pass
        stream.dispatched, stream.received = self.clock.now, 0.0
        stream.end("P", "T")
        return await self.error(stream, effect.status, errors, effect.answer)

    async def _challenge(self, stream: Stream, effect: Challenge, errors: Errors) -> bool:
        """Ask for a user: the error page, with the challenge in place of any that it has."""
        request = stream.request
        assert request is not None
        proxied = self.plan.proxy_header and not request.composed and request.target[:1] not in (b"/", b"*")
        status, name = (407, b"proxy-authenticate") if proxied else (401, b"www-authenticate")
        realm = effect.realm
        if realm is None:
            realm = (stream.backend or stream.frontend).name.encode("latin-1")
        stream.end("L", "R")
        self._intercepted(stream, "R")
        self._at_fault(stream)
        made = errors[status](stream) if status in errors else replies.error(status)
        if made is None:
            stream.status = status
            return False
        made[0].set(name, b'Basic realm="%b"' % realm)
        return await self.reply(stream, *made, status)

    async def error(self, stream: Stream, status: int, errors: Errors, answer: Answer | None = None) -> bool:
        """Answer with `answer`, else with the error page of a status, the configured one if there is one."""
        answer = answer or errors.get(status)
        made = answer(stream) if answer is not None else replies.error(status)
        if made is None:
            stream.status = status
            return False
        return await self.reply(stream, *made, status)

    async def reply(self, stream: Stream, head: Head, body: bytes, status: int = 0) -> bool:
        """Send an answer of our own; True when the connection may go on.

        `status` is what it counts as, when an error file says another one.
        """
        request = stream.request
        keep = request is not None and self.client_keeps(request)
        if request is not None and (request.chunked or request.length > 0):
            keep = self._swallow(request) and keep
        stream.response = head
        stream.status = status or head.status
        if stream.backend is not None and stream.backend.config is not stream.frontend.config:
            for step in stream.backend.plan.after:
                step(stream)
        for step in self.plan.after:
            step(stream)
        counted = size_of(head)
        if policy.reply(head):
            keep = False
        extra = b""
        if not keep:
            if head.version == 11:
                extra = b"connection: close\r\n"
        elif head.version == 10 or (request is not None and request.version == 10):
            extra = b"connection: keep-alive\r\n"
        raw, _ = write.response(head, extra, self.plan.case_adjust)
        if request is not None and request.method == b"HEAD":
            body = b""
        stream.bytes_out += counted + len(body)
        await self.send(raw + body)
        return keep

    def _swallow(self, request: Head) -> bool:
        """Take the body of a refused request out of the inbox; True when all of it was there."""
        body = self.body
        if body is None:
            body = ChunkedBody() if request.chunked else LengthBody(request.length)
        elif body.done:
            return True
        try:
            _, used = body.feed(self.client.inbox)
        except Refusal:
            return False
        self.client.inbox = self.client.inbox[used:]
        return body.done

    def client_keeps(self, request: Head) -> bool:
        """May the connection live on after this request, as far as the client is concerned?"""
        if self.plane.stopping or self.plan.close_mode == "httpclose" or request.connection & CLOSE:
            return False
        return request.version == 11 or bool(request.connection & KEEP_ALIVE)

    async def send(self, data: bytes) -> None:
        """Send all of it to the client under `timeout client`. Raises Gone, Broken."""
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

    # -- the end of a stream -------------------------------------------------------------------------------------

    def _leave_backend(self, stream: Stream) -> None:
        connect.release(stream)
        backend = stream.backend
        if backend is not None:
            backend.counters.scur -= 1

    def finish(self, stream: Stream) -> None:
        """Count and log a stream that ended; no await in here."""
        server, backend = stream.server, stream.backend
        if self.body is not None and stream.request is not None:
            spliced = self.upload.moved if isinstance(self.upload, relay.Splice) else 0
            last_chunk = stream.request.chunked and self.body.done and not self.client.multiplexed
            stream.bytes_in += self.body.payload_bytes + spliced + last_chunk
        if stream.tracked is not None or self.session.tracked is not None:
            leave(stream, self.clock.now)
        kind = stream.status // 100
        if not 1 <= kind <= 5:
            kind = 0
        if server is not None and stream.dispatched:
            counters = server.counters
            counters.bin += stream.bytes_in
            counters.bout += stream.bytes_out
        self._leave_backend(stream)
        if backend is not None:
            counters = backend.counters
            counters.bin += stream.bytes_in
            counters.bout += stream.bytes_out
            counters.hrsp[kind] += 1
            if server is not None and stream.responded and stream.dispatched:
                self._took(stream, server.counters, counters)
        elif stream.frontend.own is not None and stream.request is not None:
            counters = stream.frontend.own.counters
            counters.bin += stream.bytes_in
            counters.bout += stream.bytes_out
        counters = stream.frontend.counters
        counters.bin += stream.bytes_in
        counters.bout += stream.bytes_out
        counters.hrsp[kind] += 1
        if self.session.listener is not None:
            self.session.listener.bin += stream.bytes_in
            self.session.listener.bout += stream.bytes_out
        if not stream.logged:
            self.log(stream)

    def _took(self, stream: Stream, server: Counters, backend: Counters) -> None:
        """Count how long each part took, in milliseconds."""
        dispatched, connected, responded = stream.dispatched, stream.connected, stream.responded
        queued = int((dispatched - stream.received) * 1000)
        connect_time = int((connected - dispatched) * 1000)
        response = int((responded - connected) * 1000)
        total = int((self.clock.now - (stream.idle_since or stream.accepted)) * 1000)
        server.took(queued, connect_time, response, total)
        backend.took(queued, connect_time, response, total)

    def log(self, stream: Stream, *, early: bool = False) -> None:
        """Write what is to be logged of a stream that ended, or (logasap) has its response."""
        stream.logged = True
        plan = self.plan
        if plan.dontlog_normal and not failed(stream):
            return
        for write_line in plan.log_early if early else plan.log if stream.request is not None else plan.log_error:
            write_line(stream)
