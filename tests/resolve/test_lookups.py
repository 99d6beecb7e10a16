"""What answers do to servers, without a clock or a socket: nobody is lost, nobody is given twice."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from trilb.base.address import parse
from trilb.base.clock import Clock
from trilb.base.diagnostic import NOWHERE
from trilb.config.lines import ServerLine
from trilb.config.model import HashType, Proxy, Side
from trilb.config.sections import ResolversSection
from trilb.live.plan import BackendPlan
from trilb.live.proxy import Backend
from trilb.live.server import RMAINT, STOPPED, Server
from trilb.resolve.lookups import Lookup, ServerName, Service, lookup_of
from trilb.resolve.run import Resolvers
from trilb.resolve.wire import Kind, Record, Reply, Status


def backend(count: int, address: str, **options: object) -> Backend:
    """A backend of servers that begin without an address."""
    config = Proxy("b", "backend", NOWHERE, Side.BACKEND, hash_type=HashType())
    for number in range(count):
        line = ServerLine(f"s{number}", parse(address)[0], NOWHERE, resolvers="ns", resolve_ipv4=True)
        for name, value in options.items():
            setattr(line, name, value)
        config.servers.append(line)
    made = Backend(config)
    made.plan = BackendPlan()
    made.plan.balance = SimpleNamespace(rebuild=lambda servers: None)
    for server in made.servers:
        server.admin |= RMAINT
        server.operation = STOPPED
    made.changed()
    return made


def section(obsolete: float = 0.0) -> ResolversSection:
    """Without patience: errors count at once."""
    made = ResolversSection("ns", NOWHERE)
    made.hold = dict.fromkeys(made.hold, 0.0)
    made.hold["obsolete"] = obsolete
    return made


def end(lookup: Lookup, reply: Reply, now: float) -> None:
    """A lookup that ends with this answer."""
    resolution = lookup.resolution
    resolution.section.retries = 1
    resolution.begin(now)
    resolution.sent = 1
    resolution.answered(reply, now)
    if resolution.asking:
        resolution.answered(reply, now)
    lookup.done("ns/n", now)


def where(server: Server) -> str | None:
    """Its address."""
    return server.address[0] if isinstance(server.address, tuple) else None


ADDRESSES = st.sets(st.integers(1, 6), max_size=6)
ANSWERS = st.lists(st.one_of(ADDRESSES, st.sampled_from([Status.NX, Status.TIMEOUT, Status.OTHER])), max_size=12)


@given(ANSWERS, st.integers(1, 4), st.booleans())
def test_addresses(answers: list[set[int] | Status], count: int, twice: bool) -> None:
    """As many servers as there are addresses have one, each its own; who has one that is there still keeps it."""
    options = frozenset(("allow-dup-ip",)) if twice else frozenset()
    servers = backend(count, "a.test:80", resolve_options=options).servers
    lookup = lookup_of(section(), "a.test", Kind.A)
    lookup.requesters += [ServerName(server) for server in servers]
    for now, answer in enumerate(answers, 1):
        before = [where(server) for server in servers]
        if isinstance(answer, Status) or not answer:
            end(lookup, Reply(answer if isinstance(answer, Status) else Status.EMPTY), float(now))
            assert all(where(server) is None and server.admin & RMAINT for server in servers)
            continue
        records = tuple(Record(Kind.A, bytes((127, 0, 0, n)), order=n * 7 % 5) for n in sorted(answer))
        end(lookup, Reply(Status.VALID, records), float(now))
        there = {f"127.0.0.{n}" for n in answer}
        found = [where(server) for server in servers]
        given_out = [address for address in found if address is not None]
        assert set(given_out) <= there
        assert len(given_out) == (count if twice else min(count, len(answer)))
        assert twice or len(set(given_out)) == len(given_out)
        for server, old in zip(servers, before, strict=True):
            assert bool(server.admin & RMAINT) is (where(server) is None)
            assert server.running is (where(server) is not None)
            if old in there:
                assert where(server) == old


TARGETS = st.lists(st.tuples(st.integers(1, 5), st.integers(80, 81), st.integers(0, 256), st.booleans()), max_size=6)


@given(st.lists(st.one_of(TARGETS, st.just(Status.NX)), max_size=12), st.integers(1, 4))
def test_services(answers: list[list[tuple[int, int, int, bool]] | Status], count: int) -> None:
    """Every target has one server as long as there are any; whoever lost his is free again."""
    owner = backend(count, "_h._tcp.test")
    linked: set[Server] = set()

    def unlink(server: Server) -> bool:
        found = server in linked
        linked.discard(server)
        return found

    service = Service(owner, linked.add, unlink)
    service.free += owner.servers
    lookup = lookup_of(section(), "_h._tcp.test", Kind.SRV)
    lookup.requesters.append(service)
    for now, answer in enumerate(answers, 1):
        targets: dict[tuple[int, int], Record] = {}
        if isinstance(answer, Status) or not answer:
            end(lookup, Reply(answer if isinstance(answer, Status) else Status.EMPTY), float(now))
        else:
            for name, port, weight, known in answer:
                address = bytes((127, 0, port, name)) if known else None
                targets[name, port] = Record(Kind.SRV, b"t%d.test" % name, port, name * 7 % 5, weight, address)
            # A server that becomes free behind a target that needs one is given to it next time, as HAProxy does.
            for moment in (float(now), now + 0.5):
                end(lookup, Reply(Status.VALID, tuple(targets.values())), moment)
        assert len(service.used) == min(count, len(targets))
        assert sorted(map(id, [*service.used.values(), *service.free])) == sorted(map(id, owner.servers))
        for (target, port), server in service.used.items():
            record = targets[int(target[1:2]), port]
            assert (server.fqdn, server.port, server.weight) == (record.target, port, record.weight)
            assert (server in linked) is (record.address is None)
            assert record.address is None or where(server) == ".".join(map(str, record.address))
        for server in service.free:
            assert (server.fqdn, server.port, where(server)) == ("", 0, None)
            assert server.admin & RMAINT and server not in linked


def test_strangers_names_are_bounded() -> None:
    """So many names of rules at a time; what nobody waits for any more makes room."""
    made = Resolvers(section(), Clock())
    told: list[bytes | None] = []
    waiting = [made.ask(f"n{number}.test", True, told.append) for number in range(1000)]
    assert all(waiting) and not told
    assert made.ask("more.test", True, told.append) is None
    assert told == [None]
    give_up = waiting[500]
    assert give_up is not None
    give_up()
    assert made.ask("more.test", True, told.append) is not None
    assert len(made.lookups) == 1000
    assert made.ask("..", True, told.append) is None
