"""The service over loopback: TLS, strangers, frozen and dying peers. Waits on conditions; every port is free."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
import trustme

from peers.replica import Remote, Replica
from peers.service import Address, Service
from tests.peers.world import schema
from tests.support.ports import free_port
from trilb.base.hybrid import HybridClock
from trilb.tables.shared import SharedTable
from trilb.tables.store import Table

_numbers = itertools.count(1)
CA = trustme.CA()


@dataclass
class Peer:
    """A node with its service."""

    replica: Replica
    service: Service
    shared: SharedTable
    said: list[str]
    port: int
    scope: trio.CancelScope

    @property
    def table(self) -> Table:
        return self.shared.table

    def put(self, key: bytes, server: str = "s1") -> None:
        """Learn something."""
        now = trio.current_time()
        row = self.table.get(key, now)
        self.table.stick(row, 1, self.table.server_number(server), now)

    def has(self, key: bytes) -> bool:
        """Whether it knows a key."""
        return self.table.find(key, trio.current_time()) >= 0

    def sentence(self, name: str) -> str:
        """What it says of a peer."""
        (status,) = (s for s in self.replica.status(trio.current_time()) if s.name == name)
        return status.sentence


def contexts(*, certificate: bool = True) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server and client contexts that trust the test's authority; without a certificate nobody trusts them."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    identity = CA.issue_cert("peer")
    identity.configure_cert(server)
    server.verify_mode = ssl.CERT_REQUIRED
    client.check_hostname = False
    for context in (server, client):
        CA.configure_trust(context)
    if certificate:
        identity.configure_cert(client)
    return server, client


@asynccontextmanager
async def peer(
    name: str, port: int, others: dict[str, int], *, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
) -> AsyncIterator[Peer]:
    """A node that listens on `port` and knows others by name and port."""
    number = next(_numbers)
    said: list[str] = []
    table = Table(schema(size=2_000_000), HybridClock(node=number), shared=True)
    made: list[Service] = []
    shared = SharedTable(table, "t", f"{name}/{number}", trio.current_time, lambda: made[0].poke() if made else None)
    remotes = {other: Remote(other, f"127.0.0.1:{at}") for other, at in {name: port, **others}.items()}
    replica = Replica("c", name, number, {"t": shared}, remotes, trio.current_time(), interval=2.0, say=said.append)
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    await sock.bind(("127.0.0.1", port))
    sock.listen(64)
    addresses = [
        Address(other, socket.AF_INET, ("127.0.0.1", at), f"127.0.0.1:{at}", tls[1] if tls else None)
        for other, at in others.items()
    ]
    service = Service(replica, [trio.SocketListener(sock)], addresses, tls=tls[0] if tls else None)
    made.append(service)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        try:
            yield Peer(replica, service, shared, said, port, nursery.cancel_scope)
        finally:
            nursery.cancel_scope.cancel()
            sock.close()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, or fail."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)


async def test_what_one_learns_others_know() -> None:
    ports = free_port(), free_port(), free_port()
    async with (
        peer("a", ports[0], {"b": ports[1], "c": ports[2]}) as a,
        peer("b", ports[1], {"a": ports[0], "c": ports[2]}) as b,
        peer("c", ports[2], {"a": ports[0], "b": ports[1]}) as c,
    ):
        a.put(b"from a")
        b.put(b"from b", "s2")
        await until(lambda: all(p.has(key) for p in (a, b, c) for key in (b"from a", b"from b")))
        await until(lambda: {p.sentence(n) for p, n in ((a, "b"), (b, "c"), (c, "a"))} == {"in sync"})
        a.table.remove(a.table.find(b"from a", trio.current_time()), trio.current_time())
        await until(lambda: not b.has(b"from a") and not c.has(b"from a"))


async def test_a_newcomer_knows_it_all_and_a_restart_loses_nothing() -> None:
    one, other = free_port(), free_port()
    async with peer("a", one, {"b": other}) as a:
        for n in range(20_000):
            a.put(b"%d" % n)
        for _ in range(2):
            async with peer("b", other, {"a": one}) as b:
                assert await b.service.settled(1.0, 10.0)
                assert len(b.shared) >= 20_000
                a.put(b"later")
                await until(lambda b=b: b.has(b"later"))  # type: ignore[misc]
            await until(lambda: "not connected" in a.sentence("b"))


async def test_mutual_tls_and_who_has_no_certificate() -> None:
    one, other = free_port(), free_port()
    async with peer("a", one, {"b": other}, tls=contexts()) as a, peer("b", other, {"a": one}, tls=contexts()) as b:
        a.put(b"secret")
        await until(lambda: b.has(b"secret"))
        async with peer("b", free_port(), {"a": one}, tls=contexts(certificate=False)) as stranger:
            await until(lambda: any("a stranger at 127.0.0.1" in text for text in a.said))
            await until(lambda: "not connected" in stranger.sentence("a"))
            assert not stranger.has(b"secret")
            assert a.replica.strangers >= 1
        # Somebody who speaks no TLS at all.
        before = a.replica.strangers
        async with peer("b", free_port(), {"a": one}) as plain:
            await until(lambda: a.replica.strangers > before)
            await until(lambda: "not connected" in plain.sentence("a"))
        b.put(b"still there")
        await until(lambda: a.has(b"still there"))


async def test_who_speaks_something_else_is_closed_and_counted() -> None:
    port = free_port()
    async with peer("a", port, {}) as a:
        for noise in (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\0\0\0\5hello", b"\xff" * 100):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(noise)
            with trio.fail_after(5):
                while await stream.receive_some(4096):
                    pass
        assert a.replica.protocol_errors == 3
        assert not a.replica.links


async def test_a_storm_of_strangers_does_not_keep_a_peer_out() -> None:
    one, other = free_port(), free_port()
    async with peer("a", one, {"b": other}) as a:
        silent = [await trio.open_tcp_stream("127.0.0.1", one) for _ in range(100)]
        async with peer("b", other, {"a": one}) as b:
            a.put(b"x")
            await until(lambda: b.has(b"x"))
        for stream in silent:
            await stream.aclose()


async def test_a_frozen_peer_costs_no_memory_and_holds_nobody_up() -> None:
    ports = free_port(), free_port(), free_port()
    frozen = trio.socket.socket()
    frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await frozen.bind(("127.0.0.1", ports[2]))
    frozen.listen(8)
    others = {"b": ports[1], "z": ports[2]}
    async with peer("a", ports[0], others) as a, peer("b", ports[1], {"a": ports[0]}) as b:
        # z greets as a peer would, then never reads again.
        conversation, _ = await frozen.accept()
        z_table = Table(schema(size=2_000_000), HybridClock(), shared=True)
        z = Replica("c", "z", 99, {"t": SharedTable(z_table, "t", "z/99", lambda: 0.0)}, {"a": Remote("a")}, 0.0)
        link = z.open("", 0.0, dialed=False)
        z.receive(link, await conversation.recv(65536), 0.0)
        await conversation.send(z.pump(link, 0.0))
        await until(lambda: any(s.name == "z" and s.state == "established" for s in a.replica.status(0.0)))
        for turn in range(50):
            for n in range(500):
                a.put(b"%d" % n, f"s{turn}")
            await trio.sleep(0.002)
        await until(lambda: b.has(b"499"))
        (to_z,) = (found for found in a.replica.links if found.peer == "z")
        assert to_z.waiting <= 500
        assert len(to_z.flying) <= 8
        await until(lambda: a.sentence("b") == "in sync")
    frozen.close()
    conversation.close()


async def test_a_teacher_that_dies_in_the_middle_is_replaced() -> None:
    ports = free_port(), free_port(), free_port()
    names = dict(zip("abc", ports, strict=True))
    async with (
        peer("b", ports[1], {k: v for k, v in names.items() if k != "b"}) as b,
        peer("c", ports[2], {k: v for k, v in names.items() if k != "c"}) as c,
    ):
        for n in range(60_000):
            b.put(b"%d" % n)
        await until(lambda: len(c.shared) == 60_000)
        async with peer("a", ports[0], {k: v for k, v in names.items() if k != "a"}) as a:
            await until(lambda: len(a.shared) > 2000)
            teacher = a.replica.teacher
            assert teacher is not None
            dying = b if teacher.peer == "b" else c
            dying.scope.cancel()
            await until(lambda: len(a.shared) == 60_000)
            await until(lambda: a.replica.synced)


@pytest.mark.parametrize("listening", [False, True])
async def test_what_is_wrong_is_said_with_what_to_do(listening: bool) -> None:
    one, other = free_port(), free_port()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", other))
        async with peer("a", one, {"b": other}) as a:
            if listening:
                async with peer("x", free_port(), {"a": one}):
                    await until(lambda: any("'x' is no peer of section 'c' of 'a'" in text for text in a.said))
            else:
                await until(lambda: "connection refused by" in a.sentence("b"))
                assert a.sentence("b").endswith("is trilb running there, and listening on this address?")
