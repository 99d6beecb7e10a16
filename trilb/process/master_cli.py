"""The master's command socket: a few commands of its own, all others go to a worker (management.txt, section 9.4).

As in HAProxy 2.6 a client stays until he leaves, commands that only change the conversation are not answered, and the
prompt tells where the next command goes. A command for a worker is a conversation of its own with that worker, over
the socket by which the next process would take over (process/handover.py); `@@` joins the client to it.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import trio

from trilb import HAPROXY_VERSION, __version__
from trilb.admin.caller import LEVELS, Caller, Mode
from trilb.admin.shell import Deed, Shell, prompt_of
from trilb.admin.words import nearest_lines, split_words
from trilb.config.settings import Socket
from trilb.process import handover

MOST = 10
"""Clients at a time, as of HAProxy's master socket."""
_LONGEST = 16384
_READ = 16384
_PATIENCE = 10.0
"""Seconds for which a command waits for a worker that is starting."""
_HELP = {
    "@!<pid>": "send a command to the <pid> process",
    "@<relative pid>": "send a command to the <relative pid> process",
    "@master": "send a command to the master process",
    "hard-reload": "reload haproxy, and end the processes before at once",
    "operator": "lower the level of the current CLI session to operator",
    "reload": "reload haproxy",
    "show cli level": "display the level of the current CLI session",
    "show cli sockets": "dump list of cli sockets",
    "show proc": "show processes status",
    "show startup-logs": "report logs emitted during HAProxy startup",
    "show version": "show version of the current process",
    "user": "lower the level of the current CLI session to user",
}
_ALWAYS = {
    "help [<command>]": "list matching or all commands",
    "prompt": "toggle interactive mode with prompt",
    "quit": "disconnect",
}
VERSION = f"{HAPROXY_VERSION}-trilb{__version__}"


class Process(Protocol):
    """What this socket needs of the master."""

    started: float
    failed: int
    said: str
    """What the last start or reload had to say."""

    def pid_of(self, word: str) -> int | None:
        """The process that `1` or `!<pid>` names; 0 is the master itself."""

    def age_of(self, pid: int) -> float:
        """Seconds since a process was started; 0 is the master itself."""

    def show(self) -> str:
        """The answer to `show proc`."""

    async def reload(self, *, hard: bool = False) -> bool:
        """Replace the workers; whether that was possible."""


class _Relay(Deed):
    """Have a command run by a worker, or (`lasting`) join the client to it."""

    __slots__ = ("lasting", "pid", "text")

    def __init__(self, pid: int, text: str, *, lasting: bool = False) -> None:
        self.pid = pid
        self.text = text
        self.lasting = lasting


class _Do(Deed):
    """Await something that answers a text."""

    __slots__ = ("act", "last")

    def __init__(self, act: Callable[[], Awaitable[str]], *, last: bool = False) -> None:
        self.act = act
        self.last = last


