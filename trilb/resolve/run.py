"""Resolvers sections as they run: one task a name, one a socket. The room's I/O is here and in nameserver.py."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable
from functools import partial

import trio

from trilb.base.address import is_service
from trilb.base.clock import Clock
from trilb.config.sections import ResolversSection
from trilb.live.proxy import Backend
from trilb.live.server import Server
from trilb.resolve import changes, wire
from trilb.resolve.families import Families
from trilb.resolve.lookups import Lookup, Question, ServerName, Service, best, lookup_of
from trilb.resolve.nameserver import Nameserver
from trilb.resolve.resolution import Step
from trilb.resolve.wire import Kind, Status

_DATAGRAMS = 64
"""Answers taken from one socket before others have their turn."""
_MOST_QUESTIONS = 1000
"""Names that rules may have looked up at one time. Arbitrary; clients choose them."""


class _Asked:
    """A question that is being asked, and who answered it."""

    __slots__ = ("again", "answered", "lookup", "raw")

    def __init__(self, lookup: Lookup, raw: bytes) -> None:
        self.lookup = lookup
        self.raw = raw
        self.again: set[Nameserver] = set()
        """Whose answer was truncated; they were asked again over TCP."""
        self.answered: set[Nameserver] = set()


class Resolvers:
    """A resolvers section: its nameservers, and the names they are asked for."""

    def __init__(self, section: ResolversSection, clock: Clock) -> None:
        """Raises Refused for a nameserver whose name the system does not know."""
        self.section = section
        self.name = section.name
        self.clock = clock
        self.nameservers = [Nameserver(line) for line in section.nameservers]
        for nameserver in self.nameservers:
            nameserver.deliver = self._streamed
            nameserver.failed = self._cut
        self.lookups: dict[tuple[str, Kind], Lookup] = {}
        self.servers: dict[Server, Lookup] = {}
        """Whose names are looked up, and how."""
        self.services: dict[tuple[Backend, str], Service] = {}
        self._asked: dict[int, _Asked] = {}
        """What is being asked, by the ids of the questions."""
        self._nursery: trio.Nursery | None = None
        self._families = Families(section.families)

    # -- who wants what -------------------------------------------------------------------------------------------

    def add(self, server: Server) -> None:
        """Look the name of a server up from now on, if it has one."""
        if is_service(server.line.address):
            key = (server.backend, server.srv_record)
            service = self.services.get(key)
            if service is None:
                service = self.services[key] = Service(server.backend, self.link, self.unlink)
                lookup = self._lookup(server.srv_record, Kind.SRV)
                if lookup is not None:
                    lookup.prefer_ipv4 = server.line.resolve_ipv4
                    lookup.requesters.append(service)
            service.free.append(server)
        elif server.fqdn:
            self.link(server)

    def link(self, server: Server) -> None:
        """Look the server's name up by itself, if that is not done yet."""
        if server in self.servers:
            return
        lookup = self._lookup(server.fqdn, Kind.A if server.line.resolve_ipv4 else Kind.AAAA)
        if lookup is not None:
            lookup.requesters.append(ServerName(server))
            self.servers[server] = lookup
            lookup.told()

    def unlink(self, server: Server) -> bool:
        """Look its name up no more; whether that was done."""
        lookup = self.servers.pop(server, None)
        if lookup is None:
            return False
        for requester in lookup.requesters:
            if isinstance(requester, ServerName) and requester.server is server:
                lookup.requesters.remove(requester)
                lookup.held.pop(server, None)
                break
        lookup.told()
        return True

    def rename(self, server: Server, fqdn: str, by: str) -> str:
        """Look a server up by another name; it keeps its address until that is known. The line that tells so."""
        self.unlink(server)
        text = changes.rename(server, fqdn, by)
        self.link(server)
        return text

    def ask(self, name: str, prefer_ipv4: bool, done: Callable[[bytes | None], None]) -> Callable[[], None] | None:
        """One address of a name for a rule: `done` is called with it, or with None; what gives up waiting.

        Returns None when `done` was called already: the name was looked up lately, or is none.
        """
        known = wire.name(name)
        kind = Kind.A if prefer_ipv4 else Kind.AAAA
        lookup = self._lookup(known, kind) if known is not None else None
        if lookup is None:
            done(None)
            return None
        if lookup.resolution.fresh(self.clock.now):
            done(best(lookup, prefer_ipv4))
            return None
        question = Question(prefer_ipv4, done)
        lookup.requesters.append(question)
        # It is not to wait for the end of `timeout resolve`.
        if not lookup.resolution.asking:
            lookup.resolution.finished = None
        lookup.told()

        def give_up() -> None:
            if question in lookup.requesters:
                lookup.requesters.remove(question)

        return give_up

    def _lookup(self, name: str, kind: Kind) -> Lookup | None:
        known = wire.name(name)
        if known is None:
            return None
        lookup = self.lookups.get((known, kind))
        if lookup is None:
            if len(self.lookups) >= _MOST_QUESTIONS + len(self.servers) + len(self.services) and not self._forget_one():
                return None
            lookup = self.lookups[known, kind] = lookup_of(self.section, known, kind)
            if self._nursery is not None:
                self._nursery.start_soon(self._look_up, lookup)
        return lookup

    def _forget_one(self) -> bool:
        """Forget the oldest answer that nobody waits for, to make room; False when there is none."""
        for key, lookup in self.lookups.items():
            if not lookup.requesters and not lookup.resolution.asking:
                del self.lookups[key]
                lookup.resolution.status = Status.NONE
                lookup.told()
                return True
        return False

    # -- asking ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look up what is wanted, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for nameserver in self.nameservers:
                nursery.start_soon(nameserver.run)
            for lookup in self.lookups.values():
                nursery.start_soon(self._look_up, lookup)
            await trio.sleep_forever()

    async def _look_up(self, lookup: Lookup) -> None:
        """Look one name up again and again, until nobody wants it any more."""
        resolution = lookup.resolution
        async with trio.open_nursery() as readers:
            sockets: dict[str, socket.socket] = {}
            lookup.resend = partial(self._ask, lookup, sockets)
            listening: list[trio.CancelScope] = []
            try:
                while True:
                    now = trio.current_time()
                    if resolution.asking:
                        if now >= resolution.deadline():
                            self._act(lookup, resolution.expired(now), None)
                    elif lookup.requesters and now >= resolution.deadline():
                        _stop(listening)
                        sockets.clear()
                        for nameserver in self.nameservers:
                            if not nameserver.line.stream and (sock := nameserver.socket()) is not None:
                                sockets[nameserver.name] = sock
                                scope = trio.CancelScope()
                                listening.append(scope)
                                readers.start_soon(self._listen, lookup, nameserver, sock, scope)
                        resolution.families = self._families.now(now)
                        resolution.begin(now)
                        lookup.resend()
                    if resolution.asking or lookup.requesters:
                        until = resolution.deadline()
                    else:
                        # What is known is kept for what rules ask next; descriptors are not.
                        _stop(listening)
                        if not resolution.fresh(now):
                            break
                        until = resolution.fresh_until()
                    told = trio.Event()
                    lookup.told = told.set
                    with trio.move_on_at(until):
                        await told.wait()
            finally:
                self._forget_number(lookup)
                if self.lookups.get((resolution.name, resolution.preferred)) is lookup:
                    del self.lookups[resolution.name, resolution.preferred]
            readers.cancel_scope.cancel()

    def _ask(self, lookup: Lookup, sockets: dict[str, socket.socket]) -> None:
        """Send the question to every nameserver."""
        self._forget_number(lookup)
        number = secrets.randbits(16)
        while number in self._asked:
            number = secrets.randbits(16)
        lookup.number = number
        resolution = lookup.resolution
        raw = wire.question(resolution.name, resolution.kind, number, self.section.payload)
        self._asked[number] = _Asked(lookup, raw)
        resolution.sent = 0
        for nameserver in self.nameservers:
            sent = nameserver.stream(raw) if nameserver.line.stream else _send(sockets.get(nameserver.name), raw)
            nameserver.counters["sent" if sent else "snd_error"] += 1
            resolution.sent += sent

    def _forget_number(self, lookup: Lookup) -> None:
        self._asked.pop(lookup.number, None)
        lookup.number = -1

    # -- answers --------------------------------------------------------------------------------------------------

    async def _listen(
        self, lookup: Lookup, nameserver: Nameserver, sock: socket.socket, scope: trio.CancelScope
    ) -> None:
        """Take answers from one socket."""
        most = self.section.payload
        with sock, scope:
            while True:
                await trio.lowlevel.wait_readable(sock)
                for _ in range(_DATAGRAMS):
                    try:
                        raw = sock.recv(most + 1)
                    except BlockingIOError:
                        break
                    except OSError:
                        # Nobody listens there, say: no answer, which the retries take care of.
                        continue
                    if len(raw) > most:
                        nameserver.counters["too_big"] += 1
                    else:
                        self._received(nameserver, raw, lookup)

    def _streamed(self, nameserver: Nameserver, raw: bytes) -> None:
        """Take an answer that came over TCP."""
        if nameserver.line.stream and len(raw) > self.section.payload:
            nameserver.counters["too_big"] += 1
        else:
            self._received(nameserver, raw, None)

    def _received(self, nameserver: Nameserver, raw: bytes, lookup: Lookup | None) -> None:
        """Judge an answer, which must be the first of that nameserver to a question that is being asked."""
        asked = self._asked.get(wire.number(raw))
        if asked is None or nameserver in asked.answered or (lookup is not None and lookup is not asked.lookup):
            nameserver.counters["outdated"] += 1
            return
        resolution = asked.lookup.resolution
        reply = wire.judge(raw, resolution.name, resolution.kind, asked.lookup.prefer_ipv4, resolution.families)
        nameserver.counters[reply.status.value] += 1
        if reply.status is Status.TRUNCATED and lookup is not None and nameserver not in asked.again:
            asked.again.add(nameserver)
            if nameserver.stream(asked.raw):
                return
        asked.answered.add(nameserver)
        self._act(asked.lookup, resolution.answered(reply, trio.current_time()), nameserver)

    def _cut(self, nameserver: Nameserver) -> None:
        """Answers over TCP will not come: what was truncated stays so."""
        for asked in list(self._asked.values()):
            if nameserver in asked.again and nameserver not in asked.answered:
                asked.answered.add(nameserver)
                reply = wire.Reply(Status.TRUNCATED)
                self._act(asked.lookup, asked.lookup.resolution.answered(reply, trio.current_time()), nameserver)

    def _act(self, lookup: Lookup, step: Step, nameserver: Nameserver | None) -> None:
        """Do what a resolution wants."""
        if step is Step.ASK:
            lookup.resend()
        elif step is Step.DONE:
            self._done(lookup, nameserver)
        lookup.told()

    def _done(self, lookup: Lookup, nameserver: Nameserver | None) -> None:
        self._forget_number(lookup)
        by = f"{self.name}/{nameserver.name}" if nameserver is not None else ""
        if lookup.done(by, self.clock.refresh()) and nameserver is not None:
            nameserver.counters["update"] += 1


def _stop(listening: list[trio.CancelScope]) -> None:
    for scope in listening:
        scope.cancel()
    listening.clear()


def _send(sock: socket.socket | None, raw: bytes) -> bool:
    if sock is None:
        return False
    try:
        sock.send(raw)
    except OSError:
        return False
    return True


def connect(sections: Iterable[Resolvers], backends: Iterable[Backend]) -> None:
    """Have the names of all servers looked up by the sections they name."""
    by_name = {section.name: section for section in sections}
    for backend in backends:
        for server in backend.servers:
            if server.line.resolvers:
                by_name[server.line.resolvers].add(server)
