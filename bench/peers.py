"""Replication: how long a change takes under load, and how fast a fresh replica is taught; HAProxy in the same run."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import trio

from bench.programs import free_port
from peers.replica import Remote, Replica
from peers.service import Address, Service
from trilb.base.hybrid import HybridClock
from trilb.base.schema import Schema
from trilb.tables.shared import SharedTable
from trilb.tables.store import Table

ENTRIES = 1_000_000
RATE = 2000
SECONDS = 5.0
CONFIG = """
global
    stats socket {dir}/{me} level admin
    stats timeout 60s
    localpeer {me}
peers p
    peer a 127.0.0.1:{a}
    peer b 127.0.0.1:{b}
frontend f
    mode http
    timeout client 1s
    bind 127.0.0.1:{port}
    http-request return status 200
backend t
    stick-table type string len 32 size 2m expire 1h store server_id peers p
"""


class Node:
    """A replica in this process."""

    def __init__(self, name: str, port: int, other: str, other_port: int, now: float) -> None:
        schema = Schema("t", "string", 32, 2 * ENTRIES, 3600.0)
        schema.sticks()
        self.table = Table(schema, HybridClock(node=ord(name)), shared=True)
        self.shared = SharedTable(self.table, "t", f"{name}/1", trio.current_time, self.poke)
        remotes = {name: Remote(name), other: Remote(other)}
        self.replica = Replica("p", name, 1, {"t": self.shared}, remotes, now)
        self.port = port
        self.address = Address(other, socket.AF_INET, ("127.0.0.1", other_port), "")
        self.service: Service | None = None

    def poke(self) -> None:
        """Something changed."""
        if self.service is not None:
            self.service.poke()

    async def serve(self, nursery: trio.Nursery) -> None:
        """Listen and dial."""
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await sock.bind(("127.0.0.1", self.port))
        sock.listen(8)
        self.service = Service(self.replica, [trio.SocketListener(sock)], [self.address])
        await nursery.start(self.service.run)

    def put(self, key: bytes) -> None:
        """Learn an entry."""
        now = trio.current_time()
        self.table.stick(self.table.get(key, now), 1, self.table.server_number("s1"), now)


async def writer(port: int, other: int) -> None:
    """Hold a million entries; once somebody has them, change some under load. Keys tell when they were made."""
    node = Node("a", port, "b", other, trio.current_time())
    for n in range(ENTRIES):
        node.put(b"%016x" % (n * 2654435761 & 0xFFFFFFFFFFFF))
    node.shared.take()
    node.replica.synced = True
    async with trio.open_nursery() as nursery:
        await node.serve(nursery)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not any(link.established and link.teaching is None for link in node.replica.links):
            await trio.sleep(0.05)
        await trio.sleep(3.0)
        began = trio.current_time()
        made = 0
        while trio.current_time() - began < SECONDS:
            while made < (trio.current_time() - began) * RATE:
                node.put(b"at%d" % time.monotonic_ns())
                made += 1
            await trio.sleep(0.002)
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()


async def reader(port: int, other: int) -> None:
    """Begin with nothing; tell how fast it was taught, then how old changes are when they come."""
    node = Node("b", port, "a", other, trio.current_time())
    ages: list[float] = []
    merge = node.shared.merge

    def timed(batch: list[list[bytes]]) -> int:
        taken = merge(batch)
        now = time.monotonic_ns()
        ages.extend((now - int(key[2:])) / 1e6 for key in batch[0] if key.startswith(b"at"))
        return taken

    node.shared.merge = timed  # type: ignore[assignment, method-assign]
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        await node.serve(nursery)
        while not node.replica.synced or not len(node.shared):
            await trio.sleep(0.01)
        spent = trio.current_time() - began
        sys.stdout.write(
            f"trilb:   {len(node.shared):,} entries taken over in {spent:.2f} s with connecting:"
            f" {len(node.shared) / spent:,.0f} a second\n"
        )
        with trio.move_on_after(SECONDS + 6):
            while len(ages) < SECONDS * RATE:
                await trio.sleep(0.05)
        ages.sort()
        p50, p99 = (ages[int(len(ages) * part)] for part in (0.5, 0.99))
        sys.stdout.write(
            f"trilb:   {len(ages):,} changes at {RATE:,} a second arrive after {p50:.1f} ms (p50), {p99:.1f} ms (p99),"
            f" {ages[-1]:.1f} ms (the last)\n"
        )
        nursery.cancel_scope.cancel()


def ours() -> None:
    """Two processes."""
    ports = [str(free_port()), str(free_port())]
    command = [sys.executable, "-m", "bench.peers"]
    with subprocess.Popen([*command, "writer", *ports], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        subprocess.run([*command, "reader", ports[1], ports[0]], check=True)
        first.kill()


def ask(path: Path, commands: str) -> str:
    """What HAProxy's runtime socket answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(commands.encode() + b"\n")
        said = b""
        while data := sock.recv(65536):
            said += data
    return said.decode("latin-1")


def theirs() -> None:
    """Two of HAProxy: one filled over its socket, one fresh."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        ports = {"a": free_port(), "b": free_port()}

        def start(me: str) -> None:
            text = CONFIG.format(dir=folder, me=me, port=free_port(), **ports)
            (folder / f"{me}.cfg").write_text(text)
            process = subprocess.Popen(["haproxy", "-db", "-f", str(folder / f"{me}.cfg")], stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            while not (folder / me).exists():
                time.sleep(0.01)

        start("a")
        time.sleep(0.3)
        count = ENTRIES // 2
        for at in range(0, count, 100):
            ask(
                folder / "a",
                ";".join(
                    f"set table t key {n * 2654435761 & 0xFFFFFFFFFFFF:016x} data.server_id 1"
                    for n in range(at, at + 100)
                ),
            )
        start("b")
        began = time.perf_counter()
        used, moving = 0, 0.0
        while used < count:
            found = re.search(r"used:(\d+)", ask(folder / "b", "show table"))
            used = int(found[1]) if found else 0
            moving = moving or (time.perf_counter() if used else 0.0)
            if time.perf_counter() - began > 120:
                break
            time.sleep(0.005)
        now = time.perf_counter()
        sys.stdout.write(
            f"HAProxy: {used:,} entries, {now - began:.2f} s after its start: {used / (now - moving):,.0f} a second"
            " from the first that came\n"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        trio.run({"writer": writer, "reader": reader}[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
    else:
        ours()
        theirs()
