"""An HTTP/1 connection: requests in, one after the other, each served before the next one is read. HOT.

Rules of this module: one task, no nursery, no scope per request; I/O is tried before it is parked.
"""

from __future__ import annotations

from typing import Final

from trilb.http import lane, policy, record
from trilb.http.framing import ChunkedBody
from trilb.http.h2 import PREFACE
from trilb.http.head import Head, Refusal
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired
from trilb.proxy import account
from trilb.proxy.clientside import Gone
from trilb.proxy.invalid import keep_request
from trilb.proxy.phases import HttpSession
from trilb.proxy.plane import Plane

_READ: Final = 16384
_FAIR: Final = 16
"""Requests served in a row before others get a turn, when a client never lets us wait."""


class Http1Session(HttpSession):
    """The life of a client connection that speaks HTTP/1."""

    __slots__ = ("may_upgrade", "previous")

    def __init__(self, plane: Plane, session: Session, client: Conn, *, may_upgrade: bool = False) -> None:
        super().__init__(plane, session, client)
        self.may_upgrade = may_upgrade
        """A client that begins with the preface of HTTP/2 is to be served as such."""
        self.previous: lane.Previous | None = None

    @property
    def inflight(self) -> bool:
        """Is a request being served?"""
        return self.stream is not None

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
                    await self.linger()
                    return False
                session.requests += 1
                if not session.requests % _FAIR:
                    await self.waiter.breathe()
        except (Broken, Gone):
            return False
        finally:
            self.waiter.finish()
            session.close_private()

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
                    await self._give_up(408, "c", data, started, idle_since)
                return None
            except Broken:
                if not session.requests or data.strip(b"\r\n"):
                    self._log_bad(400, "C", data, started, idle_since)
                return None
            if not more:
                if data or not session.requests:
                    await self._give_up(400, "C", data, started, idle_since)
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
        session.frontend.counters.streams += 1
        return self.begin(head, size, started, idle_since)

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

    # -- what was no request -----------------------------------------------------------------------------------

    async def _refuse(self, refusal: Refusal, data: bytes, started: float, idle_since: float) -> None:
        """Answer something that was no request, and end the session."""
        keep_request(self.session, data, refusal.reason)
        stream = account.bad(self.session, refusal.status, "P", started, idle_since)
        self.session.frontend.counters.streams += 1
        account.log(stream)
        await self.say_raw(refusal.status)

    async def _give_up(self, status: int, cause: str, data: bytes, started: float, idle_since: float) -> None:
        """Answer a request that did not come whole, if at all."""
        self._log_bad(status, cause, data, started, idle_since)
        if data or not self.plan.ignore_probes:
            await self.say_raw(status)

    def _log_bad(self, status: int, cause: str, data: bytes, started: float, idle_since: float) -> None:
        if not data and self.plan.ignore_probes:
            return
        stream = account.bad(self.session, status, cause, started, idle_since)
        self.session.frontend.counters.streams += bool(data)
        if data or not self.plan.dontlognull:
            account.log(stream)
