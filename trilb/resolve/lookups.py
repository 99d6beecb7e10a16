"""Who wants names to be looked up, and what answers do to them: servers, SRV templates, rules. No I/O.

A Lookup is one name of one resolvers section, shared by all who ask for it; the first of them in the order of the
configuration takes an answer as the nameserver's, the others as the cache's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from trilb.config.sections import ResolversSection
from trilb.health import states
from trilb.live.proxy import Backend
from trilb.live.server import RMAINT, Server
from trilb.resolve import changes
from trilb.resolve.choose import choose
from trilb.resolve.resolution import Resolution
from trilb.resolve.wire import Kind, Record, Status

_CACHE = "DNS cache"
_ADDITIONAL = "DNS additional record"
_CAUSES = {Status.NX: "DNS NX status", Status.TIMEOUT: "DNS timeout status", Status.REFUSED: "DNS refused status"}


class Requester(Protocol):
    """Somebody who hears of every end of a lookup."""

    def valid(self, lookup: Lookup, by: str, now: float) -> bool:
        """The records are new; whether a server's address came of it."""

    def failed(self, lookup: Lookup, now: float) -> bool:
        """The lookup ended with an error; whether the records still count."""


class Lookup:
    """One name being looked up, and for whom."""

    __slots__ = ("held", "number", "prefer_ipv4", "requesters", "resend", "resolution", "told")

    def __init__(self, resolution: Resolution) -> None:
        self.resolution = resolution
        self.requesters: list[Requester] = []
        self.held: dict[Server, bytes] = {}
        """Which address each server took: it keeps it as long as the name has it, whatever else there is."""
        self.number = -1
        """The id of the question that is being asked; -1 while none is."""
        self.prefer_ipv4 = False
        """Which of several addresses of an SRV target counts."""
        self.resend: Callable[[], None] = lambda: None
        """Asks what the resolution wants to know now."""
        self.told: Callable[[], None] = lambda: None
        """Wakes who waits for its deadline."""

    def done(self, by: str, now: float) -> bool:
        """The lookup ended: tell everybody. Whether a server took an address from it; `by` names the nameserver."""
        resolution = self.resolution
        self.number = -1
        if resolution.status is not Status.VALID:
            kept = [requester.failed(self, now) for requester in list(self.requesters)]
            if not any(kept):
                resolution.records.clear()
            return False
        if resolution.preferred is not Kind.SRV:
            resolution.forget_obsolete()
            known = {record.data for record in resolution.records}
            self.held = {server: address for server, address in self.held.items() if address in known}
        updated = False
        for requester in list(self.requesters):
            updated = requester.valid(self, by, now) or updated
            by = _CACHE
        return updated

    def taken(self, server: Server) -> set[bytes]:
        """The addresses that other servers of its backend have."""
        return {address for other, address in self.held.items() if other.backend is server.backend}


class ServerName:
    """A server that is found by the addresses of a name."""

    __slots__ = ("server",)

    def __init__(self, server: Server) -> None:
        self.server = server

    def valid(self, lookup: Lookup, by: str, now: float) -> bool:
        """Keep the address that was taken, or take the best one; go into maintenance when there is none."""
        server, line = self.server, self.server.line
        moved = False
        if server not in lookup.held:
            current = changes.packed(server)
            found = choose(
                [record.data for record in lookup.resolution.ordered() if record.kind is not Kind.SRV],
                current,
                lookup.taken(server),
                prefer_ipv4=line.resolve_ipv4,
                networks=line.resolve_networks,
                duplicates="allow-dup-ip" in line.resolve_options,
            )
            if found is None:
                if not server.admin & RMAINT:
                    changes.lose(server, "No IP for server ", now)
                return False
            lookup.held[server] = found
            moved = found != current
            if moved:
                changes.move(server, found, by)
        if server.admin & RMAINT:
            states.resume(server, now, RMAINT)
            text = f"Server {server.backend.name}/{server.name} administratively READY thanks to valid DNS answer."
            server.backend.say(text, "notice")
        return moved and by != _CACHE

    def failed(self, lookup: Lookup, now: float) -> bool:
        """Go into maintenance once the hold is over."""
        if lookup.resolution.held(now):
            return True
        lookup.held.pop(self.server, None)
        if self.server.admin & RMAINT:
            return False
        changes.lose(self.server, _CAUSES.get(lookup.resolution.status, "unspecified DNS error"), now)
        return False


