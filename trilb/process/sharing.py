"""Stick tables among replicas: what a configuration's peers sections mean for this process.

Each section is a `peers.replica.Replica` with its service. A table that names no section is shared with nobody but the
next process of this very instance, which takes all of them over before it accepts its first connection.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from zlib import crc32

import trio

from peers.replica import PeerStatus, Remote, Replica
from peers.service import Address as PeerAddress
from peers.service import Service
from trilb.base.diagnostic import Place, Refused
from trilb.config.lines import Bind
from trilb.config.model import Config
from trilb.config.sections import PeersSection
from trilb.net import tls
from trilb.net.address import resolve
from trilb.net.listen import open_listener
from trilb.process.durable import Durable
from trilb.process.handover import Inheritance, key_of
from trilb.runtime import Runtime
from trilb.tables.shared import SharedTable

A = TypeVar("A")
T = TypeVar("T")
_GRACE = 0.5
"""Seconds for which a start waits for peers that do not answer: they may hold the sessions of the first clients."""
_PATIENCE = 5.0
"""Seconds without progress after which a start goes on with what it has."""
_LONGEST = 60.0
"""Seconds for which a start waits however well learning goes."""
_HANDOVER = "the next process"


@dataclass(slots=True)
class Section:
    """A peers section, ready to be served; what `show peers` looks at."""

    config: PeersSection
    addresses: list[PeerAddress] = field(default_factory=list)
    listeners: list[socket.socket] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    server_tls: ssl.SSLContext | None = None
    service: Service | None = None
    replica: Replica | None = None
    local: str = ""

    @property
    def name(self) -> str:
        """The section's."""
        return self.config.name

    @property
    def disabled(self) -> bool:
        """Whether nothing is shared: never so, disabled sections are not served."""
        return False

    @property
    def synced(self) -> bool:
        """Whether this node knows what its peers know."""
        return self.replica is not None and self.replica.synced

    @property
    def strangers(self) -> int:
        """Connections that were refused because nobody knows who they were."""
        return self.replica.strangers if self.replica is not None else 0

    @property
    def protocol_errors(self) -> int:
        """Connections that were closed because what came made no sense."""
        return self.replica.protocol_errors if self.replica is not None else 0

    def peers(self) -> list[PeerStatus]:
        """How every peer is."""
        return self.replica.status(trio.current_time()) if self.replica is not None else []


def prepare(config: Config) -> list[Section]:
    """Resolve peers and load what TLS needs. Raises Refused with the line that is wrong."""
    found = []
    for section in config.peers.values():
        if section.disabled:
            continue
        made = Section(section)
        if section.bind_tls is not None:
            made.server_tls = _placed(section.binds[-1].place, tls.server_context, section.bind_tls)
        for peer in section.peers:
            if peer.name == config.globals.localpeer or peer.address is None:
                continue
            context = None
            if peer.tls is not None:
                context = _placed(peer.place, tls.client_context, peer.tls)
            family, sockaddr = _placed(peer.place, resolve, peer.address)
            text = f"{sockaddr[0]}:{sockaddr[1]}" if isinstance(sockaddr, tuple) else sockaddr
            host = (peer.tls.verify_host or None) if peer.tls is not None else None
            made.addresses.append(PeerAddress(peer.name, family, sockaddr, text, context, host))
        found.append(made)
    return found


def _placed(place: Place, work: Callable[[A], T], argument: A) -> T:
    try:
        return work(argument)
    except Refused as refused:
        raise Refused(refused.text, place=place) from None


def _say(runtime: Runtime, section: str, text: str) -> None:
    runtime.say_globally(f"peers {section}: {text}.", "notice")


def _say_of_table(runtime: Runtime, table: str, text: str, level: str) -> None:
    runtime.say_globally(f"stick-table {table}: {text}.", level)


