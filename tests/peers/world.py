"""A simulated cluster: real tables and real replicas, connections that are queues, and a clock that the test turns."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from peers.link import Link
from peers.replica import Remote, Replica
from trilb.base.hybrid import HybridClock
from trilb.base.schema import TYPES, Schema, Stored
from trilb.tables.columns import Mark
from trilb.tables.shared import SharedTable
from trilb.tables.store import Table

KEYS = [b"k%d" % n for n in range(6)]


def schema(*, overwrite: bool = False, size: int = 100, expire: float = 0.0) -> Schema:
    """A table of every kind of data."""
    made = Schema("t", "string", 32, size, expire, overwrite=overwrite)
    for name in ("gpt0", "gpc0", "http_req_cnt"):
        made.store(Stored(TYPES[name]))
    made.store(Stored(TYPES["http_req_rate"], 10_000))
    made.sticks()
    return made


class Pipe:
    """A connection between two nodes: two links, two queues of bytes."""

    def __init__(self, one: Node, other: Node, now: float) -> None:
        self.ends: list[tuple[Node, Link]] = [
            (one, one.replica.open(other.name, now, dialed=True)),
            (other, other.replica.open("", now, dialed=False)),
        ]
        self.queues: list[deque[bytes]] = [deque(), deque()]
        self.open = True

    def pump(self, side: int, now: float) -> bool:
        """Let one end write; whether it had something to say."""
        node, link = self.ends[side]
        data = node.replica.pump(link, now)
        if data:
            self.queues[1 - side].append(data)
        return bool(data)

    def deliver(self, side: int, now: float, part: float = 1.0) -> bool:
        """Let one end read some of what waits for it."""
        if not self.queues[side]:
            return False
        data = self.queues[side].popleft()
        cut = max(1, int(len(data) * part))
        if cut < len(data):
            self.queues[side].appendleft(data[cut:])
        node, link = self.ends[side]
        node.replica.receive(link, data[:cut], now)
        return True

    def close(self, now: float) -> None:
        """The connection breaks; what was on its way is lost."""
        if self.open:
            self.open = False
            for node, link in self.ends:
                node.replica.lost(link, "broken", now)


class Node:
    """A replica with a table and a clock of its own."""

    def __init__(self, world: World, name: str, skew: float) -> None:
        self.world = world
        self.name = name
        self.skew = skew
        self.start()

    def start(self) -> None:
        """Begin, or begin again with nothing."""
        world = self.world
        world.incarnation += 1
        clock = HybridClock(lambda: 1_700_000_000 + self.skew + world.now, int(self.name[1:]))
        self.table = Table(world.schema, clock, shared=True)
        self.shared = SharedTable(self.table, "t", f"{self.name}/{world.incarnation:013x}", lambda: world.now)
        remotes = {name: Remote(name) for name in world.names}
        self.replica = Replica(
            "c", self.name, world.incarnation, {"t": self.shared}, remotes, world.now, interval=world.interval
        )

    def value(self, key: bytes) -> tuple[Any, ...] | None:
        """What this node says of a key."""
        table, now = self.table, self.world.now
        row = table.find(key, now)
        if row < 0:
            return None
        values: list[Any] = []
        for _, name, column in table.shown:
            if column is table.server_key:
                values.append(table.servers[table.server_key.values[row]])
            elif name != "http_req_rate":
                values.append(column.read(row, int(now * 1000)))
        return tuple(values)


class World:
    """Everything, turned by one random generator."""

    def __init__(self, seed: int, *, overwrite: bool = False, interval: float = 20.0) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.incarnation = 0
        self.interval = interval
        self.schema = schema(overwrite=overwrite)
        self.names = [f"n{number}" for number in range(self.random.randint(3, 5))]
        # Clocks that are hours apart.
        self.nodes = [Node(self, name, self.random.uniform(-7200, 7200)) for name in self.names]
        self.pipes: list[Pipe] = []
        self.stale: list[Any] = []
        self.apart: set[str] = set()

    # -- what happens --------------------------------------------------------------------------------------------------

    def change(self) -> None:
        """Somebody learns, counts, marks or forgets."""
        node, key, draw = self.random.choice(self.nodes), self.random.choice(KEYS), self.random
        table, now = node.table, self.now
        kind = draw.randrange(10)
        row = table.find(key, now)
        if kind == 0:
            if row >= 0:
                table.remove(row, now)
            return
        row = table.get(key, now)
        if kind < 4:
            number = draw.randint(1, 3)
            table.stick(row, number, table.server_number(f"s{number}"), now)
        elif kind < 6:
            mark = table.gpts[0]
            assert isinstance(mark, Mark)
            table.set_mark(mark, row, draw.randint(1, 99))
        else:
            table.gpcs[0].add(row, draw.randint(1, 5), int(now * 1000))
            for column in table.on_request:
                column.add(row, 1, int(now * 1000))
        table.touch(row, now)

    def connect(self) -> None:
        """Two nodes that see each other get a connection; sometimes both dial at once."""
        one, other = self.random.sample(self.nodes, 2)
        if (one.name in self.apart) == (other.name in self.apart):
            self.pipes.append(Pipe(one, other, self.now))

    def move(self) -> None:
        """Bytes move on one connection."""
        if self.pipes:
            pipe, side = self.random.choice(self.pipes), self.random.randrange(2)
            if self.random.random() < 0.5:
                pipe.pump(side, self.now)
            else:
                pipe.deliver(side, self.now, self.random.choice((1.0, 1.0, 0.5, 0.1)))

    def repeat(self) -> None:
        """A batch is kept, and merged again somewhere, sometime."""
        node = self.random.choice(self.nodes)
        if self.stale and self.random.random() < 0.6:
            node.shared.merge(self.random.choice(self.stale))
            return
        rows = [row for number in range(256) for row in node.shared.bucket(number)]
        self.stale.append(node.shared.export(rows, self.random.random() < 0.5))

    def breakdown(self) -> None:
        """A connection breaks, a node restarts empty, the network splits or heals."""
        kind = self.random.randrange(4)
        if kind == 0 and self.pipes:
            self.random.choice(self.pipes).close(self.now)
        elif kind == 1:
            node = self.random.choice(self.nodes)
            for pipe in self.pipes:
                if any(end is node for end, _ in pipe.ends):
                    pipe.close(self.now)
            node.start()
        elif kind == 2:
            self.apart = set(self.random.sample(self.names, self.random.randint(1, len(self.names) - 1)))
            for pipe in self.pipes:
                one, other = (node.name in self.apart for node, _ in pipe.ends)
                if one != other:
                    pipe.close(self.now)
        else:
            self.apart = set()

    def step(self) -> None:
        """One thing happens."""
        draw = self.random.random()
        if draw < 0.25:
            self.change()
        elif draw < 0.85:
            self.move()
        elif draw < 0.90:
            self.connect()
        elif draw < 0.93:
            self.repeat()
        elif draw < 0.95:
            self.breakdown()
        else:
            self.turn(self.random.choice((0.01, 0.5, 4.0)))
        self.sweep()

    def turn(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        for node in self.nodes:
            node.replica.collect(self.now)
            node.replica.tick(self.now)

    def sweep(self) -> None:
        """Connections that one side wants to close are closed, once what it said is said."""
        for pipe in self.pipes:
            said = all(not link.outbox for _, link in pipe.ends) and not any(pipe.queues)
            if pipe.open and said and any(link.closing for _, link in pipe.ends):
                pipe.close(self.now)
        self.pipes = [pipe for pipe in self.pipes if pipe.open]

    # -- the end -------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Everybody is linked with everybody, and time goes on until nothing moves any more."""
        self.apart = set()
        for _ in range(24):
            for at, one in enumerate(self.nodes):
                for other in self.nodes[at + 1 :]:
                    if not one.replica.linked(other.name):
                        self.pipes.append(Pipe(one, other, self.now))
            self.settle()
            self.turn(2.6)
        self.settle()

    def settle(self) -> None:
        """Let bytes move until there are none."""
        for _ in range(2000):
            self.turn(0.001)
            moved = False
            for pipe in list(self.pipes):
                for side in (0, 1):
                    while pipe.open and pipe.pump(side, self.now):
                        moved = True
                    while pipe.open and pipe.deliver(side, self.now):
                        moved = True
            self.sweep()
            if not moved:
                return
        raise AssertionError("it never comes to rest")
