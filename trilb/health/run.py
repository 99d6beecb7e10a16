"""The checks themselves: a connection to each checked server, secured where it speaks TLS, one task a server.

The room's only I/O.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import trio

from trilb.health.verdict import interval, report
from trilb.live.check import FAILED, PASSED
from trilb.live.server import MAINT, Server
from trilb.net.conn import Broken, Conn, connect, connect_error
from trilb.net.poller import Expired, Poller, Waiter
from trilb.net.timers import Wheel
from trilb.tls.conn import TlsConn


async def watch(poller: Poller, wheel: Wheel, server: Server, offset: float, timeout: float | None) -> None:
    """Check one server until cancelled; `offset` (seconds) spreads the first checks."""
    check = server.check
    assert check is not None
    await trio.sleep(offset)
    waiter = Waiter(wheel)
    try:
        while True:
            if not server.admin & MAINT:
                begun = wheel.clock.now
                reason, check.text = await _try(poller, server, waiter, timeout)
                good = "L6OK" if server.probe is not None and server.probe.tls is not None else "L4OK"
                check.status, check.result = reason or good, FAILED if reason else PASSED
                check.duration = int((wheel.clock.now - begun) * 1000)
                report(server, check, wheel.clock.now)
            await trio.sleep(interval(server))
    finally:
        waiter.finish()


async def _try(poller: Poller, server: Server, waiter: Waiter, timeout: float | None) -> tuple[str, str]:
    """Connect and close; HAProxy's code when that failed and the system's words, or two empty strings."""
    line = server.line
    address = server.address
    if address is None:
        return "L4CON", "no address"
    if isinstance(address, tuple) and (line.check_port or line.check_address):
        address = (line.check_address or address[0], line.check_port or address[1])
    probe = server.probe
    make = TlsConn if probe is not None and probe.tls is not None else Conn
    try:
        conn, ready = connect(server.family, address, poller, None, make)
    except Broken as broken:
        return "L4CON", str(broken)
    secured = False
    try:
        waiter.arm(min(timeout, line.inter) if timeout else line.inter)
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
        # Nobody waits for the end of a check: no port is to linger for it. A reset would cut a handshake short, though.
        with suppress(OSError):
            if not secured:
                conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        conn.close()
