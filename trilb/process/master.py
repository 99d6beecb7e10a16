"""Master-worker mode: a small process that starts workers, replaces them on a signal, and ends with them.

The master reads no configuration of its own but what the command line read to get here. A worker is a fresh program
(`python -m trilb`), so a reload may be an upgrade. The new worker takes sockets and tables over from the old one itself
(`-sf`, process/handover.py) and says when it serves; only then is the old one asked to finish. When the new one cannot
start, the old one never hears of it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import trio

from trilb.base.diagnostic import Refused
from trilb.base.units import saturated
from trilb.config.settings import Socket
from trilb.process import master_cli
from trilb.process.notify import notify, reloading
from trilb.process.privileges import detach, write_pidfile

READY_FD = "TRILB_READY_FD"
"""The environment variable that tells a worker where to say that it serves."""
BACKGROUND = "TRILB_BACKGROUND"
"""Set where a master is in the background: its workers let go of the terminal too once they serve."""
READY = b"\0"
"""What it says then; before it comes what it had to say of its start."""
_MOST_SAID = 1 << 16
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


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

    def __init__(
        self, command: list[str], pidfile: str, listener: socket.socket | None = None, line: Socket | None = None
    ) -> None:
        self.command = command
        self.pidfile = pidfile
        self.listener = listener
        self.line = line
        self.workers: list[Worker] = []
        self.reloads = 0
        self.failed = 0
        self.started = time.time()
        self.stopping = False
        self.code = 0
        self.said = ""
        """What the last start or reload had to say."""
        self.on_ready: Callable[[], None] = lambda: None
        self._changed = trio.Event()
        self._reloading = trio.Lock()

    async def run(self, before: list[int]) -> int:
        """Start a worker that replaces the processes `before`, and serve; the exit code."""
        with trio.open_signal_receiver(*SIGNALS) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                if self.listener is not None and self.line is not None:
                    nursery.start_soon(master_cli.serve, self, self.line, self.listener)
                nursery.start_soon(self._signals, signals)
                # A reload waits for it: its worker would end the one that does not serve yet, and so the start.
                async with self._reloading:
                    started = await self._start(before)
                if not started:
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

    async def _start(self, replaces: list[int], *, hard: bool = False) -> bool:
        """Start a worker and wait until it serves or has ended; whether it serves."""
        ours, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        env = {**os.environ, READY_FD: str(theirs.fileno())}
        words = [*self.command, *(["-st" if hard else "-sf", *map(str, replaces)] if replaces else [])]
        process = await trio.lowlevel.open_process(words, env=env, stdin=None, close_fds=False)
        theirs.close()
        worker = Worker(process, ours, time.time(), self.reloads)
        self.workers.append(worker)
        self._nursery.start_soon(self._watch, worker)
        if self.stopping:
            # The signal came while this one was being made, and went to the others only.
            process.send_signal(signal.SIGTERM)
        line = trio.socket.from_stdlib_socket(ours.dup())
        said = b""
        try:
            while not said.endswith(READY) and len(said) < _MOST_SAID:
                data = await line.recv(4096)
                if not data:
                    break
                said += data
        except OSError:
            pass
        finally:
            line.close()
        self.said += said.removesuffix(READY).decode("utf-8", "replace")
        worker.ready = said.endswith(READY)
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

    async def reload(self, *, hard: bool = False) -> bool:
        """Replace the workers (`hard`: they end at once); False when the new one could not start: nothing changed."""
        async with self._reloading:
            if self.stopping:
                return False
            old = [worker for worker in self.workers if not worker.leaving]
            self.reloads += 1
            reloading()
            self.said = ""
            self._tell("NOTICE", "Reloading HAProxy")
            for worker in old:
                # From here on they may end: the new one asks them to, once it serves.
                worker.leaving = True
            if await self._start([worker.pid for worker in old], hard=hard):
                self.failed = 0
                notify(READY=1, STATUS="Ready.")
                self._tell("NOTICE", "Loading success.")
                return True
            for worker in old:
                worker.leaving = False
            self.failed += 1
            notify(READY=1, STATUS="Reload failed! The previous configuration is still served.")
            self._tell("WARNING", "Failed to load the new configuration; the workers before it go on as they are.")
            return False

    async def _signals(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number in (signal.SIGUSR2, signal.SIGHUP):
                self._nursery.start_soon(self.reload)
                continue
            self.stopping = True
            notify(STOPPING=1)
            if number in (signal.SIGTERM, signal.SIGINT):
                self.code = 128 + number
            self._send(number)
            self._changed.set()

    def _tell(self, severity: str, text: str) -> None:
        """Say it to the log of the service, and to who asks for the start's messages."""
        self.said += _say(severity, text)

    # -- what its command socket asks ----------------------------------------------------------------------------------

    def pid_of(self, word: str) -> int | None:
        """The process that `1` or `!<pid>` names; 0 is the master itself."""
        pids = [worker.pid for worker in self.workers]
        if word.startswith("!"):
            pid = saturated(word[1:]) if word[1:].isdecimal() else -1
            return 0 if pid == os.getpid() else pid if pid in pids else None
        current = [worker.pid for worker in self.workers if not worker.leaving]
        return current[0] if word == "1" and current else None

    def age_of(self, pid: int) -> float:
        """Seconds since a process was started; 0 is the master itself."""
        since = [worker.started for worker in self.workers if worker.pid == pid]
        return time.time() - (since[0] if since else self.started)

    def show(self) -> str:
        """The answer to `show proc`."""
        now = time.time()
        own = (os.getpid(), "master", f"{self.reloads} [failed: {self.failed}]", now - self.started)
        rows: list[tuple[int, str, str, float]] = [own]
        old: list[tuple[int, str, str, float]] = []
        for worker in self.workers:
            row = (worker.pid, "worker", str(self.reloads - worker.reload), now - worker.started)
            (old if worker.leaving else rows).append(row)
        return master_cli.table(rows, old)


def _say(severity: str, text: str) -> str:
    line = f"{f'[{severity}]':<10} ({os.getpid()}) : {text}\n"
    sys.stderr.write(line)
    return line


def run(
    command: list[str], pidfile: str, listener: tuple[Socket, socket.socket] | None, before: list[int], background: int
) -> int:
    """Be a master until it ends; the exit code. `background` is what `daemonize` returned, or -1."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    line, sock = listener or (None, None)
    master = Master(command, pidfile, sock, line)
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
