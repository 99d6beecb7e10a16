"""The shell: connections to and from peers, with or without TLS. All decisions are in `replica`."""

from __future__ import annotations

import random
import ssl
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import trio

from peers.link import Link
from peers.replica import HANDSHAKE, Replica

_GATHER: Final = 0.001
"""Seconds for which changes gather before they are sent: what comes in a burst travels in one batch."""
_TICK: Final = 0.25
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0
_STRANGERS: Final = 64
"""Connections that may be shaking hands at once; with more, the one that has taken longest is closed."""
_CHUNK: Final = 65536
"""Bytes that are read, and so merged, before other tasks get a turn: a batch or two."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer is reached: what `socket.connect` takes, its family, and how the connection is secured."""

    name: str
    family: int
    sockaddr: Any
    text: str
    tls: ssl.SSLContext | None = None
    hostname: str | None = None


def explain(error: BaseException, address: str) -> str:
    """What went wrong with a connection, and what to look at."""
    if isinstance(error, trio.BrokenResourceError) and error.__cause__ is not None:
        return explain(error.__cause__, address)
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {address}; is trilb running there, and listening on this address?"
    if isinstance(error, trio.TooSlowError):
        return f"no answer from {address}; is the network between, or a firewall, in the way?"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {address} is not trusted: {error.verify_message}; look at 'ca-file'"
    if isinstance(error, ssl.SSLError):
        return f"TLS with {address} failed: {error.reason or error}; do both sides use it, with certificates of one CA?"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({address})"
    return f"connection to {address} ended"


