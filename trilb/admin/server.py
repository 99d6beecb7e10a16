"""The runtime socket: lines in, texts out (management.txt, section 9.3). Commands are in `commands`.

Non-interactive use answers and closes; `prompt` keeps the connection and prints `> `. Several commands stand on a
line, separated by `;`. A line that ends in `<<` or `<<END` has a payload: the lines up to an empty one, or up to END.
"""

from __future__ import annotations

import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import trio

from trilb.admin import cmd_authorities as _cmd_authorities  # noqa: F401
from trilb.admin import cmd_certificates as _cmd_certificates  # noqa: F401
from trilb.admin import cmd_crt_lists as _cmd_crt_lists  # noqa: F401
from trilb.admin import cmd_maps as _cmd_maps  # noqa: F401 (its import enters the commands)
from trilb.admin import cmd_peers as _cmd_peers  # noqa: F401
from trilb.admin import cmd_process as _cmd_process  # noqa: F401
from trilb.admin import cmd_resolvers as _cmd_resolvers  # noqa: F401
from trilb.admin import cmd_servers as _cmd_servers  # noqa: F401
from trilb.admin import cmd_set_server as _cmd_set_server  # noqa: F401
from trilb.admin import cmd_show_servers as _cmd_show_servers  # noqa: F401
from trilb.admin import cmd_stats as _cmd_stats  # noqa: F401
from trilb.admin import cmd_tables as _cmd_tables  # noqa: F401
from trilb.admin.commands import View, execute
from trilb.admin.words import payload_end, split_commands
from trilb.config.model import Socket

Give = Callable[[socket.socket], None]

_LONGEST = 16384
"""Bytes of a command line; more is refused."""
_LONGEST_PAYLOAD = 131072
"""Bytes of what may follow a command after `<<`."""


class RuntimeView(View, Protocol):
    """What the socket serves from."""

    give_listeners: Give | None
    """Hands every listening socket over to who is connected; it blocks, for some seconds at most."""


async def serve_socket(runtime: RuntimeView, line: Socket, sock: socket.socket) -> None:
    """Accept clients of one runtime socket until cancelled."""
    limiter = trio.CapacityLimiter(runtime.config.globals.stats_maxconn)
    listener = trio.socket.from_stdlib_socket(sock)
    level = line.level
    give = runtime.give_listeners if line.expose_fd else None
    async with trio.open_nursery() as nursery:
        while True:
            try:
                client, _ = await listener.accept()
            except OSError:
                await trio.sleep(0.1)
                continue
            nursery.start_soon(_limited, limiter, runtime, level, trio.SocketStream(client), give)


async def _limited(
    limiter: trio.CapacityLimiter, runtime: RuntimeView, level: str, stream: trio.SocketStream, give: Give | None
) -> None:
    """Serve one client, unless `stats maxconn` are being served already: then it waits."""
    async with limiter:
        try:
            await _client(runtime, level, stream, give)
        except Exception:  # noqa: BLE001
            # A fault of ours in one command must not end the process: tell the operator, count it, close this client.
            runtime.process.faults += 1
            traceback.print_exc(file=sys.stderr)


class _Lines:
    """What was said so far and is not answered: a command that waits for its payload, and that payload."""

    def __init__(self, runtime: RuntimeView, level: str) -> None:
        self.runtime = runtime
        self.level = level
        self.prompting = False
        self.quitting = False
        self._commands: list[str] = []
        self._end: str | None = None
        self._payload: list[str] = []
        self._size = 0

    def line(self, text: str) -> Iterable[str] | None:
        """Take a line; the answer in pieces, or None when the payload goes on."""
        if self._end is not None:
            return self._more(text)
        text, self._end = payload_end(text.strip())
        self._commands = [part.strip() for part in split_commands(text)]
        if self._end is not None:
            self._payload, self._size = [], 0
            return None
        if text in ("quit", "exit"):
            self.quitting = True
            return ()
        if text == "prompt":
            self.prompting = not self.prompting
            return ("\n",)
        return self._run("")

    def _more(self, text: str) -> Iterable[str] | None:
        text = text.removesuffix("\r")
        if text == self._end:
            self._end = None
            return self._run("\n".join(self._payload))
        self._size += len(text) + 1
        if self._size > _LONGEST_PAYLOAD:
            self.quitting = True
            return ("The payload is too long.\n\n",)
        self._payload.append(text)
        return None

    def _run(self, payload: str) -> Iterator[str]:
        """The answers of all commands of a line; the payload is the last one's."""
        *others, last = self._commands
        for text, with_payload in (*((command, "") for command in others), (last, payload)):
            answer = execute(self.runtime, self.level, text, with_payload)
            if isinstance(answer, str):
                yield f"{answer}\n"
            else:
                yield from answer
                yield "\n"


async def _client(runtime: RuntimeView, level: str, stream: trio.SocketStream, give: Give | None) -> None:
    buffer = b""
    lines = _Lines(runtime, level)
    timeout = runtime.config.globals.stats_timeout
    try:
        async with stream:
            while True:
                with trio.move_on_after(timeout) as scope:
                    data = await stream.receive_some(4096)
                if scope.cancelled_caught:
                    return
                buffer += data
                if not data and buffer and not buffer.endswith(b"\n"):
                    buffer += b"\n"
                while b"\n" in buffer:
                    line, _, buffer = buffer.partition(b"\n")
                    if give is not None and line.strip() == b"_getsocks":
                        with socket.socket(fileno=socket.dup(stream.socket.fileno())) as plain:
                            await trio.to_thread.run_sync(give, plain)
                        return
                    answer = lines.line(line.decode("latin-1"))
                    prompt = b"" if not lines.prompting else b"+ " if answer is None else b"> "
                    for piece in answer or ():
                        await stream.send_all(piece.encode("latin-1", "replace"))
                    if prompt:
                        await stream.send_all(prompt)
                    if lines.quitting or (answer is not None and not lines.prompting and line.strip() != b"prompt"):
                        return
                if len(buffer) > _LONGEST:
                    await stream.send_all(b"Command line too long.\n\n")
                    return
                if not data:
                    return
    except trio.BrokenResourceError:
        return
