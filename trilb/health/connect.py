"""The plainest check: connect, with a handshake where the server speaks TLS, and close."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from trilb.health.verdict import report
from trilb.live.check import FAILED, PASSED, Check
from trilb.live.server import Server
from trilb.net.conn import Broken, Conn, connect, connect_error
from trilb.net.poller import Expired, Poller, Waiter
from trilb.tls.conn import TlsConn


class Connecting:
    """Connects within `timeout` seconds, or the interval where that is less."""

    def __init__(self, poller: Poller, timeout: float | None) -> None:
        self._poller = poller
        self._timeout = timeout

    def settle(self, server: Server, check: Check, now: float) -> None:
        """Rise or fall."""
        report(server, check, now)

    async def probe(self, server: Server, check: Check, waiter: Waiter) -> None:
        """Try once."""
        reason, check.text = await self._try(server, check, waiter)
        good = "L6OK" if server.probe is not None and server.probe.tls is not None else "L4OK"
        check.status, check.result = reason or good, FAILED if reason else PASSED

    async def _try(self, server: Server, check: Check, waiter: Waiter) -> tuple[str, str]:
        """HAProxy's code when it failed and the system's words, or two empty strings."""
        line = server.line
        address = server.address
        if address is None:
            return "L4CON", "no address"
        if isinstance(address, tuple) and (check.port or check.address):
            address = (check.address or address[0], check.port or address[1])
        probe = server.probe
        make = TlsConn if probe is not None and probe.tls is not None else Conn
        try:
            conn, ready = connect(server.family, address, self._poller, None, make)
        except Broken as broken:
            return "L4CON", str(broken)
        secured = False
        try:
            waiter.arm(min(self._timeout, line.inter) if self._timeout else line.inter)
            while not ready:
                await waiter.park(conn.watch)
                code = connect_error(conn)
                if code:
                    return "L4CON", os.strerror(code)
                ready = code == 0
            if probe is None:
                return "", ""
            if probe.header:
                conn.send(probe.header)
            if probe.tls is not None and isinstance(conn, TlsConn):
                secured = True
                conn.begin(probe.tls.context, server_name=probe.name)
                while not conn.handshake():
                    await waiter.park(conn.watch)
            return "", ""
        except Broken as broken:
            return ("L6RSP" if secured else "L4CON"), str(broken)
        except Expired:
            return ("L6TOUT" if secured else "L4TOUT"), ""
        finally:
            # Nobody waits for the end of a check: no port is to linger for it. A reset would cut a handshake short.
            with suppress(OSError):
                if not secured:
                    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            conn.close()
