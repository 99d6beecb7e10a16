"""Algorithms that need no key: roundrobin, static-rr, leastconn, first, random (configuration.txt, `balance`). HOT.

All skip servers at their maxconn; when every server is full, pick answers None and the stream waits in the
backend's queue. The orders are HAProxy's, observed (tests/duel/test_balance.py).
"""

from __future__ import annotations

import random as _random
from bisect import bisect_right
from heapq import heapify, heappop, heappush
from itertools import accumulate
from math import gcd

from trilb.live.server import Server


def weighted_map(servers: list[Server]) -> list[Server]:
    """Servers repeated by weight over the shortest table that holds the proportions, interleaved evenly."""
    if not servers:
        return []
    common = gcd(*(server.share for server in servers))
    weights = [server.share // common for server in servers]
    total = sum(weights)
    scores = [0] * len(servers)
    table: list[Server] = []
    for _ in range(total):
        best, highest = 0, 0
        for i, weight in enumerate(weights):
            scores[i] += weight
            score = (scores[i] + total) // total
            if score > highest:
                best, highest = i, score
        scores[best] -= total
        table.append(servers[best])
    return table


class RoundRobin:
    """Each server returns after total/weight turns; new ones enter by weight, the heaviest first.

    `_turns` is a heap of (turn, what is left of a turn less the weight, serial, index): at equal turns the heavier
    and more overdue goes first; `_fresh` are the servers not yet served, lightest first.
    """

    __slots__ = ("_fresh", "_now", "_rest", "_serial", "_servers", "_total", "_turns")

    def __init__(self) -> None:
        self.rebuild([])

    def rebuild(self, servers: list[Server]) -> None:
        """Start anew over the servers that may be chosen."""
        self._servers = servers
        self._total = sum(server.share for server in servers)
        self._rest = [0] * len(servers)
        self._turns: list[tuple[int, int, int, int]] = []
        self._fresh = sorted(range(len(servers)), key=lambda i: (servers[i].share, -i))
        self._now = 0
        self._serial = 0

    def pick(self, key: bytes | int | None, avoid: Server | None) -> Server | None:
        """The server whose turn it is; `avoid` only when there is no other.

        Full and avoided servers use their turn up, as in HAProxy: they are asked again a round later.
        """
        servers, turns, fresh, rests = self._servers, self._turns, self._fresh, self._rest
        passed: list[tuple[int, int, int, int]] = []
        chosen: Server | None = None
        spare: Server | None = None
        while turns or fresh:
            if turns and (turns[0][0] <= self._now or not fresh):
                turn, _, _, index = heappop(turns)
            else:
                turn, index = self._now, fresh.pop()
            server = servers[index]
            weight = server.share or 1
            step, rest = divmod(self._total, weight)
            rest += rests[index]
            if rest >= weight:
                rest -= weight
                step += 1
            rests[index] = rest
            self._serial += 1
            self._now += 1
            entry = (turn + step, rest - weight, self._serial, index)
            if not server.maxconn or server.available():
                if server is not avoid:
                    heappush(turns, entry)
                    chosen = server
                    break
                spare = server
            passed.append(entry)
        for entry in passed:
            heappush(turns, entry)
        return chosen or spare


class StaticRoundRobin:
    """A table of servers walked in order."""

    __slots__ = ("_at", "_table")

    def __init__(self) -> None:
        self._table: list[Server] = []
        self._at = 0

    def rebuild(self, servers: list[Server]) -> None:
        """Fill the table anew."""
        self._table = weighted_map(servers)
        self._at = 0

    def pick(self, key: bytes | int | None, avoid: Server | None) -> Server | None:
        """The next server of the table that has room."""
        table = self._table
        size = len(table)
        spare = -1
        for step in range(size):
            at = (self._at + step) % size
            server = table[at]
            if not server.maxconn or server.available():
                if server is not avoid:
                    self._at = (at + 1) % size
                    return server
                if spare < 0:
                    spare = at
        if spare < 0:
            return None
        self._at = (spare + 1) % size
        return table[spare]


class LeastConnections:
    """The server with the fewest connections for its weight; among equals the one idle longest.

    A heap of (load, stamp, index); an entry is stale when the server's stamp has moved on.
    """

    __slots__ = ("_heap", "_index", "_servers", "_stamp", "_stamps")

    def __init__(self) -> None:
        self.rebuild([])

    def rebuild(self, servers: list[Server]) -> None:
        """Start anew."""
        self._servers = servers
        self._index = {server: i for i, server in enumerate(servers)}
        self._stamps = list(range(len(servers)))
        self._stamp = len(servers)
        self._heap = [(self._load(server), i, i) for i, server in enumerate(servers)]
        heapify(self._heap)

    @staticmethod
    def _load(server: Server) -> float:
        inflight = server.used + len(server.queue)
        return (inflight + 1) / server.share if inflight and server.share else 0.0

    def moved(self, server: Server) -> None:
        """A connection to the server began or ended."""
        index = self._index.get(server)
        if index is None:
            return
        self._stamp = stamp = self._stamp + 1
        self._stamps[index] = stamp
        heappush(self._heap, (self._load(server), stamp, index))
        if len(self._heap) > 64 + 8 * len(self._servers):
            self._heap = [entry for entry in self._heap if entry[1] == self._stamps[entry[2]]]
            heapify(self._heap)

    def pick(self, key: bytes | int | None, avoid: Server | None) -> Server | None:
        """The least loaded server with room."""
        heap, skipped = self._heap, []
        chosen: Server | None = None
        spare: Server | None = None
        while heap:
            entry = heap[0]
            if entry[1] != self._stamps[entry[2]]:
                heappop(heap)
                continue
            server = self._servers[entry[2]]
            if not server.maxconn or server.available():
                if server is not avoid:
                    chosen = server
                    break
                spare = server
            skipped.append(heappop(heap))
        for entry in skipped:
            heappush(heap, entry)
        return chosen or spare


class First:
    """The first server, by id, that has room."""

    __slots__ = ("_servers",)

    def __init__(self) -> None:
        self._servers: list[Server] = []

    def rebuild(self, servers: list[Server]) -> None:
        """Order by id."""
        self._servers = sorted(servers, key=lambda server: server.id)

    def pick(self, key: bytes | int | None, avoid: Server | None) -> Server | None:
        """The first with room."""
        spare = None
        for server in self._servers:
            if not server.maxconn or server.available():
                if server is not avoid:
                    return server
                spare = server
        return spare


class Random:
    """The least loaded of a few servers drawn by weight (the power of two choices)."""

    __slots__ = ("_bounds", "_draws", "_random", "_servers")

    def __init__(self, draws: int) -> None:
        self._draws = draws
        self._random = _random.Random()
        self._servers: list[Server] = []
        self._bounds: list[int] = []

    def rebuild(self, servers: list[Server]) -> None:
        """Sum the weights."""
        self._servers = servers
        self._bounds = list(accumulate(server.share for server in servers))

    def pick(self, key: bytes | int | None, avoid: Server | None) -> Server | None:
        """Draw; full servers count as never drawn while others have room."""
        best: Server | None = None
        lowest = 0.0
        if not self._bounds:
            return None
        for _ in range(self._draws):
            server = self._servers[bisect_right(self._bounds, self._random.random() * self._bounds[-1])]
            if server is avoid or (server.maxconn and not server.available()):
                continue
            load = (server.used + 1) / server.share
            if best is None or load < lowest:
                best, lowest = server, load
        if best is not None:
            return best
        for wanted in (True, False):
            for server in self._servers:
                if (server is not avoid) is wanted and (not server.maxconn or server.available()):
                    return server
        return None
