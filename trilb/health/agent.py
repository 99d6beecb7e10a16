"""Agent checks: a server, or somebody who knows it, says how much it can take (configuration.txt, `agent-check`).

An agent that cannot be reached says nothing: whether the server can be is its health check's to find out. An agent goes
on in maintenance, which it may have asked for itself.
"""

from __future__ import annotations

import os
import socket

from trilb.health import results, states
from trilb.health.agent_reply import Reply, line_of, read, shown
from trilb.health.verdict import healthy
from trilb.health.weights import limit, weigh
from trilb.live.check import FAILED, NEUTRAL, PASSED, Check
from trilb.live.server import Server
from trilb.net.address import Sockaddr
from trilb.net.conn import Broken, Conn, connect, connect_error
from trilb.net.poller import Expired, Poller, Waiter

_MOST = 16384
"""Bytes from which on a line that has not ended is none (HAProxy's buffer)."""


class Agent:
    """Asks a server's agent, within `timeout` seconds, or the interval where there is no `timeout check`."""

    def __init__(self, poller: Poller, timeout: float | None) -> None:
        self._poller = poller
        self._timeout = timeout
        self._reply: Reply | None = None

    async def probe(self, server: Server, check: Check, waiter: Waiter) -> None:
        """Ask once. A line that breaks off leaves what is known as it is (observed)."""
        self._reply = None
        check.result, check.text = NEUTRAL, ""
        try:
            conn = await self._connect(server, check, waiter)
        except Broken as broken:
            results.settle(check, "L4CON", str(broken))
            return
        except Expired:
            results.settle(check, "L4TOUT")
            return
        try:
            heard = await _ask(conn, check.send, waiter)
        except Broken as broken:
            results.settle(check, "SOCKERR", str(broken))
            return
        except Expired:
            results.settle(check, "L7TOUT")
            return
        finally:
            conn.close()
        if not heard:
            results.settle(check, "L7RSP", "TCPCHK got an empty response at step 2")
            return
        line = line_of(heard)
        if line is not None:
            self._reply = read(line)

    async def _connect(self, server: Server, check: Check, waiter: Waiter) -> Conn:
        """Raises Broken, Expired."""
        family, address = _target(server, check)
        conn, ready = connect(family, address, self._poller)
        waiter.arm(self._timeout or check.inter)
        try:
            while not ready:
                await waiter.park(conn.watch)
                code = connect_error(conn)
                if code:
                    raise Broken(os.strerror(code))
                ready = code == 0
        except BaseException:
            conn.close()
            raise
        return conn

    def settle(self, server: Server, check: Check, now: float) -> None:
        """Do what the agent said: administration first, then weight and maxconn, then the state."""
        reply = self._reply
        if reply is None:
            if check.result == FAILED:
                self._tell(server, check, changed=False)
            return
        if reply.admin and reply.state:
            # One that comes back from maintenance is at once what it says to be.
            check.health = check.top if reply.state.lower() == "up" else 0
        if reply.admin:
            states.force(server, reply.admin, now)
        complaint = weigh(server, reply.weight, now) if reply.weight else ""
        if reply.maxconn is not None:
            complaint = complaint or limit(server, reply.maxconn)
        if not reply.state:
            check.status = check.known = "CHECKED"
            check.result, check.code = NEUTRAL, 0
            return
        up = reply.state.lower() == "up"
        results.settle(check, "L7OK" if up else "L7STS", shown(reply, complaint))
        self._judge(server, check, now)

    def _judge(self, server: Server, check: Check, now: float) -> None:
        if check.result == PASSED:
            changed = check.health < check.top
            check.health = check.top
            self._tell(server, check, changed=changed)
            if healthy(server):
                states.start(server, now, check)
        else:
            changed = check.health > 0
            check.health = 0
            self._tell(server, check, changed=changed)
            states.stop(server, now, check)

    def _tell(self, server: Server, check: Check, *, changed: bool) -> None:
        news, check.known = changed or check.status != check.known, check.status
        if news and "log-health-checks" in server.backend.config.options:
            server.backend.say(results.line(server, check, "Agent"), "notice")


def _target(server: Server, check: Check) -> tuple[int, Sockaddr]:
    """Where the agent listens. Raises Broken."""
    if check.address:
        return (socket.AF_INET6 if ":" in check.address else socket.AF_INET), (check.address, check.port)
    if server.address is None:
        raise Broken("no address")
    if isinstance(server.address, tuple):
        return server.family, (server.address[0], check.port)
    return server.family, server.address


async def _ask(conn: Conn, words: bytes, waiter: Waiter) -> bytes:
    """Say the words, and hear a line, or what there is until the agent closes. Raises Broken, Expired."""
    while words:
        sent = conn.send(words)
        words = words[sent:]
        if not sent:
            await waiter.park(conn.watch)
    heard = b""
    while len(heard) < _MOST:
        data = conn.receive() if conn.watch.ready else None
        if data is None:
            await waiter.park(conn.watch)
        elif not data:
            return heard
        else:
            heard += data
            if b"\n" in data or b"\r" in data:
                return heard
    return heard