class Service:
    """The servers of a backend that are given to the targets of SRV records."""

    __slots__ = ("backend", "free", "link", "unlink", "used")

    def __init__(self, backend: Backend, link: Callable[[Server], None], unlink: Callable[[Server], bool]) -> None:
        self.backend = backend
        self.free: list[Server] = []
        """Those without a target, first those that never had one, then those that lost theirs longest ago."""
        self.used: dict[tuple[bytes, int], Server] = {}
        """By target and port."""
        self.link = link
        """Looks a server's name up by itself."""
        self.unlink = unlink
        """Ends that; whether it was so."""

    def valid(self, lookup: Lookup, by: str, now: float) -> bool:
        """Give each target a server; take it from targets that are gone."""
        resolution = lookup.resolution
        for record in resolution.ordered():
            if resolution.obsolete(record):
                del resolution.records[record]
                self._release(record, now)
            elif record.kind is Kind.SRV:
                self._assign(record, now)
        return False

    def failed(self, lookup: Lookup, now: float) -> bool:
        """Take all servers from their targets once the hold is over."""
        if lookup.resolution.held(now):
            return True
        for record in lookup.resolution.ordered():
            self._release(record, now)
        return False

    def _assign(self, record: Record, now: float) -> None:
        server = self.used.get((record.data, record.port))
        fresh = server is None
        if server is None:
            if not self.free:
                return
            server = self.used[record.data, record.port] = self.free.pop(0)
            server.port = record.port
        if record.address is not None:
            self.unlink(server)
            changes.move(server, record.address, _ADDITIONAL)
        if fresh:
            changes.rename(server, record.target, "SRV record")
        if record.address is None:
            self.link(server)
        elif server.admin & RMAINT:
            states.resume(server, now, RMAINT)
        if server.weight != record.weight and "ignore-weight" not in server.line.resolve_options:
            states.reweigh(server, record.weight, now)

    def _release(self, record: Record, now: float) -> None:
        server = self.used.pop((record.data, record.port), None)
        if server is None:
            return
        self.unlink(server)
        if not server.admin & RMAINT:
            changes.lose(server, "entry removed from SRV record", now)
        server.fqdn, server.port, server.address = "", 0, None
        self.free.append(server)


class Question:
    """A rule that wants one address of a name (`do-resolve`)."""

    __slots__ = ("done", "prefer_ipv4")

    def __init__(self, prefer_ipv4: bool, done: Callable[[bytes | None], None]) -> None:
        self.prefer_ipv4 = prefer_ipv4
        self.done = done

    def valid(self, lookup: Lookup, by: str, now: float) -> bool:
        """Answer."""
        lookup.requesters.remove(self)
        self.done(best(lookup, self.prefer_ipv4))
        return False

    def failed(self, lookup: Lookup, now: float) -> bool:
        """Answer that there is none."""
        lookup.requesters.remove(self)
        self.done(None)
        return False


def best(lookup: Lookup, prefer_ipv4: bool) -> bytes | None:
    """The address that rules get."""
    found = [record.data for record in lookup.resolution.ordered() if record.kind is not Kind.SRV]
    return choose(found, None, (), prefer_ipv4=prefer_ipv4)


def lookup_of(section: ResolversSection, name: str, kind: Kind) -> Lookup:
    """A lookup that nobody has asked for yet."""
    return Lookup(Resolution(section, name, kind))
