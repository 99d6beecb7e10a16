"""The runtime socket: accept, read, let `shell` answer, send (management.txt, section 9.3).

What an operator's client does must not be felt by traffic: at most `stats maxconn` clients are served at a time, a
client's bytes are read only when what he said before is answered, answers are made in pieces as he takes them, and
others get a turn between pieces. Who does not read, or says nothing, is let go after `stats timeout`.
"""

from __future__ import annotations

import select
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Protocol

import trio
from trio.lowlevel import RunVar

from trilb.admin import cmd_authorities as _cmd_authorities  # noqa: F401 (its import enters the commands)
from trilb.admin import cmd_certificates as _cmd_certificates  # noqa: F401
from trilb.admin import cmd_cookies as _cmd_cookies  # noqa: F401
from trilb.admin import cmd_crt_lists as _cmd_crt_lists  # noqa: F401
from trilb.admin import cmd_dynamic as _cmd_dynamic  # noqa: F401
from trilb.admin import cmd_frontends as _cmd_frontends  # noqa: F401
from trilb.admin import cmd_maps as _cmd_maps  # noqa: F401 (its import enters the commands)
from trilb.admin import cmd_peers as _cmd_peers  # noqa: F401
from trilb.admin import cmd_process as _cmd_process  # noqa: F401
from trilb.admin import cmd_resolvers as _cmd_resolvers  # noqa: F401
from trilb.admin import cmd_servers as _cmd_servers  # noqa: F401
from trilb.admin import cmd_sessions as _cmd_sessions  # noqa: F401
from trilb.admin import cmd_set_server as _cmd_set_server  # noqa: F401
from trilb.admin import cmd_shell as _cmd_shell  # noqa: F401
from trilb.admin import cmd_show_servers as _cmd_show_servers  # noqa: F401
from trilb.admin import cmd_stats as _cmd_stats  # noqa: F401
from trilb.admin import cmd_tables as _cmd_tables  # noqa: F401
from trilb.admin.caller import Caller
from trilb.admin.commands import View, execute
from trilb.admin.shell import Handover, Pause, Piece, Shell, prompt_of
from trilb.config.settings import Socket

Give = Callable[[socket.socket], None]

_READ = 4096
_PIECE = 16384
"""Bytes of an answer that are made before they are sent."""
_TURN = 0.0005
"""Seconds after which others get a turn, even when there is little to send."""


class RuntimeView(View, Protocol):
    """What the socket serves from."""

    give_listeners: Give | None
    """Hands every listening socket over to who is connected; it blocks, for some seconds at most."""


async def serve_socket(runtime: RuntimeView, slots: trio.Semaphore, line: Socket, sock: socket.socket) -> None:
    """Accept clients of one runtime socket until cancelled; `slots` are what all of them share."""
    listener = trio.socket.from_stdlib_socket(sock)
    async with trio.open_nursery() as nursery:
        while True:
            # Who cannot be served yet waits in the system's queue and costs nothing here.
            await trio.lowlevel.wait_readable(sock)
            await slots.acquire()
            try:
                client, _ = await listener.accept()
            except OSError:
                slots.release()
                await trio.sleep(0.1)
                continue
            except trio.Cancelled:
                slots.release()
                raise
            caller = Caller(line.level, runtime.config.globals.stats_timeout, line.severity_output)
            caller.exposes = line.expose_fd and runtime.give_listeners is not None
            nursery.start_soon(_served, slots, runtime, caller, trio.SocketStream(client))


async def _served(slots: trio.Semaphore, runtime: RuntimeView, caller: Caller, stream: trio.SocketStream) -> None:
    try:
        await converse(runtime, caller, stream)
    finally:
        slots.release()


async def converse(runtime: RuntimeView, caller: Caller, stream: trio.SocketStream, said: bytes = b"") -> None:
    """Serve one client, who has said something already, until he or his time is over."""
    process = runtime.process
    shell = Shell(
        lambda caller, text, payload: execute(runtime, caller, text, payload),
        caller,
        longest=runtime.config.globals.bufsize,
        prompt=lambda: prompt_of(caller, "", process.clock.wall - process.started_wall),
    )
    try:
        async with stream:
            if said:
                shell.receive(said)
                await _answer(runtime, shell, stream)
            while not caller.quitting:
                with trio.move_on_after(caller.timeout) as scope:
                    data = await stream.receive_some(_READ)
                if scope.cancelled_caught or not data:
                    return
                shell.receive(data)
                await _answer(runtime, shell, stream)
    except (trio.BrokenResourceError, trio.TooSlowError):
        return
    except Exception:  # noqa: BLE001
        # A fault of ours in one command must not end the process: tell the operator, count it, close this client.
        process.faults += 1
        traceback.print_exc(file=sys.stderr)


async def _answer(runtime: RuntimeView, shell: Shell, stream: trio.SocketStream) -> None:
    """Send what is to be said, turn by turn. Raises TooSlowError when the client does not take it in time."""
    answers = shell.answers()
    turn = _turns()
    over = False
    while not over:
        async with turn:
            text, deed, over = _make(answers)
        if text:
            with trio.fail_after(shell.caller.timeout):
                await stream.send_all(text.encode("latin-1", "replace"))
        if isinstance(deed, Handover):
            await _give(runtime, stream)
        elif isinstance(deed, Pause):
            await trio.sleep(deed.seconds)
            if _gone(stream):
                shell.caller.quitting = True
                return


def _make(answers: Iterator[Piece]) -> tuple[str, Piece | None, bool]:
    """One turn's worth of an answer; what is to be done behind it, if anything; whether that was all."""
    ready: list[str] = []
    size, since = 0, perf_counter()
    for piece in answers:
        if not isinstance(piece, str) or isinstance(piece, Pause):
            return "".join(ready), piece, False
        ready.append(piece)
        size += len(piece)
        if size >= _PIECE or perf_counter() - since >= _TURN:
            return "".join(ready), None, False
    return "".join(ready), None, True


_lock: RunVar[trio.Lock] = RunVar("turns")


def _turns() -> trio.Lock:
    """What a client holds while an answer is made: one of them between two turns of traffic, however many there are."""
    try:
        return _lock.get()
    except LookupError:
        lock = trio.Lock()
        _lock.set(lock)
        return lock


async def _give(runtime: RuntimeView, stream: trio.SocketStream) -> None:
    give = runtime.give_listeners
    if give is not None:
        with socket.socket(fileno=socket.dup(stream.socket.fileno())) as plain:
            await trio.to_thread.run_sync(give, plain)


def _gone(stream: trio.SocketStream) -> bool:
    """Whether the client has closed; one that only sends no more is still there."""
    poll = select.poll()
    poll.register(stream.socket.fileno(), 0)
    return bool(poll.poll(0))