class Client:
    """One client of the master."""

    def __init__(self, process: Process, level: str) -> None:
        self.process = process
        self.caller = Caller(level)
        self.debug = False
        self.pid = 0
        """Where commands without a prefix go; 0 is the master."""
        self.shell = Shell(self._run, self.caller, longest=_LONGEST, prompt=self._prompt)
        self.shell.lasting = True
        self.shell.whole = self._whole

    def _prompt(self) -> str:
        caller = self.caller
        flags = "x" * caller.experimental + "e" * caller.expert + "d" * self.debug
        name = str(self.pid) if self.pid else "master[ReloadFailed]" if self.process.failed else "master"
        return prompt_of(caller, f"{name}({flags})" if flags else name, self.process.age_of(self.pid))

    def _target(self, word: str) -> int | str:
        """The process a prefix names, or what is to be said."""
        name = word.lstrip("@")
        pid = 0 if name in ("", "master") else self.process.pid_of(name)
        return pid if pid is not None else f"Can't find the target PID matching the prefix '{word}'\n"

    def _whole(self, line: str) -> Deed | None:
        text = line.strip()
        if not text.startswith("@@"):
            return None
        word, _, rest = text.partition(" ")
        pid = self._target(word)
        if not pid or isinstance(pid, str):
            return _Do(_answering(pid or "'@@' expects a worker.\n"), last=True)
        return _Relay(pid, rest.strip(), lasting=True)

    def _run(self, caller: Caller, text: str, payload: str) -> str | Deed | None:
        """Answer a command, or say who answers it."""
        word, _, rest = text.partition(" ")
        pid = self.pid
        if word.startswith("@"):
            target = self._target(word)
            if isinstance(target, str):
                return _Do(_answering(target), last=True)
            if not rest.strip():
                self.pid = target
                return None
            pid, text = target, rest.strip()
        if self._mode(text):
            return None
        if not pid:
            return self._own(text)
        return _Relay(pid, f"{text} <<%END-{len(payload)}%\n{payload}\n%END-{len(payload)}%" if payload else text)

    def _mode(self, text: str) -> bool:
        """Do what only changes the conversation; whether it was that."""
        caller, words = self.caller, split_words(text)
        if not words or words[0] not in (*_MODES, "quit", "prompt", "user", "operator"):
            return False
        if words[0] == "quit":
            caller.quitting = True
        elif words[0] == "prompt":
            self._set_prompt(words[1:])
        elif words[0] in ("user", "operator"):
            caller.lower(words[0])
        elif caller.level == "admin":
            setattr(self if words[0] == "mcli-debug-mode" else caller, _MODES[words[0]], words[1:2] == ["on"])
        return True

    def _set_prompt(self, words: list[str]) -> None:
        caller = self.caller
        if "timed" in words:
            caller.timed, caller.mode = not caller.timed, Mode.PROMPT
        elif "p" in words:
            caller.mode = Mode.PROMPT
        elif "i" in words:
            caller.mode = Mode.ONCE
        else:
            caller.mode = Mode.ONCE if caller.mode is Mode.PROMPT else Mode.PROMPT

    def _own(self, text: str) -> str | Deed:
        words = split_words(text)
        command = " ".join(words[:2])
        if words[:1] in (["reload"], ["hard-reload"]):
            if not self.caller.may("operator"):
                return "Permission denied\n"
            return _Do(lambda: self._reload(hard=words[0] == "hard-reload"), last=True)
        if words[:1] == ["help"]:
            return _help("The following commands are valid at this level:", words[1:])
        if command == "show cli" and words[2:3] == ["level"]:
            return f"{self.caller.level}\n"
        if command == "show cli" and words[2:3] == ["sockets"]:
            return ""
        if command == "show proc":
            return self.process.show()
        if command == "show version":
            return f"{VERSION}\n"
        if command == "show startup-logs":
            return self.process.said or "\n"
        title = "Unknown command, but maybe one of the following ones is a better match:"
        return _help(title if words else "Unknown command. Please enter one of the following commands only:", words)

    async def _reload(self, *, hard: bool) -> str:
        good = await self.process.reload(hard=hard)
        return f"Success={int(good)}\n--\n{self.process.said}\n"

    async def converse(self, stream: trio.SocketStream) -> None:
        """Serve the client until he leaves."""
        caller = self.caller
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                while not caller.quitting:
                    data = await stream.receive_some(_READ)
                    if not data:
                        return
                    self.shell.receive(data)
                    for piece in self.shell.answers():
                        if isinstance(piece, str):
                            await stream.send_all(piece.encode("latin-1", "replace"))
                        elif isinstance(piece, _Do):
                            await stream.send_all((await piece.act()).encode("latin-1", "replace"))
                            caller.quitting = caller.quitting or piece.last
                        elif isinstance(piece, _Relay):
                            await self._relay(stream, piece)

    async def _relay(self, stream: trio.SocketStream, what: _Relay) -> None:
        """Hand a worker the command and the client its answer; a client who is joined to it stays till its end."""
        caller = self.caller
        flags = "e" * caller.expert + "x" * caller.experimental + "t" * caller.timed
        joined = what.lasting and not what.text
        mode = caller.mode.value if joined else Mode.ONCE.value
        try:
            sock = await _connect(what.pid)
        except OSError as error:
            said = f"Can't connect to the target process: {error.strerror or error}\n\n"
            await stream.send_all(said.encode())
            return
        async with trio.SocketStream(sock) as worker:
            await worker.send_all(handover.introduce(caller.level, mode, caller.severity, flags))
            if joined and caller.mode is Mode.PROMPT:
                await stream.send_all(prompt_of(caller, "", self.process.age_of(what.pid)).encode())
            if what.text:
                await worker.send_all(what.text.encode("latin-1", "replace") + b"\n")
            if not what.lasting:
                await worker.send_eof()
                await _pump(worker, stream)
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_forward, stream, worker)
                await _pump(worker, stream)
                nursery.cancel_scope.cancel()


