"""The checks themselves: a TCP connection to each checked server, one task a server (the room's only I/O)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import trio

from trilb.health.state import Change, interval, observe
from trilb.live.server import MAINT, Server
from trilb.net.conn import Broken, connect, connect_error
from trilb.net.poller import Expired, Poller, Waiter
from trilb.net.timers import Wheel

Tell = Callable[[Server, Change, str, str], None]


async def watch(poller: Poller, wheel: Wheel, server: Server, offset: float, timeout: float | None, tell: Tell) -> None:
    """Check one server until cancelled; `offset` spreads the first checks, `tell` hears of every result."""
    await trio.sleep(offset)
    waiter = Waiter(wheel)
    try:
        while True:
            if not server.admin & MAINT:
                begun = wheel.clock.now
                reason, info = await _try(poller, server, waiter, timeout)
                change = observe(server, not reason, wheel.clock.now)
                took = int((wheel.clock.now - begun) * 1000)
                server.last_check = f"{reason or 'L4OK'} in {took}ms"
                tell(server, change, reason, info)
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
    try:
        conn, ready = connect(server.family, address, poller)
    except Broken as broken:
        return "L4CON", str(broken)
    try:
        if ready:
            return "", ""
        waiter.arm(min(timeout, line.inter) if timeout else line.inter)
        while True:
            await waiter.park(conn.watch)
            code = connect_error(conn)
            if code == 0:
                conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return "", ""
            if code is not None:
                return "L4CON", os.strerror(code)
    except Expired:
        return "L4TOUT", ""
    finally:
        conn.close()
