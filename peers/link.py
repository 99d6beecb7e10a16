"""One connection to one peer: what is known of it, what waits to be sent. No I/O and no decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from peers.messages import Decoder, encode


@dataclass(slots=True)
class Flying:
    """A batch that is not acknowledged yet: its number, its rows, since when its oldest change waits."""

    number: int
    rows: int
    since: float


class Link:
    """A connection. `dialed` tells who opened it; `peer` is the name once it is known."""

    def __init__(self, peer: str, now: float, *, dialed: bool, local: bool, origin: str) -> None:
        self.peer = peer
        self.dialed = dialed
        self.local = local
        self.origin = origin
        """Where it comes from or goes to, for people."""
        self.opened = now
        self.heard = now
        self.said = now
        self.established = False
        self.since = now
        self.incarnation = 0
        self.stopping = False
        self.shard = 0
        self.closing = ""
        """Why it is to be closed, "" while it is not."""
        self.duplicate = False
        self.decoder = Decoder()
        self.outbox: deque[bytes] = deque()
        self.shared: set[str] = set()
        self.mismatches: dict[str, str] = {}
        self.number = 0
        self.pending: dict[str, dict[int, None]] = {}
        self.pending_since = 0.0
        self.flying: deque[Flying] = deque()
        self.teaching: Iterator[tuple[str, list[int]]] | None = None
        self.repairs: deque[tuple[str, int]] = deque()
        self.queued_repairs: set[tuple[str, int]] = set()
        self.comparing: Iterator[bytes] | None = None
        self.compare_at = 0.0
        self.rows_sent = 0
        self.rows_received = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.repaired = 0
        self.acknowledge = 0
        """The number of an update that is merged and not acknowledged."""
        self.wake: Callable[[], None] = lambda: None

    def say(self, kind: int, *values: Any) -> None:
        """Queue a message."""
        self.outbox.append(encode(kind, *values))
        self.wake()

    @property
    def waiting(self) -> int:
        """Rows that changed and were not sent."""
        return sum(len(rows) for rows in self.pending.values())

    @property
    def unacknowledged(self) -> int:
        """Rows that were sent and are not known to have arrived."""
        return sum(flying.rows for flying in self.flying)

    def lag(self, now: float) -> float:
        """Seconds for which the oldest change waits to be acknowledged."""
        since = [flying.since for flying in self.flying if flying.since]
        if self.waiting:
            since.append(self.pending_since)
        return max(0.0, now - min(since)) if since else 0.0