class Sharing:
    """All that this process shares. `open` comes before privileges are dropped, `run` serves."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sections = prepare(config)
        self.local = config.globals.localpeer
        self.incarnation = int(time.time() * 1000)
        self.shared: dict[str, SharedTable] = {}
        self.runtime: Runtime | None = None
        self.handovers: list[Service] = []
        self.durables: list[Durable] = []
        self.stopping = trio.Event()

    def open(self, inherited: Inheritance) -> None:
        """Open the sockets peers connect to. Raises Refused."""
        for section in self.sections:
            binds = section.config.binds
            if not binds:
                own = next(peer for peer in section.config.peers if peer.name == self.local)
                binds = [Bind((own.address,), own.place)] if own.address is not None else []
            for bind in binds:
                for address in bind.addresses:
                    key = "peers|" + key_of(address, bind)
                    sock = inherited.take(key)
                    try:
                        section.listeners.append(sock or open_listener(address, bind, 64))
                        section.keys.append(key)
                    except Refused as refused:
                        text = f"Starting peers {section.config.name}: {refused.text}"
                        raise Refused(text, place=bind.place) from None

    @property
    def origin(self) -> str:
        """How counters of this process are told from those of others, and of the process before it."""
        return f"{self.local}/{self.incarnation:013x}"

    def build(self, runtime: Runtime) -> None:
        """Make replicas of the tables, once they exist."""
        self.runtime = runtime
        runtime.hybrid.node = crc32(self.origin.encode())
        clock = runtime.plane.clock
        for section in self.sections:
            tables = {}
            for table in runtime.tables.values():
                if table.schema.peers != section.config.name:
                    continue
                within = table.name.startswith(section.config.name + "/")
                name = "/" + table.name.partition("/")[2] if within else table.name
                table.shards = section.config.shards
                shared = SharedTable(table, name, self.origin, clock.refresh, partial(self._poke, section))
                if table.schema.write_to:
                    shared.written = runtime.tables[table.schema.write_to]
                self.shared[table.name] = tables[name] = shared
            remotes = {
                peer.name: Remote(
                    peer.name, next((a.text for a in section.addresses if a.name == peer.name), ""), peer.shard
                )
                for peer in section.config.peers
            }
            section.local = self.local
            runtime.sections.append(section)
            section.replica = Replica(
                section.config.name,
                self.local,
                self.incarnation,
                tables,
                remotes,
                clock.now,
                patience=_PATIENCE,
                say=partial(_say, runtime, section.config.name),
            )

    def _poke(self, section: Section) -> None:
        if section.service is not None:
            section.service.poke()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve every section until cancelled."""
        async with trio.open_nursery() as nursery:
            for section in self.sections:
                assert section.replica is not None
                section.replica.began = section.replica.progress = trio.current_time()
                listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in section.listeners]
                section.service = Service(
                    section.replica,
                    listeners,
                    section.addresses,
                    tls=section.server_tls,
                )
                await nursery.start(section.service.run)
            for durable in self.durables:
                nursery.start_soon(durable.run, self.stopping)
            task_status.started()

    async def settled(self) -> None:
        """Wait until what peers know is known here, as far as they can be reached."""
        async with trio.open_nursery() as nursery:
            for section in self.sections:
                if section.service is not None and section.replica is not None and section.replica.tables:
                    nursery.start_soon(section.service.settled, _GRACE, _LONGEST)

    async def flush(self, timeout: float) -> None:
        """Before this process ends: tell peers, and let what changed last reach them."""
        async with trio.open_nursery() as nursery:
            for section in self.sections:
                if section.service is not None:
                    nursery.start_soon(section.service.flush, timeout)
            for service in self.handovers:
                nursery.start_soon(service.flush, timeout)

    # -- files -------------------------------------------------------------------------------------------------------

    def prepare_files(self) -> None:
        """Tables that are kept in files: whether these can be. Raises Refused."""
        runtime = self.runtime
        assert runtime is not None
        clock = runtime.plane.clock
        for table in runtime.tables.values():
            if not table.schema.durable:
                continue
            shared = SharedTable(table, table.name, self.origin, clock.refresh)
            made = Durable(shared, table.schema.durable, partial(_say_of_table, runtime, table.name))
            try:
                made.check()
            except Refused as refused:
                raise Refused(refused.text, place=table.schema.place) from None
            self.durables.append(made)

    def load(self, *, read: bool) -> None:
        """Read the files, unless a process before hands the tables over. The loop's clock must run."""
        for durable in self.durables:
            durable.number()
            if read:
                durable.load()
                durable.shared.take()

    # -- the next process, and the one before ------------------------------------------------------------------------

    def _handover(self, *, knows: bool) -> Service:
        """A replica of every table, whoever else shares it, for another process of this instance."""
        runtime = self.runtime
        assert runtime is not None
        made: list[Service] = []

        def poke() -> None:
            if made:
                made[0].poke()

        clock = runtime.plane.clock
        tables = {
            table.name: SharedTable(table, table.name, self.origin, clock.refresh, poke)
            for table in runtime.tables.values()
        }
        replica = Replica(
            _HANDOVER,
            self.local,
            self.incarnation,
            tables,
            {},
            trio.current_time(),
            patience=_PATIENCE,
            say=partial(_say, runtime, _HANDOVER),
        )
        replica.synced = knows
        made.append(Service(replica, [], []))
        self.handovers.append(made[0])
        return made[0]

    def _end_handover(self, service: Service) -> None:
        self.handovers.remove(service)
        for table in service.replica.tables.values():
            assert isinstance(table, SharedTable)
            table.table.unsubscribe(table.feed)

    async def teach(self, stream: trio.SocketStream, said: bytes) -> None:
        """Give every table to the next process, and what changes after, until it has enough; it `said` so much."""
        service = self._handover(knows=True)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(service.run)
                await service.serve_stream(stream, False, said)
                nursery.cancel_scope.cancel()
        finally:
            self._end_handover(service)

    async def learn(
        self, stream: trio.SocketStream, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take every table over from the process before; started when that is done, ended when that one is gone."""
        service = self._handover(knows=False)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(service.run)
                await nursery.start(self._follow, service, stream, nursery.cancel_scope)
                await service.settled(0.0, _LONGEST)
                task_status.started()
        finally:
            self._end_handover(service)

    @staticmethod
    async def _follow(
        service: Service,
        stream: trio.SocketStream,
        scope: trio.CancelScope,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(service.serve_stream, stream, True, b"")
            task_status.started()
        scope.cancel()

    def stop(self) -> None:
        """Another process goes on: from now on the files are its own, and it hears what still changes here."""
        self.stopping.set()

    def close(self) -> None:
        """Close the listening sockets."""
        for section in self.sections:
            for sock in section.listeners:
                sock.close()
