"""Master-worker mode: a small process that starts workers, replaces them on a signal, and ends with them.

The master reads no configuration of its own but what the command line read to get here. A worker is a fresh program
(`python -m trilb`), so a reload may be an upgrade. The new worker takes sockets and tables over from the old one itself
(`-sf`, process/handover.py) and says when it serves; only then is the old one asked to finish. When the new one cannot
start, the old one never hears of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import trio

from trilb import HAPROXY_VERSION
from trilb.base.diagnostic import Refused
from trilb.process import handover
from trilb.process.notify import notify, reloading
from trilb.process.privileges import detach, write_pidfile

READY_FD = "TRILB_READY_FD"
"""The environment variable that tells a worker where to say that it serves."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
_HELP = """\
The following commands are valid at this level:
  @<relative pid>|@!<pid> <command> : send a command to a worker
  reload  : replace the worker by one with the configuration as it is now
  show proc : the master and its workers
  help : this list
  prompt : toggle interactive mode with prompt
  quit : disconnect
"""


@dataclass(slots=True)
class Worker:
    """A worker process: when it started, at which reload, and whether it serves."""

    process: trio.Process
    line: socket.socket
    started: float
    reload: int
    ready: bool = False
    leaving: bool = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid


class Master:
    """Runs workers until told to stop. `command` starts one; `-sf` and old pids are added to it."""

    def __init__(self, command: list[str], pidfile: str, listener: socket.socket | None) -> None:
        self.command = command
        self.pidfile = pidfile
        self.listener = listener
        self.workers: list[Worker] = []
        self.reloads = 0
        self.failed = 0
        self.started = time.time()
        self.stopping = False
        self.code = 0
        self.on_ready: Callable[[], None] = lambda: None
        self._changed = trio.Event()
        self._reloading = trio.Lock()

    async def run(self, before: list[int]) -> int:
        """Start a worker that replaces the processes `before`, and serve; the exit code."""
        with trio.open_signal_receiver(*SIGNALS) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            async with trio.open_nursery() as nursery:
                if self.listener is not None:
                    nursery.start_soon(self._command_line, self.listener, nursery)
                nursery.start_soon(self._signals, signals, nursery)
                if not await self._start(nursery, before):
                    self.code = self.code or 1
                    nursery.cancel_scope.cancel()
                else:
                    if self.pidfile:
                        write_pidfile(self.pidfile)
                    notify(READY=1, MAINPID=os.getpid(), STATUS="Ready.")
                    self.on_ready()
                    while self.workers:
                        await self._changed.wait()
                        self._changed = trio.Event()
                    nursery.cancel_scope.cancel()
        return self.code

    # -- workers -----------------------------------------------------------------------------------------------------

    async def _start(self, nursery: trio.Nursery, replaces: list[int]) -> bool:
        """Start a worker and wait until it serves or has ended; whether it serves."""
        ours, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        env = {**os.environ, READY_FD: str(theirs.fileno())}
        words = [*self.command, *(["-sf", *map(str, replaces)] if replaces else [])]
        process = await trio.lowlevel.open_process(words, env=env, stdin=None, close_fds=False)
        theirs.close()
        worker = Worker(process, ours, time.time(), self.reloads)
        self.workers.append(worker)
        nursery.start_soon(self._watch, worker)
        line = trio.socket.from_stdlib_socket(ours.dup())
        try:
            said = await line.recv(64)
        except OSError:
            said = b""
        finally:
            line.close()
        worker.ready = bool(said)
        return worker.ready

    async def _watch(self, worker: Worker) -> None:
        """Wait for a worker's end; one that ends unasked takes everything with it."""
        code = await worker.process.wait()
        worker.line.close()
        self.workers.remove(worker)
        self._changed.set()
        if worker.leaving or not worker.ready or self.stopping:
            if self.stopping and not self.workers and not worker.leaving:
                self.code = self.code or max(0, code)
            return
        how = f"code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"
        _say("ALERT", f"Current worker ({worker.pid}) exited with {how}; the master ends with it.")
        self.code = code if code > 0 else 128 - code
        self.stopping = True
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for worker in self.workers:
            if worker.process.returncode is None:
                worker.process.send_signal(number)

    async def reload(self, nursery: trio.Nursery) -> bool:
        """Replace the workers; False when the new one could not start, and nothing changed."""
        async with self._reloading:
            if self.stopping:
                return False
            old = [worker for worker in self.workers if not worker.leaving]
            self.reloads += 1
            reloading()
            _say("NOTICE", "Reloading HAProxy")
            for worker in old:
                # From here on they may end: the new one asks them to, once it serves.
                worker.leaving = True
            if await self._start(nursery, [worker.pid for worker in old]):
                self.failed = 0
                notify(READY=1, STATUS="Ready.")
                _say("NOTICE", "Loading success.")
                return True
            for worker in old:
                worker.leaving = False
            self.failed += 1
            notify(READY=1, STATUS="Reload failed! The previous configuration is still served.")
            _say("WARNING", "Failed to load the new configuration; the workers before it go on as they are.")
            return False

    async def _signals(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        async for number in signals:
            if number in (signal.SIGUSR2, signal.SIGHUP):
                nursery.start_soon(self.reload, nursery)
                continue
            self.stopping = True
            notify(STOPPING=1)
            if number in (signal.SIGTERM, signal.SIGINT):
                self.code = 128 + number
            self._send(number)
            self._changed.set()

    # -- its own command line ------------------------------------------------------------------------------------------

    async def _command_line(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        sock = trio.socket.from_stdlib_socket(listener)
        while True:
            client, _ = await sock.accept()
            nursery.start_soon(self._client, trio.SocketStream(client), nursery)

    async def _client(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        buffer, prompting = b"", False
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                while True:
                    data = await stream.receive_some(4096)
                    buffer += data
                    while b"\n" in buffer:
                        raw, _, buffer = buffer.partition(b"\n")
                        text = raw.decode("latin-1").strip()
                        if text in ("quit", "exit"):
                            return
                        if text == "prompt":
                            prompting = not prompting
                            answer = "\n"
                        else:
                            answer = await self._command(text, nursery)
                        end = "master> " if prompting else ""
                        await stream.send_all((answer + end).encode("latin-1", "replace"))
                        if not prompting and text != "prompt":
                            return
                    if not data or len(buffer) > 16384:
                        return

    async def _command(self, text: str, nursery: trio.Nursery) -> str:
        word, _, rest = text.partition(" ")
        if text == "show proc":
            return self._show() + "\n"
        if text == "reload":
            good = await self.reload(nursery)
            return f"Success={int(good)}\n--\n" + ("" if good else "The reason is in the log of the service.\n") + "\n"
        if word.startswith("@"):
            pid = self._pid(word[1:])
            if pid is None:
                return f"Can't find the target process '{word}'.\n\n"
            if not rest:
                return "A command is expected behind the process.\n\n"
            try:
                return await trio.to_thread.run_sync(handover.ask, pid, rest)
            except OSError as error:
                return f"Can't connect to the target process: {error.strerror or error}\n\n"
        return ("" if text in ("help", "") else f"Unknown command: '{word}'.\n") + _HELP + "\n"

    def _pid(self, word: str) -> int | None:
        pids = [worker.pid for worker in self.workers]
        if word.startswith("!"):
            return int(word[1:]) if word[1:].isdigit() and int(word[1:]) in pids else None
        current = [worker.pid for worker in self.workers if not worker.leaving]
        return current[0] if word == "1" and current else None

    def _show(self) -> str:
        def row(pid: int, kind: str, reloads: int, since: float) -> str:
            age = int(time.time() - since)
            uptime = f"{age // 86400}d{age // 3600 % 24:02d}h{age // 60 % 60:02d}m{age % 60:02d}s"
            return f"{pid:<16}{kind:<16}{reloads:<16}{uptime:<16}{HAPROXY_VERSION:<16}\n"

        said = "#<PID>          <type>          <reloads>       <uptime>        <version>\n"
        said += row(os.getpid(), "master", self.reloads, self.started)
        said += "# workers\n"
        for worker in self.workers:
            if not worker.leaving:
                said += row(worker.pid, "worker", self.reloads - worker.reload, worker.started)
        leaving = [worker for worker in self.workers if worker.leaving]
        if leaving:
            said += "# old workers\n"
            for worker in leaving:
                said += row(worker.pid, "worker", self.reloads - worker.reload, worker.started)
        return said + "# programs\n"


def _say(severity: str, text: str) -> None:
    sys.stderr.write(f"{f'[{severity}]':<10} ({os.getpid()}) : {text}\n")


def run(command: list[str], pidfile: str, listener: socket.socket | None, before: list[int], background: int) -> int:
    """Be a master until it ends; the exit code. `background` is what `daemonize` returned, or -1."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    master = Master(command, pidfile, listener)
    if background >= 0:
        master.on_ready = partial(detach, background)
    try:
        return trio.run(master.run, before, strict_exception_groups=True)
    except BaseExceptionGroup as group:
        refused, rest = group.split(Refused)
        if rest is not None or refused is None:
            raise
        _say("ALERT", str(refused.exceptions[0]))
        return 1
