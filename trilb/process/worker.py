"""A process's life: open, drop privileges, serve, stop.

Everything that can fail does so before the first connection is accepted. SIGINT and SIGTERM stop at once; SIGUSR1
takes no new connections and ends when the last session has (`hard-stop-after` bounds it).
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import trio

from trilb.admin import stats_file
from trilb.admin.server import serve_socket
from trilb.assembly import build
from trilb.base.clock import Clock
from trilb.base.diagnostic import NOWHERE, Place, Refused
from trilb.config.lines import Bind
from trilb.config.model import Config, Proxy
from trilb.config.settings import Socket
from trilb.dynamic import Dynamic
from trilb.health import states
from trilb.health.run import Checks
from trilb.live.proxy import Listener
from trilb.net.listen import address_of, open_listener
from trilb.process import handover
from trilb.process.console import Console
from trilb.process.handover import Inheritance
from trilb.process.master import BACKGROUND, READY, READY_FD
from trilb.process.notify import notify
from trilb.process.privileges import daemonize, detach, drop, let_go, prepare, write_pidfile
from trilb.process.sharing import Sharing
from trilb.process.successor import Successor
from trilb.proxy import pool
from trilb.proxy.accept import Acceptor
from trilb.runtime import Runtime

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
_DEFAULT_BACKLOG = 1024
Listening = tuple[str, Bind, socket.socket, str]
"""The proxy, the bind line, its socket, and the key by which the next process finds it."""
_FLUSH = 1.0
"""Seconds for which a process that ends waits for peers to have what changed last."""
_PURGE = 1.0
"""Seconds between looks at idle server connections."""
_EXPIRE = 0.1
"""Seconds between looks at expired entries; a lookup never finds one, whenever that is."""


@dataclass(frozen=True, slots=True)
class Start:
    """How the command line wants a worker to start: in front or behind, and instead of whom."""

    foreground: bool = True
    finish: tuple[int, ...] = ()
    terminate: tuple[int, ...] = ()
    listeners_from: str = ""
    notifies: bool = False
    note: Callable[[Place, str], None] = lambda place, text: None
    warn: Callable[[str], None] = lambda text: None
    said: Sequence[str] = ()
    """What was said so far, and what `note` and `warn` say."""
    quiet: bool = False


def run(config: Config, start: Start) -> None:
    """Serve until told to stop. Raises Refused when it cannot start."""
    # From here to the receiver in `main` signals wait: one that comes early must not kill a half-started process.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    # And a second one, while the process is already leaving, must not turn its end into a failure.
    # (Not SIG_IGN: the system would throw away what is pending.)
    before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    try:
        _run(config, start)
    except Refused:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        raise
    # The interpreter takes the handlers away before the process is gone: nothing may be delivered any more.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _run(config: Config, start: Start) -> None:
    settings = config.globals
    uid, gid = prepare(settings)
    _raise_descriptors()
    ready = Ready(start)
    if start.listeners_from:
        inherited = handover.inherit_from(start.listeners_from)
        inherited.line = handover.inherit((*start.finish, *start.terminate), tables_only=True).line
    else:
        inherited = handover.inherit((*start.finish, *start.terminate))
    listeners = _open(config, inherited)
    sharing = Sharing(config)
    sharing.open(inherited)
    sockets = [
        (
            line,
            open_listener(
                line.address,
                Bind((line.address,), line.place, mode=line.mode, uid=line.uid, gid=line.gid),
                line.backlog or settings.stats_maxconn,
            ),
        )
        for line in settings.stats_sockets
    ]
    inherited.close()
    if not start.foreground:
        ready.background = daemonize()
    if settings.pidfile and not ready.master:
        write_pidfile(settings.pidfile)
    runtime = build(config, Clock())
    runtime.startup = start.said
    for place, text in runtime.warnings:
        start.note(place, text)
    for text in runtime.early:
        start.warn(text)
    runtime.serves = True
    runtime.show = None if start.quiet else Console().show
    if settings.stats_file:
        try:
            with open(settings.stats_file, encoding="latin-1") as file:
                runtime.stats_file = file.read()
        except OSError as error:
            start.note(NOWHERE, f"stats-file '{settings.stats_file}' cannot be read: {error.strerror}")
    sharing.build(runtime)
    sharing.prepare_files()
    drop(settings, uid, gid)
    # What load made lives as long as the process: take it out of the collector's sight.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        trio.run(
            partial(_Worker(runtime, listeners, sockets, sharing, inherited.line, ready).main),
            strict_exception_groups=True,
        )
    finally:
        for _, _, sock, _ in listeners:
            sock.close()
        for _, sock in sockets:
            sock.close()
        sharing.close()
        runtime.channels.close()


def _raise_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open(config: Config, inherited: Inheritance) -> list[Listening]:
    """Open every bind line of every frontend, all or nothing."""
    opened: list[Listening] = []
    try:
        for proxy in config.proxies:
            if proxy.disabled:
                continue
            for bind in proxy.binds:
                backlog = _backlog(bind, proxy)
                for address in bind.addresses:
                    key = handover.key_of(address, bind)
                    try:
                        sock = inherited.take(key) or open_listener(address, bind, backlog)
                    except Refused as refused:
                        raise Refused(f"Starting {proxy.kind} {proxy.name}: {refused.text}", place=bind.place) from None
                    opened.append((proxy.name, bind, sock, key))
    except BaseException:
        for _, _, sock, _ in opened:
            sock.close()
        raise
    return opened


def _backlog(bind: Bind, proxy: Proxy) -> int:
    return bind.backlog or proxy.backlog or proxy.maxconn or _DEFAULT_BACKLOG


class Ready:
    """Whom to tell that this process serves: its master, who started it, the service manager, those it replaces."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.master = int(os.environ.get(READY_FD, "0"))
        if self.master:
            os.set_inheritable(self.master, False)
        self.background = -1
        # Opened now: a chroot has none.
        self.null = os.open(os.devnull, os.O_RDWR)

    @staticmethod
    def own_line() -> socket.socket:
        """The socket for the process that will replace this one."""
        return handover.listen()

    def tell(self) -> None:
        """Everything listens and is accepted."""
        if self.background >= 0:
            detach(self.background, self.null)
        elif self.master and BACKGROUND in os.environ:
            let_go(self.null)
        for pids, number in ((self.start.finish, signal.SIGUSR1), (self.start.terminate, signal.SIGTERM)):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        if self.master:
            os.environ.pop(READY_FD, None)
            with suppress(OSError):
                os.write(self.master, READY)
        elif self.start.notifies:
            notify(READY=1, MAINPID=os.getpid(), STATUS="Ready.")


