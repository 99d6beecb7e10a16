"""A TCP session: one tunnel, both directions in one task, half-close passed on. HOT."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

from trilb.config.model import Mode
from trilb.live.effects import Allow, Drop, Effect, More, Upgrade
from trilb.live.plan import BackendPlan, FrontendPlan, Step
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.logs.writers import failed
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired, Waiter
from trilb.proxy import account, assign, connect, relay
from trilb.proxy.assign import Failed
from trilb.proxy.inspect import inspect, sniff
from trilb.proxy.plane import Plane
from trilb.proxy.tracks import leave

PAYLOAD_WAIT = 5.0
"""Seconds to wait for the first bytes where balancing needs them (rdp-cookie). Arbitrary: RDP clients speak first."""


async def tunnel(
    plane: Plane,
    stream: Stream,
    waiter: Waiter,
    client: Conn,
    server: Conn,
    *,
    out_client: bytes = b"",
    out_server: bytes = b"",
    client_timeout: float | None,
    server_timeout: float | None,
    tunnel_timeout: float | None,
    client_fin: float | None = None,
    server_fin: float | None = None,
    up: relay.AnyFlow | None = None,
) -> int:
    """Move bytes until both sides ended, one failed, or nothing moved for too long; sets the termination letters.

    Returns the bytes moved to the client. Timeouts are seconds; `tunnel_timeout` replaces both once bytes have
    gone both ways, the `fin` ones apply after one side has ended (configuration.txt, `timeout tunnel`). `up` is the
    way to the server where it has begun already.
    """
    clock = plane.clock
    up = up or relay.Through(client, server, out_server)
    down = relay.Through(server, client, out_client)
    up_shut = down_shut = both = False
    seen = clock.now
    limit, letter = _first(client_timeout, server_timeout)
    try:
        while not (up_shut and down_shut):
            moved = False
            if not up.done:
                moved = up.step()
            if not down.done:
                moved = down.step() or moved
            if moved:
                seen = clock.now
            changed = False
            if up.done and not up_shut:
                up_shut = changed = True
                server.shutdown()
            if down.done and not down_shut:
                down_shut = changed = True
                client.shutdown()
                if stream.cause != "-":
                    # Not the server ended: the stream was ended, and with it what the client may still have to say.
                    break
            if up_shut and down_shut:
                break
            if changed:
                seen = clock.now
                limit, letter = _first(
                    None if up_shut else client_timeout if client_fin is None else client_fin,
                    None if down_shut else server_timeout if server_fin is None else server_fin,
                )
            elif moved and not both and up.moved and down.moved:
                both = True
                if tunnel_timeout is not None and not up_shut and not down_shut:
                    limit, letter = tunnel_timeout, "c"
            if up.more or down.more:
                await waiter.breathe()
                continue
            waiter.until(seen + limit if limit is not None else 0.0)
            try:
                await waiter.park(client.watch, server.watch)
            except Expired:
                stream.end(letter, "D")
                break
    except Broken:
        stream.end("C" if client.failed and not server.failed else "S", "D")
    finally:
        up.close()
        down.close()
        server.close()
        stream.bytes_in += up.moved
    return down.moved + len(out_client)


def _first(client: float | None, server: float | None) -> tuple[float | None, str]:
    """The shorter of two limits in seconds, with the letter of who is blamed when it is over."""
    if server is None or (client is not None and client <= server):
        return client, "c"
    return server, "s"


class TcpSession:
    """The life of a client connection in mode tcp."""

    __slots__ = ("client", "inflight", "plan", "plane", "proto", "session", "stream", "waiter")

    def __init__(self, plane: Plane, session: Session, client: Conn) -> None:
        self.plane = plane
        self.session = session
        self.client = client
        self.plan: FrontendPlan = session.frontend.plan
        self.waiter = Waiter(plane.wheel, client.tasklet)
        self.inflight = True
        self.stream: Stream | None = None
        self.proto = ""
        """The version of HTTP that a rule said to go on with."""

    async def serve(self) -> bool:
        """Serve the one stream of the connection; True when it is to go on as HTTP. Raises only when cancelled."""
        stream = self.stream = Stream(self.session, self.session.frontend)
        stream.cookie_in = stream.cookie_out = "-"
        upgraded = False
        try:
            upgraded = await self._run(stream)
        except Broken:
            stream.end("C", "D")
        finally:
            self.waiter.finish()
            if upgraded:
                self.session.carried, self.session.switched = stream.tracked, stream
            else:
                self._finish(stream)
        return upgraded

    def under_way(self) -> Iterator[tuple[Stream, Waiter]]:
        """What is being served, and by what it waits."""
        if self.stream is not None:
            yield self.stream, self.waiter

    async def _inspected(self, stream: Stream, rules: Step | None, delay: float) -> Effect | None:
        """What content rules say: None to go on; a refusal is counted and shows in the log."""
        if rules is None:
            return None
        effect = await inspect(self.waiter, stream, self.client, rules, delay, self.plane.bufsize, self.plane)
        if effect is None or isinstance(effect, (Allow, Upgrade)):
            return effect if isinstance(effect, Upgrade) else None
        for counters in self.session.tallies():
            counters.dreq += 1
        stream.end("P", "R")
        # Sticky counters count what was looked at, the log does not (observed).
        stream.inner_bytes = len(self.client.inbox)
        self._turn_away(stream, effect)
        return effect

    def _turn_away(self, stream: Stream, effect: Effect | None) -> None:
        """Close towards the client, the end first: bytes that nobody took make the system reset the connection."""
        if isinstance(effect, Drop) and effect.silent:
            self.client.vanish(effect.ttl)
            return
        with suppress(Broken):
            self.client.shutdown()
            stream.bytes_in += len(self.client.receive(65536) or b"")
        self.client.close()

    async def _run(self, stream: Stream) -> bool:
        plan, plane, client = self.plan, self.plane, self.client
        for log in plan.log_accept:
            log(stream)
        effect = await self._inspected(stream, plan.content, plan.inspect_delay)
        if effect is not None:
            if isinstance(effect, Upgrade):
                self.proto = effect.proto
                return True
            return False
        if plan.peeks and client.watch.ready and not client.inbox:
            client.inbox = client.receive() or b""
        if plan.peeks:
            stream.inspected = client.inbox
            sniff(stream, client.inbox, plane)
        route = plan.choose(stream)
        if route is None:
            stream.end("S", "C")
            self._turn_away(stream, None)
            return False
        backend = route.backend
        if backend.config.mode is Mode.HTTP:
            return True
        stream.backend = backend
        backend.counters.enter(plane.clock.now)
        if await self._inspected(stream, route.content, route.inspect_delay) is not None:
            return False
        if backend.plan.use_server is not None:
            stream.server = backend.plan.use_server(stream)
        if backend.plan.stick is not None:
            backend.plan.stick(stream)
        if backend.plan.payload:
            await self._peek(stream)
        try:
            server = await connect.establish(plane, stream, self.waiter, client, True)
        except Failed as failed:
            stream.end(failed.cause, failed.during)
            if client.watch.hangup or failed.cause == "C":
                backend.counters.cli_abrt += 1
            self._turn_away(stream, None)
            return False
        stream.server_side = server
        if stream.server is not None and stream.server.observer is not None:
            stream.server.observer.connected()
        for log in plan.log_connect:
            log(stream)
        if plan.logasap:
            stream.logged = True
            self._log(stream, early=True)
        up = None
        if backend.plan.tcp_response is not None:
            up = await self._inspect_response(stream, server, backend.plan)
            if up is None:
                return False
        if backend.plan.learn is not None:
            stream.inspected_server = server.inbox
            backend.plan.learn(stream)
        stream.bytes_out += await tunnel(
            plane,
            stream,
            self.waiter,
            client,
            server,
            client_timeout=plan.client_timeout,
            server_timeout=backend.plan.server_timeout,
            tunnel_timeout=backend.plan.tunnel_timeout,
            client_fin=plan.client_fin,
            server_fin=backend.plan.server_fin,
            up=up,
        )
        if stream.cause in "CcSs":
            account.aborted(stream, client=stream.cause in "Cc")
        return False

    async def _inspect_response(self, stream: Stream, server: Conn, plan: BackendPlan) -> relay.AnyFlow | None:
        """Run tcp-response content rules while the client's bytes go on; None when the connection is refused."""
        client, waiter, rules = self.client, self.waiter, plan.tcp_response
        assert rules is not None
        up = relay.Through(client, server)
        stream.position = 0
        stream.inspect_done = not plan.response_inspect_delay
        waiter.arm(plan.response_inspect_delay or None)
        while True:
            stream.inspected_server = server.inbox
            effect = rules(stream)
            if not isinstance(effect, More):
                break
            moved = not up.done and up.step()
            data = server.receive() if server.watch.ready else None
            if data:
                server.inbox += data
            if data == b"" or len(server.inbox) >= self.plane.bufsize:
                stream.inspect_done = True
            elif not data and not moved:
                try:
                    await waiter.park(client.watch, server.watch)
                except Expired:
                    stream.inspect_done = True
        if effect is None or isinstance(effect, Allow):
            return up
        up.close()
        server.close()
        account.denied(stream, "D")
        stream.bytes_in += up.moved
        # What had come is counted, as HAProxy counts it, though the client never sees it.
        stream.bytes_out += len(server.inbox)
        stream.end("P", "D")
        self._turn_away(stream, effect)
        return None

    async def _peek(self, stream: Stream) -> None:
        """Look at the first bytes without taking them; they are balanced on (rdp-cookie)."""
        self.waiter.arm(min(PAYLOAD_WAIT, self.plan.client_timeout or PAYLOAD_WAIT))
        try:
            while True:
                try:
                    data = self.client.sock.recv(512, socket.MSG_PEEK)
                except BlockingIOError:
                    await self.waiter.park(self.client.watch)
                    continue
                except OSError:
                    return
                stream.target = data
                if not data or len(data) >= 11:
                    return
                await self.waiter.park(self.client.watch)
        except Expired:
            return

    def _finish(self, stream: Stream) -> None:
        if stream.tracked is not None or self.session.tracked is not None:
            leave(stream, self.plane.clock.now)
        assign.release(stream)
        backend = stream.backend
        tallies = [stream.frontend.counters]
        if backend is not None:
            if stream.server is not None and stream.connected:
                queued = int((stream.dispatched - stream.accepted) * 1000)
                connected = int((stream.connected - stream.dispatched) * 1000)
                total = int((self.plane.clock.now - stream.accepted) * 1000)
                for one in (stream.server.counters, backend.counters):
                    one.took(queued, connected, 0, total)
            backend.counters.scur -= 1
            tallies.append(backend.counters)
            if stream.server is not None:
                tallies.append(stream.server.counters)
        if self.session.listener is not None:
            tallies.append(self.session.listener)
        for counters in tallies:
            counters.bin += stream.bytes_in
            counters.bout += stream.bytes_out
        if not stream.logged:
            self._log(stream)

    def _log(self, stream: Stream, *, early: bool = False) -> None:
        plan = self.plan
        if plan.dontlognull and not stream.bytes_in and not stream.logged:
            return
        if plan.dontlog_normal and not failed(stream):
            return
        for write in plan.log_early if early else plan.log:
            write(stream)