async def _connect(pid: int) -> trio.socket.SocketType:
    """A connection to a worker, which may still be starting. Raises OSError."""
    until = trio.current_time() + _PATIENCE
    while True:
        sock = trio.socket.socket(socket.AF_UNIX)
        try:
            await sock.connect(handover.name_of(pid))
            return sock
        except OSError:
            sock.close()
            if trio.current_time() > until or not _alive(pid):
                raise
            await trio.sleep(0.02)


def _alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


_MODES = {"expert-mode": "expert", "experimental-mode": "experimental", "mcli-debug-mode": "debug"}


async def _pump(source: trio.SocketStream, target: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async for data in source:
            await target.send_all(data)


async def _forward(client: trio.SocketStream, worker: trio.SocketStream) -> None:
    """Send a worker what its client says; that he says no more is told as well."""
    await _pump(client, worker)
    with suppress(trio.BrokenResourceError):
        await worker.send_eof()


def _answering(text: str) -> Callable[[], Awaitable[str]]:
    async def answer() -> str:
        return text

    return answer


def _help(title: str, words: list[str]) -> str:
    chosen = nearest_lines(list(_HELP), words) if words else list(_HELP)
    lines = [*((name, _HELP[name]) for name in chosen), *_ALWAYS.items()]
    return f"{title}\n" + "".join(f"  {use:<40}: {what}\n" for use, what in lines)


async def serve(process: Process, line: Socket, listener: socket.socket) -> None:
    """Accept clients of the master's socket until cancelled."""
    assert line.level in LEVELS
    slots = trio.Semaphore(MOST)
    sock = trio.socket.from_stdlib_socket(listener)
    async with trio.open_nursery() as nursery:
        while True:
            await slots.acquire()
            try:
                client, _ = await sock.accept()
            except OSError:
                slots.release()
                await trio.sleep(0.1)
                continue
            nursery.start_soon(_serve, slots, Client(process, line.level), trio.SocketStream(client))


async def _serve(slots: trio.Semaphore, client: Client, stream: trio.SocketStream) -> None:
    try:
        await client.converse(stream)
    except Exception:  # noqa: BLE001
        # A fault of ours in one command must not end the master, and with it every worker.
        traceback.print_exc(file=sys.stderr)
    finally:
        slots.release()


def uptime(seconds: float) -> str:
    """An age as `show proc` writes it."""
    age = int(seconds)
    return f"{age // 86400}d{age // 3600 % 24:02d}h{age // 60 % 60:02d}m{age % 60:02d}s"


def table(rows: list[tuple[int, str, str, float]], old: list[tuple[int, str, str, float]]) -> str:
    """The answer to `show proc`: the master and its workers, and those that are leaving."""

    def row(pid: int, kind: str, reloads: str, age: float) -> str:
        return f"{pid:<15} {kind:<15} {reloads:<15} {uptime(age):<15} {VERSION:<15}\n"

    said = f"{'#<PID>':<15} {'<type>':<15} {'<reloads>':<15} {'<uptime>':<15} {'<version>':<15}\n"
    said += row(*rows[0]) + "# workers\n" + "".join(row(*each) for each in rows[1:])
    if old:
        said += "# old workers\n" + "".join(row(*each) for each in old)
    return said + "# programs\n"