class Service:
    """Runs a replica: listens, dials, reads, writes, until cancelled."""

    def __init__(
        self,
        replica: Replica,
        listeners: Sequence[trio.SocketListener],
        addresses: Sequence[Address],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.replica = replica
        self.listeners = listeners
        self.addresses = addresses
        self.tls = tls
        self._poked = trio.Event()
        self._synced = trio.Event()
        self._handshakes: dict[object, trio.CancelScope] = {}
        self._lost: dict[str, trio.Event] = {}
        self._nursery: trio.Nursery | None = None
        replica.on_synced = self._synced.set
        if replica.synced:
            self._synced.set()

    def poke(self) -> None:
        """A table has changes."""
        self._poked.set()

    async def settled(self, grace: float, timeout: float) -> bool:
        """Wait until this node knows what its peers know, or none of them can tell; whether that was in time."""
        with trio.move_on_after(timeout):
            while not self.replica.settled(trio.current_time(), grace):
                with trio.move_on_after(0.02):
                    await self._synced.wait()
            return True
        return False

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._collect)
            nursery.start_soon(self._tick)
            for listener in self.listeners:
                nursery.start_soon(self._listen, listener)
            for address in self.addresses:
                nursery.start_soon(self._dial, address)
            task_status.started()

    async def _collect(self) -> None:
        replica = self.replica
        while True:
            await self._poked.wait()
            await trio.sleep(_GATHER)
            self._poked = trio.Event()
            replica.collect(trio.current_time())

    async def _tick(self) -> None:
        while True:
            await trio.sleep(_TICK)
            self.replica.tick(trio.current_time())

    async def flush(self, timeout: float) -> bool:
        """Tell the peers that this process stops, and wait until all it knew is with them; whether it was."""
        self.replica.collect(trio.current_time())
        self.replica.stop()
        with trio.move_on_after(timeout):
            while not self.replica.flushed:
                await trio.sleep(0.01)
            return True
        return False

    # -- connections -------------------------------------------------------------------------------------------------

    async def _listen(self, listener: trio.SocketListener) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await listener.accept()
                except OSError:
                    await trio.sleep(0.1)
                    continue
                if len(self._handshakes) >= _STRANGERS:
                    next(iter(self._handshakes.values())).cancel()
                nursery.start_soon(self._accepted, stream)

    async def _accepted(self, raw: trio.SocketStream) -> None:
        origin = _origin(raw)
        token = object()

        def known() -> None:
            self._handshakes.pop(token, None)

        with trio.CancelScope() as scope:
            self._handshakes[token] = scope
            await self._admit(raw, origin, known)
        known()
        await trio.aclose_forcefully(raw)

    async def _admit(self, raw: trio.SocketStream, origin: str, known: Callable[[], None]) -> None:
        try:
            stream: trio.abc.Stream = raw
            if self.tls is not None:
                secured = trio.SSLStream(raw, self.tls, server_side=True, https_compatible=True)
                try:
                    with trio.fail_after(HANDSHAKE):
                        await secured.do_handshake()
                except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    self.replica.strangers += 1
                    self.replica.say(f"a stranger at {origin} was refused: {explain(error, origin)}")
                    await trio.aclose_forcefully(raw)
                    return
                stream = secured
            await self._converse(stream, "", dialed=False, origin=origin, known=known)
        finally:
            known()

    async def _dial(self, address: Address) -> None:
        """Keep a peer linked: dial it whenever it is not."""
        replica, wait = self.replica, _FIRST_WAIT
        while True:
            if replica.linked(address.name):
                event = self._lost.setdefault(address.name, trio.Event())
                with trio.move_on_after(_LONGEST_WAIT):
                    await event.wait()
                self._lost.pop(address.name, None)
                wait = _FIRST_WAIT
            # Both sides dial: jitter lets one of them be first.
            await trio.sleep(wait * random.uniform(0.5, 1.0))
            if replica.linked(address.name):
                continue
            began = trio.current_time()
            try:
                with trio.fail_after(HANDSHAKE):
                    stream = await _connect(address)
            except (OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
                remote = replica.remotes[address.name]
                remote.error, remote.error_since = explain(error, address.text), trio.current_time()
            else:
                await self._converse(stream, address.name, dialed=True, origin=address.text)
            if trio.current_time() - began > _LONGEST_WAIT:
                wait = _FIRST_WAIT
            wait = min(wait * 2, _LONGEST_WAIT)

    async def serve_stream(
        self,
        stream: trio.abc.Stream,
        dial: bool,
        said: bytes,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Speak over a ready connection to another process of this very peer, which `said` something already."""
        peer = self.replica.name if dial else ""
        await self._converse(
            stream, peer, dialed=dial, local=True, origin="this machine", opened=task_status.started, said=said
        )

    async def _converse(
        self,
        stream: trio.abc.Stream,
        peer: str,
        *,
        dialed: bool,
        origin: str,
        local: bool = False,
        known: Callable[[], None] = lambda: None,
        opened: Callable[[], None] = lambda: None,
        said: bytes = b"",
    ) -> None:
        replica = self.replica
        link = replica.open(peer, trio.current_time(), dialed=dialed, local=local, origin=origin)
        opened()
        if said:
            replica.receive(link, said, trio.current_time())
        reason = "the peer closed the connection"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, link, stream, nursery.cancel_scope)
                while not link.closing:
                    data = await stream.receive_some(_CHUNK)
                    if not data:
                        break
                    replica.receive(link, bytes(data), trio.current_time())
                    if link.established:
                        known()
                if link.closing:
                    # What it is told must still leave.
                    with trio.move_on_after(1.0):
                        while link.outbox:
                            await trio.sleep(0.005)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError) as group:
            reason = explain(group.exceptions[0], origin)
        except* Exception as group:  # noqa: BLE001
            # A fault of ours in one conversation must end neither the others nor the traffic: tell, count, close.
            reason = "a fault of this program; please report what it printed"
            replica.faults += 1
            traceback.print_exception(group, file=sys.stderr)
        finally:
            peer = link.peer
            replica.lost(link, reason, trio.current_time())
            event = self._lost.pop(peer, None)
            if event is not None:
                event.set()
            await trio.aclose_forcefully(stream)

    async def _write(self, link: Link, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
        replica = self.replica
        wake = trio.Event()

        def ring() -> None:
            wake.set()

        link.wake = ring
        with suppress(trio.ClosedResourceError):
            while True:
                data = replica.pump(link, trio.current_time())
                if data:
                    await stream.send_all(data)
                    continue
                if link.closing:
                    scope.cancel()
                    return
                await wake.wait()
                wake = trio.Event()


def _origin(stream: trio.SocketStream) -> str:
    try:
        found = stream.socket.getpeername()
    except OSError:
        return "nowhere"
    return f"{found[0]}:{found[1]}" if isinstance(found, tuple) else str(found or "a unix socket")


async def _connect(address: Address) -> trio.abc.Stream:
    sock = trio.socket.socket(address.family)
    try:
        await sock.connect(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    raw = trio.SocketStream(sock)
    if address.tls is None:
        return raw
    secured = trio.SSLStream(raw, address.tls, server_hostname=address.hostname, https_compatible=True)
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(raw)
        raise
    return secured