class _Worker:
    def __init__(
        self,
        runtime: Runtime,
        listeners: list[Listening],
        sockets: list[tuple[Socket, socket.socket]],
        sharing: Sharing,
        before: socket.socket | None,
        ready: Ready,
    ) -> None:
        self.before = before
        self.ready = ready
        self.sharing = sharing
        self.runtime = runtime
        self.listeners = listeners
        self.sockets = sockets
        self.acceptors: list[Acceptor] = []
        self.done = trio.Event()
        self.asked = trio.Event()
        """It is to end when its sessions have."""
        self.starting = trio.CancelScope()

    async def main(self) -> None:
        """Serve; returns when stopped."""
        runtime, plane = self.runtime, self.runtime.plane
        built = plane.clock.now
        plane.clock.follow(trio.current_time)
        states.begin(runtime.backends.values(), plane.clock.now - built)
        runtime.process.started_wall = plane.clock.wall
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._signals, signals)
                nursery.start_soon(plane.poller.run)
                nursery.start_soon(plane.wheel.run)
                nursery.start_soon(self._purge)
                for resolvers in runtime.resolvers.values():
                    nursery.start_soon(resolvers.run)
                if runtime.tables:
                    nursery.start_soon(self._expire)
                runtime.give_listeners = self._give
                runtime.growth = Dynamic(runtime)
                slots = trio.Semaphore(runtime.config.globals.stats_maxconn)
                for line, sock in self.sockets:
                    nursery.start_soon(serve_socket, runtime, slots, line, sock)
                self.sharing.load(read=self.before is None)
                with self.starting:
                    if self.before is not None:
                        await self._take_over(nursery, self.before)
                    await nursery.start(self.sharing.run)
                    # Whoever is accepted now may be known to a peer: a few moments' wait, or his session moves.
                    await self.sharing.settled()
                if self.done.is_set():
                    # Told to stop before it served: whom it was to replace goes on.
                    nursery.cancel_scope.cancel()
                    return
                async with trio.open_nursery() as serving:
                    numbers: dict[str, int] = {}
                    on_line: dict[int, int] = {}
                    for name, bind, sock, _ in self.listeners:
                        numbers[name] = numbers.get(name, 0) + 1
                        acceptor = Acceptor(
                            plane,
                            runtime.frontends[name],
                            sock,
                            bind.name,
                            bind.id or numbers[name],
                            runtime.process.sessions,
                        )
                        acceptor.most = bind.maxconn
                        acceptor.accept_proxy = bind.accept_proxy
                        acceptor.binding = runtime.bindings.get(id(bind))
                        acceptor.proto = bind.proto
                        acceptor.backlog = _backlog(bind, runtime.frontends[name].config)
                        frontend = runtime.frontends[name]
                        if "socket-stats" in frontend.config.options:
                            called = bind.name or f"sock-{acceptor.number}"
                            at = on_line[id(bind)] = on_line.get(id(bind), -1) + 1
                            guid = f"{bind.guid_prefix}-{at}" if bind.guid_prefix else ""
                            address = address_of(sock)
                            listener = Listener(frontend, called, acceptor.number, address, bind.maxconn, guid)
                            acceptor.counters = listener.counters
                            frontend.listeners.append(listener)
                        self.acceptors.append(acceptor)
                        runtime.gates.append(acceptor)
                        serving.start_soon(acceptor.run, serving)
                    stats_file.load(runtime, runtime.stats_file)
                    successor = Successor(runtime, self.sharing, self._exposed)
                    nursery.start_soon(successor.run, self.ready.own_line())
                    settings = runtime.config.globals
                    runtime.checks = Checks(plane.poller, nursery, settings.spread_checks)
                    servers = [server for backend in runtime.backends.values() for server in backend.servers]
                    runtime.checks.begin_all(servers, settings.max_spread_checks)
                    if runtime.history is not None:
                        nursery.start_soon(runtime.history.run)
                    serving.start_soon(self._finish, serving)
                    if self.ready.master:
                        nursery.start_soon(self._master, serving)
                    # Accepting tasks run from here on, before the process that is replaced hears of it.
                    await trio.lowlevel.checkpoint()
                    self.ready.tell()
                    await self.done.wait()
                    serving.cancel_scope.cancel()
                await self.sharing.flush(_FLUSH)
                nursery.cancel_scope.cancel()

    async def _take_over(self, nursery: trio.Nursery, before: socket.socket) -> None:
        """Learn the tables of the process before; what it learns while it leaves comes as well."""
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(before))
        try:
            await stream.send_all(handover.TABLES)
        except trio.BrokenResourceError:
            await trio.aclose_forcefully(stream)
            return
        await nursery.start(self.sharing.learn, stream)

    def _exposed(self) -> list[tuple[str, socket.socket]]:
        """What another process may take over: each listening socket with its key."""
        found = [(key, sock) for _, _, sock, key in self.listeners if sock.fileno() >= 0]
        for section in self.sharing.sections:
            found += zip(section.keys, section.listeners, strict=True)
        return found

    def _give(self, sock: socket.socket) -> None:
        sock.settimeout(5.0)
        with suppress(OSError):
            handover.give(sock, self._exposed())

    async def _master(self, serving: trio.Nursery) -> None:
        """A master that is gone leaves nobody to ask for a reload: finish softly."""
        await trio.lowlevel.wait_readable(self.ready.master)
        if not self.runtime.plane.stopping:
            await self._soft_stop(serving)

    async def _signals(self, signals: AsyncIterator[int]) -> None:
        """Wait for the signal that ends the process, from its first moment on."""
        async for number in signals:
            if number in (signal.SIGINT, signal.SIGTERM):
                self.done.set()
                self.starting.cancel()
                return
            if number == signal.SIGUSR1:
                self.asked.set()

    async def _finish(self, serving: trio.Nursery) -> None:
        await self.asked.wait()
        if not self.runtime.plane.stopping:
            await self._soft_stop(serving)

    async def _soft_stop(self, serving: trio.Nursery) -> None:
        runtime = self.runtime
        runtime.plane.stopping = runtime.process.stopping = True
        self.sharing.stop()
        for acceptor in self.acceptors:
            acceptor.stop()
        for frontend in runtime.frontends.values():
            frontend.stopped = True
        for proxy in runtime.config.proxies:
            front, back = runtime.frontends.get(proxy.name), runtime.backends.get(proxy.name)
            counts = [c.counters.stot if c is not None else 0 for c in (front, back)]
            runtime.say(
                proxy.name,
                f"Proxy {proxy.name} stopped (cumulated conns: FE: {counts[0]}, BE: {counts[1]}).",
                "warning",
            )
        with trio.move_on_after(runtime.config.globals.hard_stop_after or float("inf")):
            while any(acceptor.current for acceptor in self.acceptors):
                for session in list(runtime.process.sessions):
                    if not session.inflight:
                        session.waiter.wake()
                await trio.sleep(0.02)
        self.done.set()

    async def _purge(self) -> None:
        """Close server connections that idled too long; see how busy the process was meanwhile."""
        plane = self.runtime.plane
        busy, since, sent = time.process_time(), time.monotonic(), 0
        while True:
            await trio.sleep(_PURGE)
            worked, now = time.process_time(), time.monotonic()
            plane.process.idle = max(0, min(100, round(100 - 100 * (worked - busy) / (now - since))))
            sent, sent_before = sum(front.counters.bout for front in self.runtime.frontends.values()), sent
            plane.process.bytes_rate = max(0, int((sent - sent_before) / (now - since)))
            busy, since = worked, now
            for backend in self.runtime.backends.values():
                for server in backend.servers:
                    if server.muxes:
                        pool.retire(server, plane.clock.now)
                    if server.idle:
                        for conn in pool.stale(server, plane.clock.now):
                            conn.close()

    async def _expire(self) -> None:
        """Let go of stick table entries whose time is over, a slice at a time."""
        tables = self.runtime.tables.values()
        clock = self.runtime.plane.clock
        while True:
            await trio.sleep(_EXPIRE)
            for table in tables:
                while table.purge(clock.refresh()):
                    await trio.lowlevel.checkpoint()
