"""The runtime socket: lines in, texts out (management.txt, section 9.3). Commands are in `commands`.

Non-interactive use answers and closes; `prompt` keeps the connection and prints `> `. Several commands stand on a
line, separated by `;`.
"""

from __future__ import annotations

import socket
from typing import Protocol

import trio

from trilb.admin.commands import View, execute
from trilb.config.model import Socket

_LONGEST = 16384
"""Bytes of a command line; more is refused."""


class RuntimeView(View, Protocol):
    """What the socket serves from."""


async def serve_socket(runtime: RuntimeView, line: Socket, sock: socket.socket) -> None:
    """Accept clients of one runtime socket until cancelled."""
    limiter = trio.CapacityLimiter(runtime.config.globals.stats_maxconn)
    listener = trio.socket.from_stdlib_socket(sock)
    level = line.level
    async with trio.open_nursery() as nursery:
        while True:
            try:
                client, _ = await listener.accept()
            except OSError:
                await trio.sleep(0.1)
                continue
            nursery.start_soon(_limited, limiter, runtime, level, trio.SocketStream(client))


async def _limited(limiter: trio.CapacityLimiter, runtime: RuntimeView, level: str, stream: trio.SocketStream) -> None:
    """Serve one client, unless `stats maxconn` are being served already: then it waits."""
    async with limiter:
        await _client(runtime, level, stream)


async def _client(runtime: RuntimeView, level: str, stream: trio.SocketStream) -> None:
    buffer = b""
    prompting = False
    timeout = runtime.config.globals.stats_timeout
    try:
        async with stream:
            while True:
                with trio.move_on_after(timeout) as scope:
                    data = await stream.receive_some(4096)
                if scope.cancelled_caught:
                    return
                buffer += data
                if len(buffer) > _LONGEST:
                    await stream.send_all(b"Command line too long.\n\n")
                    return
                if not data and buffer and not buffer.endswith(b"\n"):
                    buffer += b"\n"
                while b"\n" in buffer:
                    line, _, buffer = buffer.partition(b"\n")
                    text = line.decode("latin-1").strip()
                    if text in ("quit", "exit"):
                        return
                    if text == "prompt":
                        prompting = not prompting
                        await stream.send_all(b"\n> " if prompting else b"\n")
                        continue
                    answer = "".join(execute(runtime, level, part.strip()) + "\n" for part in text.split(";"))
                    await stream.send_all(answer.encode("latin-1", "replace") + (b"> " if prompting else b""))
                    if not prompting:
                        return
                if not data:
                    return
    except trio.BrokenResourceError:
        return
