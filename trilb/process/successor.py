"""What a serving process does for the next one, and what it lets its master ask (process/handover.py)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

import trio

from trilb.admin.caller import Caller, Mode
from trilb.admin.server import RuntimeView, converse
from trilb.process import handover
from trilb.process.sharing import Sharing

_PATIENCE = 30.0
_LONGEST = 16384

Listeners = Callable[[], Iterable[tuple[str, socket.socket]]]


class Successor:
    """Answers on this process's handover socket until cancelled."""

    def __init__(self, view: RuntimeView, sharing: Sharing, listeners: Listeners) -> None:
        self.view = view
        self.sharing = sharing
        self.listeners = listeners

    async def run(self, sock: socket.socket) -> None:
        """Serve whoever runs as the same user, or as root; others are closed without a word."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await listener.accept()
                except OSError:
                    await trio.sleep(0.1)
                    continue
                nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                plain = socket.socket(fileno=socket.dup(stream.socket.fileno()))
                with plain:
                    if handover.allowed(plain):
                        await self._answer(stream, plain)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            return

    async def _answer(self, stream: trio.SocketStream, plain: socket.socket) -> None:
        buffer = b""
        while True:
            while b"\n" not in buffer:
                with trio.fail_after(_PATIENCE):
                    data = await stream.receive_some(4096)
                if not data or len(buffer) > _LONGEST:
                    return
                buffer += data
            line, _, buffer = buffer.partition(b"\n")
            line += b"\n"
            if line == handover.LISTENERS:
                await self._give(plain)
            elif line == handover.TABLES:
                await self.sharing.teach(stream, buffer)
                return
            elif line.startswith(handover.CALLER):
                level, mode, severity, flags = line[len(handover.CALLER) :].decode("latin-1").split()
                caller = Caller(level, self.view.config.globals.stats_timeout, severity, Mode(mode))
                caller.expert, caller.experimental, caller.timed = ("e" in flags, "x" in flags, "t" in flags)
                await converse(self.view, caller, stream, buffer)
                return
            else:
                return

    async def _give(self, plain: socket.socket) -> None:
        listeners = list(self.listeners())

        def send() -> None:
            plain.setblocking(True)
            plain.settimeout(5.0)
            handover.give(plain, listeners)
            plain.setblocking(False)

        await trio.to_thread.run_sync(send)
