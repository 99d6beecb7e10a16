"""Plays a script on a connection: the only I/O of checks. What is tried and what it means is the script's."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress

from trilb.health.results import settle
from trilb.health.script import Connect, Machine, Script
from trilb.health.verdict import report
from trilb.live.check import Check
from trilb.live.server import Server
from trilb.live.stream import CheckStream
from trilb.net import errors, proxyline
from trilb.net.address import Sockaddr
from trilb.net.conn import Broken, Conn, connect, connect_error
from trilb.net.poller import Expired, Poller, Waiter
from trilb.tls.conn import TlsConn
from trilb.tls.store import Outgoing

_RESET = b"\1\0\0\0\0\0\0\0"
_REFUSED = os.strerror(errno.ECONNREFUSED)
_NAMED = {
    os.strerror(number): f"{errno.errorcode[number]} returned by OS ({os.strerror(number)})"
    for number in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETUNREACH, errno.EPIPE, errno.ENOBUFS)
}
"""HAProxy's words since 3.0 (configuration.txt, `fc_err_str`), with the system's behind them."""


class Opening:
    """How a connection of a check begins, where that is more than connecting."""

    __slots__ = ("header", "multiplexed", "name", "outgoing")

    def __init__(self, header: str = "", outgoing: Outgoing | None = None, name: bytes | None = None) -> None:
        self.header = header
        """The version of the PROXY header, "" for none."""
        self.outgoing = outgoing
        """Its TLS."""
        self.name = name
        """The name to ask for (SNI)."""
        self.multiplexed: bool | None = None
        """Whether it speaks HTTP/2; None for what TLS agrees on."""


class Player:
    """Does a server's check by a script; times in seconds, None where the configuration is silent."""

    def __init__(
        self, poller: Poller, script: Script, stream: CheckStream, check: float | None, connect: float | None
    ) -> None:
        self._poller = poller
        self._script = script
        self._stream = stream
        self._timeout = check
        self._connect_timeout = connect

    def settle(self, server: Server, check: Check, now: float) -> None:
        """Rise or fall."""
        report(server, check, now)

    async def probe(self, server: Server, check: Check, waiter: Waiter) -> None:
        """Play the script once."""
        stream = self._stream
        stream.check_vars.clear()
        stream.unique = None
        stream.server = server
        machine = Machine(self._script, stream)
        conn: Conn | None = None
        linger = False
        waiter.arm(check.inter)
        try:
            while True:
                wanted = machine.advance()
                if machine.status:
                    break
                if wanted.__class__ is Connect:
                    if conn is not None:
                        _close(conn, linger=linger)
                        conn = None
                    linger = wanted.linger
                    conn = await self._open(server, check, machine, waiter)
                elif conn is None:
                    machine.finish("SOCKERR", "")
                elif wanted is None:
                    await _read(conn, machine, waiter)
                else:
                    await _send(conn, machine, wanted, waiter)  # type: ignore[arg-type]
        except Broken as broken:
            text = str(broken)
            if conn is None:
                # It failed at once, or while it was made.
                text = _NAMED[text] if text == _REFUSED else f"General socket error ({text})"
            machine.broken(_NAMED.get(text, text))
        except Expired:
            machine.expired()
        finally:
            if conn is not None:
                _close(conn, linger=linger)
        settle(check, machine.status, machine.text, machine.code)

    async def _open(self, server: Server, check: Check, machine: Machine, waiter: Waiter) -> Conn:
        step = machine.wanted
        assert step is not None
        opening = step.options if isinstance(step.options, Opening) else None
        family, address = _address(server, step, machine.stream)
        make = TlsConn if opening is not None and opening.outgoing is not None else Conn
        if self._timeout:
            waiter.arm(min(self._connect_timeout or check.inter, check.inter))
        quiet = opening is None and len(self._script.steps) == 1
        conn, ready = connect(family, address, self._poller, server.source, make, quiet=quiet)
        try:
            while not ready:
                await waiter.park(conn.watch)
                code = connect_error(conn)
                if code == errno.ECONNRESET:
                    # It stood, and is gone already: whoever wants more of it than that will hear of it.
                    conn.failed, code = True, 0
                if code:
                    raise Broken(_NAMED.get(os.strerror(code), os.strerror(code)))
                ready = code == 0
            if self._timeout:
                waiter.arm(self._timeout)
            if opening is not None:
                await _begin(conn, opening, machine, waiter)
        except BaseException as error:
            _close(conn, linger=machine.shaking)
            if isinstance(error, Broken):
                machine.broken(errors.TEXTS[errors.TLS_HANDSHAKE] if machine.shaking else str(error))
            raise
        machine.connected()
        return conn


async def _begin(conn: Conn, opening: Opening, machine: Machine, waiter: Waiter) -> None:
    if opening.header:
        conn.send(_header(conn, opening.header))
    outgoing = opening.outgoing
    if outgoing is not None:
        assert isinstance(conn, TlsConn)
        machine.shaking = True
        conn.begin(outgoing.context, server_name=opening.name, record=outgoing.record)
        if conn.failed:
            raise Broken(os.strerror(errno.ECONNRESET))
        while not conn.handshake():
            await waiter.park(conn.watch)
    machine.multiplexed = conn.alpn == b"h2" if opening.multiplexed is None else opening.multiplexed


def _header(conn: Conn, version: str) -> bytes:
    """A PROXY header: the second version says that it is a check, the first has no word for that."""
    ends = conn.addresses()
    if version == "v2" or ends is None:
        return proxyline.local(version)
    return proxyline.version1(*ends)


def _address(server: Server, step: Connect, stream: CheckStream) -> tuple[int, Sockaddr]:
    """Where to connect to. Raises Broken when there is nowhere."""
    check, address, family = server.check, server.address, server.family
    if address is None or check is None:
        raise Broken("no address")
    host = step.address or check.address
    port: int | None = step.port if isinstance(step.port, int) else step.port(stream)
    port = port or check.port
    if isinstance(address, str):
        if not host:
            return family, address
        address = (host, 0)
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, (host or address[0], port if port and 0 < port < 65536 else address[1])


def _check(conn: Conn) -> None:
    if conn.failed:
        raise Broken(os.strerror(errno.ECONNRESET))


async def _read(conn: Conn, machine: Machine, waiter: Waiter) -> None:
    _check(conn)
    while True:
        data = conn.receive()
        if data is not None:
            machine.received(data)
            return
        await waiter.park(conn.watch)


async def _send(conn: Conn, machine: Machine, data: bytes, waiter: Waiter) -> None:
    _check(conn)
    at = conn.send(data)
    while at < len(data):
        await waiter.park(conn.watch)
        at += conn.send(memoryview(data)[at:])


def _close(conn: Conn, *, linger: bool) -> None:
    """Nobody waits for the end of a check, and no port is to linger for it; TLS says farewell all the same."""
    if not linger:
        with suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    conn.close()
