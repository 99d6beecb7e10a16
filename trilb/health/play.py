"""Plays a script on a connection: the only I/O of checks. HOT.

What is tried and what it means is the script's. A `Player` has no task: the poller calls it, and so does a wheel when
it takes too long.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import traceback
from collections.abc import Callable

from trilb.health.results import settle
from trilb.health.script import Connect, Machine, Script
from trilb.health.verdict import report
from trilb.live.check import Check
from trilb.live.server import Server
from trilb.live.stream import CheckStream
from trilb.net import errors, proxyline
from trilb.net.address import Sockaddr
from trilb.net.conn import Broken, Conn, connect, connect_error
from trilb.net.poller import Poller
from trilb.net.timers import Wheel
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
    """Does a server's check by a script, without a task; times in seconds, None where the configuration is silent.

    `expires` is when what is waited for has taken too long, the loop's seconds.
    """

    __slots__ = (
        "_check",
        "_conn",
        "_connect_timeout",
        "_connecting",
        "_linger",
        "_machine",
        "_narrow",
        "_over",
        "_poller",
        "_reading",
        "_rest",
        "_script",
        "_server",
        "_stream",
        "_timeout",
        "_wheel",
        "expires",
        "filed",
    )

    def __init__(
        self, poller: Poller, script: Script, stream: CheckStream, check: float | None, connect: float | None
    ) -> None:
        self._poller = poller
        self._script = script
        self._stream = stream
        self._timeout = check
        self._connect_timeout = connect
        self._server: Server | None = None
        self._check: Check | None = None
        self._wheel: Wheel | None = None
        self._over: Callable[[], None] | None = None
        """Whom to tell; None while nothing is played."""
        self._machine: Machine | None = None
        self._conn: Conn | None = None
        self._connecting = False
        """The connection is asked for and does not stand yet, TLS and all."""
        self._reading = False
        self._rest: bytes | memoryview = b""
        """What is still to be sent."""
        self._linger = False
        self._narrow = False
        """The poller is to tell of what can be read only."""
        self.expires = 0.0
        self.filed = 0

    def settle(self, server: Server, check: Check, now: float) -> None:
        """Rise or fall."""
        report(server, check, now)

    def begin(self, server: Server, check: Check, wheel: Wheel, over: Callable[[], None]) -> None:
        """Play the script once, and call `over` when the result stands in the check, which may be at once."""
        stream = self._stream
        stream.check_vars.clear()
        stream.unique = None
        stream.server = server
        self._server, self._check, self._wheel, self._over = server, check, wheel, over
        self._machine = Machine(self._script, stream)
        self._linger = False
        self._arm(check.inter)
        self._step()

    def abandon(self) -> bool:
        """Give up what is under way; nobody is told. Was there anything?"""
        if self._over is None:
            return False
        self._over = None
        self._end()
        return True

    def expire(self) -> None:
        """It took too long. Called by the wheel."""
        machine = self._machine
        if self._over is not None and machine is not None:
            if self._connecting:
                self._linger = machine.shaking
            machine.expired()
            self._finish()

    def _arm(self, seconds: float) -> None:
        wheel = self._wheel
        assert wheel is not None
        self.expires = when = wheel.clock.now + seconds
        if not self.filed or when < wheel.time_of(self.filed):
            wheel.file(self)

    def _step(self) -> None:
        """Go on as far as that is possible without waiting. Called by the poller, never raises."""
        machine = self._machine
        if self._over is None or machine is None:
            return
        try:
            if not self._go(machine):
                return
        except Broken as broken:
            text = str(broken)
            if self._connecting:
                self._linger = machine.shaking
                machine.broken(errors.TEXTS[errors.TLS_HANDSHAKE] if machine.shaking else text)
            elif self._conn is None:
                # It failed at once.
                text = _NAMED[text] if text == _REFUSED else f"General socket error ({text})"
            machine.broken(_NAMED.get(text, text))
        except Exception:  # noqa: BLE001
            # A fault of ours in one check must not end the process: tell the operator, count it.
            self._stream.frontend.process.faults += 1
            traceback.print_exc(file=sys.stderr)
            machine.finish("SOCKERR", "")
        self._finish()

    def _finish(self) -> None:
        machine, check, over = self._machine, self._check, self._over
        assert machine is not None and check is not None and over is not None
        self._over = None
        self._end()
        settle(check, machine.status, machine.text, machine.code)
        over()

    def _end(self) -> None:
        """Let go of everything."""
        self.expires = 0.0
        if self.filed and self._wheel is not None:
            self._wheel.drop(self)
        self._machine, self._rest = None, b""
        self._connecting = self._reading = False
        self._close()

    def _go(self, machine: Machine) -> bool:
        """Is it over? Raises Broken."""
        while True:
            if self._connecting:
                if not self._connected(machine):
                    return False
            elif self._rest:
                if not self._send():
                    return False
            elif self._reading:
                assert self._conn is not None
                data = self._conn.receive()
                if data is None:
                    return False
                self._reading = False
                machine.received(data)
            wanted = machine.advance()
            if machine.status:
                return True
            if isinstance(wanted, Connect):
                self._close()
                self._linger = wanted.linger
                self._open(machine, wanted)
                continue
            conn = self._conn
            if conn is None:
                machine.finish("SOCKERR", "")
                return True
            if conn.failed:
                raise Broken(os.strerror(errno.ECONNRESET))
            if wanted is None:
                self._reading = True
            else:
                self._rest = wanted

    # -- the connection ------------------------------------------------------------------------------------------

    def _open(self, machine: Machine, step: Connect) -> None:
        """Ask for a connection. Raises Broken."""
        server, check = self._server, self._check
        assert server is not None and check is not None
        opening = step.options if isinstance(step.options, Opening) else None
        family, address = _address(server, step, machine.stream)
        if self._timeout:
            self._arm(min(self._connect_timeout or check.inter, check.inter))
        quiet = opening is None and len(self._script.steps) == 1
        make = TlsConn if opening is not None and opening.outgoing is not None else Conn
        conn, ready = connect(family, address, self._poller, server.source, make, quiet=quiet)
        self._conn, self._connecting, self._narrow = conn, True, False
        conn.watch.call = self._step
        if not ready and family != socket.AF_UNIX:
            # To ourselves it stands by now, and the system only says so when it is asked again.
            code = conn.sock.connect_ex(address)
            ready = code not in (errno.EALREADY, errno.EINPROGRESS)
            if ready and code:
                self._judge(conn, code)
            if ready and make is Conn:
                # What the poller would tell first is known.
                self._poller.narrow(conn.watch)
                self._narrow = True
        if ready:
            self._stands(conn, machine, step)

    def _connected(self, machine: Machine) -> bool:
        """Something happened to a connection that is being made: does it stand? Raises Broken."""
        conn, step = self._conn, machine.wanted
        assert conn is not None and step is not None
        if machine.shaking:
            if not conn.handshake():  # type: ignore[attr-defined]
                return False
            self._made(conn, machine)
            return True
        code = connect_error(conn)
        if code:
            self._judge(conn, code)
        elif code is None:
            return False
        return self._stands(conn, machine, step)

    @staticmethod
    def _judge(conn: Conn, code: int) -> None:
        """Raises Broken where it failed."""
        if code != errno.ECONNRESET:
            raise Broken(_NAMED.get(os.strerror(code), os.strerror(code)))
        # It stood, and is gone already: whoever wants more of it than that will hear of it.
        conn.failed = True

    def _stands(self, conn: Conn, machine: Machine, step: Connect) -> bool:
        """The first bytes, where there are any of ours; is that all? Raises Broken."""
        if self._timeout:
            self._arm(self._timeout)
        opening = step.options if isinstance(step.options, Opening) else None
        if opening is not None:
            if opening.header:
                conn.send(_header(conn, opening.header))
            outgoing = opening.outgoing
            if outgoing is not None:
                assert isinstance(conn, TlsConn)
                machine.shaking = True
                conn.begin(outgoing.context, server_name=opening.name, record=outgoing.record)
                if conn.failed:
                    raise Broken(os.strerror(errno.ECONNRESET))
                if not conn.handshake():
                    return False
        self._made(conn, machine)
        return True

    def _made(self, conn: Conn, machine: Machine) -> None:
        step = machine.wanted
        opening = step.options if step is not None and isinstance(step.options, Opening) else None
        if opening is not None:
            machine.multiplexed = conn.alpn == b"h2" if opening.multiplexed is None else opening.multiplexed
        self._connecting = False
        machine.connected()

    def _send(self) -> bool:
        """Is all of it sent? Raises Broken."""
        assert self._conn is not None
        rest = self._rest
        sent = self._conn.send(rest)
        if sent < len(rest):
            if self._narrow:
                self._narrow = False
                self._poller.narrow(self._conn.watch, writes=True)
            self._rest = memoryview(rest)[sent:]
            return False
        self._rest = b""
        return True

    def _close(self) -> None:
        """Nobody waits for the end of a check, and no port is to linger for it; TLS says farewell all the same."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        if not self._linger:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        conn.watch.call = None
        conn.close()


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
