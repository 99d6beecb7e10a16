"""One nameserver: questions over UDP from sockets of their own, over TCP on one connection. Sends and receives only.

A UDP socket is connected, so the kernel keeps strangers out, and new for every lookup, so its port is a new one as
well; with the random id of the question that is what an answer out of nowhere would have to guess.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import trio

from trilb.config.sections import NameserverLine
from trilb.net.address import resolve

COUNTERS = (
    "sent",
    "snd_error",
    "valid",
    "update",
    "cname",
    "cname_error",
    "any_err",
    "nx",
    "timeout",
    "refused",
    "other",
    "invalid",
    "too_big",
    "truncated",
    "outdated",
)
"""As `show resolvers` tells them, in its order."""
_CONNECT = 5.0
"""Seconds to connect over TCP."""
_IDLE = 5.0
"""Seconds after which a connection that nobody uses is closed, as HAProxy does."""
_QUEUE = 1000
"""Questions that may wait for a connection. Arbitrary; each is one name."""
_LONGEST = 65535

Deliver = Callable[["Nameserver", bytes], None]


class Nameserver:
    """Where to ask, and how often what came of it."""

    __slots__ = ("_ask", "_asked", "counters", "deliver", "failed", "family", "line", "name", "sockaddr")

    def __init__(self, line: NameserverLine) -> None:
        """Raises Refused for a name that the system does not know."""
        self.line = line
        self.name = line.name
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.family, self.sockaddr = resolve(line.address)
        self._ask, self._asked = trio.open_memory_channel[bytes](_QUEUE)
        self.deliver: Deliver = lambda nameserver, raw: None
        """Takes what came over TCP."""
        self.failed: Callable[[Nameserver], None] = lambda nameserver: None
        """Hears that the connection is gone, and with it the answers."""

    def socket(self) -> socket.socket | None:
        """A new UDP socket to it, or None when the system has none to give."""
        sock = None
        try:
            sock = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.connect(self.sockaddr)
        except OSError:
            if sock is not None:
                sock.close()
            return None
        return sock

    def stream(self, raw: bytes) -> bool:
        """Ask over TCP; False when too many questions wait already."""
        try:
            self._ask.send_nowait(raw)
        except trio.WouldBlock:
            return False
        return True

    async def run(self) -> None:
        """Carry questions over TCP while there are any, until cancelled."""
        while True:
            first = await self._asked.receive()
            # Whatever happens to the connection: who asked hears of it, and asks again.
            with suppress(OSError, trio.BrokenResourceError, trio.TooSlowError):
                await self._carry(first)
            self.failed(self)

    async def _carry(self, raw: bytes) -> None:
        sock = trio.socket.socket(self.family, socket.SOCK_STREAM)
        try:
            with trio.fail_after(_CONNECT):
                await sock.connect(self.sockaddr)
        except BaseException:
            sock.close()
            raise
        async with trio.SocketStream(sock) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, stream, nursery.cancel_scope)
            while True:
                with trio.move_on_after(_IDLE) as idle:
                    try:
                        await stream.send_all(len(raw).to_bytes(2) + raw)
                    except trio.BrokenResourceError:
                        break
                    raw = await self._asked.receive()
                if idle.cancelled_caught:
                    break
            nursery.cancel_scope.cancel()

    async def _listen(self, stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        """Cut what comes into messages: two bytes say how long each is."""
        data = bytearray()
        with suppress(trio.BrokenResourceError):
            while more := await stream.receive_some(_LONGEST):
                data += more
                while len(data) >= 2 and len(data) >= (end := 2 + int.from_bytes(data[:2])):
                    self.deliver(self, bytes(data[2:end]))
                    del data[:end]
        scope.cancel()
