"""A node: which peers are linked, what each is still to be told, what their messages mean.

No I/O: `receive` takes bytes, `pump` gives the next bytes for a link, `tick` lets time pass. Each call does a few
milliseconds of work at most, so a shell can go back to its other tasks in between.

- A change goes to every link as soon as it can take it; changes of a row that could not be sent yet become one.
- A link that was down needs no memory of what it missed: digests of buckets tell, and those that differ are exchanged.
- A node that begins empty asks one peer for everything, and compares with all of them afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from peers import messages
from peers.link import Flying, Link
from peers.messages import ProtocolError, encode
from peers.table import Table

ROWS: Final = 1000
"""Rows of a batch, and entries whose digests are computed, in one step."""
BATCH_BYTES: Final = 1 << 19
WINDOW: Final = 8
"""Batches on their way without an acknowledgement."""
HEARTBEAT: Final = 3.0
SILENCE: Final = 10.0
"""Seconds without a word after which a connection counts as dead."""
HANDSHAKE: Final = 5.0
_MOST_TABLES: Final = 4096
_MOST_BUCKETS: Final = 4096


@dataclass(slots=True)
class Remote:
    """A peer this node may be linked with, and how that went."""

    name: str
    address: str = ""
    shard: int = 0
    error: str = ""
    error_since: float = 0.0
    refused: int = 0
    connects: int = 0
    since: float = 0.0
    protocol_errors: int = 0


@dataclass(slots=True)
class PeerStatus:
    """A peer as `show peers` tells of it. Times are seconds, sizes bytes."""

    name: str
    address: str
    state: str
    since: float
    waiting: int = 0
    unacknowledged: int = 0
    lag: float = 0.0
    rows_sent: int = 0
    rows_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    repaired: int = 0
    error: str = ""
    sentence: str = ""
    tables: dict[str, str] = field(default_factory=dict)
    stopping: bool = False
    local: bool = False
    incarnation: int = 0


class Replica:
    """One node of a cluster.

    `cluster` and `name` are told to peers and must be what they expect; `incarnation` distinguishes this process from
    the one before it (milliseconds since the epoch). `peers` are the names that may connect. `interval` seconds lie
    between comparisons with a peer; `patience` is how long the first resync may make no progress.
    """

    def __init__(
        self,
        cluster: str,
        name: str,
        incarnation: int,
        tables: Mapping[str, Table],
        peers: Mapping[str, Remote],
        now: float,
        *,
        interval: float = 30.0,
        patience: float = 5.0,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.incarnation = incarnation
        self.tables = dict(tables)
        self.remotes = dict(peers)
        self.interval = interval
        self.patience = patience
        self.say = say
        self.links: list[Link] = []
        self.stopping = False
        self.strangers = 0
        self.protocol_errors = 0
        self.faults = 0
        """Conversations that ended by an error of this program."""
        self.synced = any(len(table) for table in self.tables.values())
        """This node knows what there is to know; it may teach."""
        self.teacher: Link | None = None
        self.asked: set[int] = set()
        self.progress = self.began = now
        self.on_synced: Callable[[], None] = lambda: None

    # -- links -------------------------------------------------------------------------------------------------------

    def open(self, peer: str, now: float, *, dialed: bool, local: bool = False, origin: str = "") -> Link:
        """A connection was opened; who dials says hello first. `peer` is "" for one that was accepted."""
        link = Link(peer, now, dialed=dialed, local=local, origin=origin)
        self.links.append(link)
        if dialed:
            self._hello(link)
        return link

    def _hello(self, link: Link) -> None:
        tables = {name: [dict(table.description), len(table)] for name, table in self.tables.items()}
        link.say(
            messages.HELLO,
            messages.MAGIC,
            messages.VERSION,
            self.cluster,
            self.name,
            link.peer,
            self.incarnation,
            self.stopping,
            tables,
        )

    def lost(self, link: Link, reason: str, now: float) -> None:
        """A connection ended."""
        if link not in self.links:
            return
        self.links.remove(link)
        remote = self.remotes.get(link.peer)
        if remote is not None and not link.duplicate:
            remote.error, remote.error_since = link.closing or reason, now
            if link.established:
                remote.since = now
        if self.teacher is link:
            self.teacher = None
            self._find_teacher(now)

    def settled(self, now: float, grace: float) -> bool:
        """Nothing more is to be learned soon: all is known, or nobody who may know it can be reached.

        A peer that does not answer is waited for `grace` seconds after the start only.
        """
        if self.synced or not self.tables:
            return True
        if self.teacher is not None or any(link.local for link in self.links):
            return False
        missing = [r for r in self.remotes.values() if r.name != self.name and not self.linked(r.name)]
        asked = all(id(link) in self.asked for link in self.links if link.established)
        return asked and (all(remote.error for remote in missing) or now - self.began > grace)

    def linked(self, peer: str) -> bool:
        """Whether a peer is linked by an established connection (any of its processes)."""
        return any(
            link.peer == peer and link.established and not link.closing and not link.local for link in self.links
        )

    def _refuse(self, link: Link, code: str, text: str) -> None:
        link.say(messages.ERROR, code, text)
        link.closing = text

    # -- time --------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let time pass: heartbeats, silence, comparisons, a resync that does not move."""
        for link in self.links:
            if link.closing:
                continue
            if not link.established:
                if now - link.opened > HANDSHAKE:
                    link.closing = f"no handshake within {HANDSHAKE:.0f} s"
                    link.wake()
                continue
            if now - link.heard > SILENCE:
                link.closing = f"not a word for {SILENCE:.0f} s"
                link.wake()
            elif now - link.said > HEARTBEAT:
                link.said = now
                link.say(messages.HEARTBEAT)
            if link.compare_at and now >= link.compare_at and link.comparing is None and self.synced:
                self._compare(link, now)
        if not self.synced and now - self.progress > self.patience:
            if self.teacher is not None:
                self.teacher = None
            self._find_teacher(now, late=True)

    def _compare(self, link: Link, now: float) -> None:
        """Begin to compare tables with a peer."""
        link.compare_at = now + self.interval
        if not link.shard and link.comparing is None and link.teaching is None:
            link.comparing = self._digests(link)
            link.wake()

    # -- learning everything -----------------------------------------------------------------------------------------

    def _find_teacher(self, now: float, *, late: bool = False) -> None:
        """Ask somebody who was not asked yet for everything; with nobody left this node is up to date."""
        if self.synced or self.teacher is not None:
            return
        able = [link for link in self.links if link.established and not link.closing and id(link) not in self.asked]
        able.sort(key=lambda link: not link.local)
        if able:
            self.teacher = able[0]
            self.asked.add(id(able[0]))
            self.progress = now
            able[0].say(messages.RESYNC)
        elif late:
            self._now_synced(now)

    def _now_synced(self, now: float) -> None:
        if self.synced:
            return
        self.synced = True
        self.teacher = None
        self.on_synced()
        for link in self.links:
            if link.established and not link.closing and not link.local:
                self._compare(link, now)

    # -- what changed here -------------------------------------------------------------------------------------------

    def collect(self, now: float) -> bool:
        """Take changes from the tables to the links; whether there were any."""
        found = False
        for name, table in self.tables.items():
            rows = table.take()
            if not rows:
                continue
            found = True
            for link in self.links:
                if link.established and name in link.shared and not link.closing:
                    if not link.waiting:
                        link.pending_since = now
                    waiting = link.pending.setdefault(name, {})
                    waiting.update(dict.fromkeys(table.select(rows, link.shard) if link.shard else rows))
                    link.wake()
        return found

    # -- sending -----------------------------------------------------------------------------------------------------

    def pump(self, link: Link, now: float) -> bytes:
        """The next bytes for a link, b"" when there is nothing to say now."""
        if link.acknowledge and not link.closing:
            number, link.acknowledge = link.acknowledge, 0
            link.outbox.append(encode(messages.ACK, number))
        if not link.outbox and link.established and not link.closing:
            self._work(link, now)
        if not link.outbox:
            return b""
        data = b"".join(link.outbox)
        link.outbox.clear()
        link.said = now
        link.bytes_sent += len(data)
        return data

    def _work(self, link: Link, now: float) -> None:
        """Put a batch or a few digests into the outbox, if there is a place on the way."""
        if len(link.flying) >= WINDOW:
            return
        if link.waiting:
            self._send_changes(link, now)
        elif link.teaching is not None:
            step = next(link.teaching, None)
            if step is None:
                link.teaching = None
                link.outbox.append(encode(messages.TAUGHT, self.synced))
            elif step[1]:
                self._send(link, *step, whole=True, since=0.0)
        elif link.repairs:
            name, bucket = link.repairs.popleft()
            link.queued_repairs.discard((name, bucket))
            for rows in self._slices(name, self.tables[name].bucket(bucket), link):
                self._send(link, name, rows, whole=True, since=0.0)
            link.repaired += 1
        elif link.comparing is not None:
            frame = next(link.comparing, None)
            if frame is None:
                link.comparing = None
            else:
                link.outbox.append(frame)

    def _slices(self, name: str, rows: list[int], link: Link) -> Iterator[list[int]]:
        table = self.tables[name]
        if link.shard:
            rows = table.select(rows, link.shard)
        most = self._most(table)
        for at in range(0, len(rows), most):
            yield rows[at : at + most]

    @staticmethod
    def _most(table: Table) -> int:
        """Rows that a batch may hold, so that long keys make no long frames."""
        length = table.description.get("length", 32)
        return max(1, min(ROWS, BATCH_BYTES // (int(length) + 64)))

    def _send_changes(self, link: Link, now: float) -> None:
        name, waiting = next((name, rows) for name, rows in link.pending.items() if rows)
        most = self._most(self.tables[name])
        if len(waiting) <= most:
            rows = list(waiting)
            link.pending[name] = {}
        else:
            rows = [row for row, _ in zip(waiting, range(most), strict=False)]
            for row in rows:
                del waiting[row]
        self._send(link, name, rows, whole=False, since=link.pending_since)

    def _send(self, link: Link, name: str, rows: list[int], *, whole: bool, since: float) -> None:
        link.number += 1
        link.rows_sent += len(rows)
        link.flying.append(Flying(link.number, len(rows), since))
        batch = self.tables[name].export(rows, whole)
        link.outbox.append(encode(messages.UPDATE, link.number, name, whole, batch))

    def _everything(self, link: Link) -> Iterator[tuple[str, list[int]]]:
        """All rows of the tables shared with a peer, a batch at a time."""
        for name in sorted(link.shared):
            table = self.tables[name]
            gathered: list[int] = []
            most = self._most(table)
            for number in range(table.buckets):
                gathered += table.bucket(number)
                if len(gathered) >= most:
                    yield from ((name, rows) for rows in self._slices(name, gathered, link))
                    gathered = []
            yield from ((name, rows) for rows in self._slices(name, gathered, link))

    def _digests(self, link: Link) -> Iterator[bytes]:
        """Digests of every table shared with a peer, a few buckets at a time."""
        for name in sorted(link.shared):
            table = self.tables[name]
            horizon = table.horizon()
            count = max(1, min(table.buckets, ROWS * table.buckets // max(1, len(table))))
            for first in range(0, table.buckets, count):
                last = min(table.buckets, first + count)
                digests = [table.digest(number, horizon) for number in range(first, last)]
                yield encode(messages.DIGEST, name, horizon, first, digests)

    # -- receiving ---------------------------------------------------------------------------------------------------

    def receive(self, link: Link, data: bytes, now: float) -> None:
        """Take bytes from a link. What makes no sense closes it and is counted."""
        link.heard = now
        link.bytes_received += len(data)
        try:
            for message in link.decoder.feed(data):
                if not link.closing:
                    self._message(link, message, now)
        except ProtocolError as error:
            self.protocol_errors += 1
            remote = self.remotes.get(link.peer)
            if remote is not None:
                remote.protocol_errors += 1
            self._refuse(link, "protocol", str(error))
            self.say(f"peer {link.peer or link.origin}: {error}")

    def _message(self, link: Link, message: list[Any], now: float) -> None:
        kind, *values = message
        if kind == messages.ERROR:
            self._told(link, values)
            return
        if not link.established:
            if kind != messages.HELLO:
                raise ProtocolError("the first message must be the greeting")
            self._greeted(link, values, now)
            return
        handler = _HANDLERS.get(kind)
        if handler is None:
            raise ProtocolError(f"no message is of kind {kind}")
        handler(self, link, values, now)

    def _told(self, link: Link, values: list[Any]) -> None:
        code, text = values if len(values) == 2 else ("", "")
        if code == "duplicate":
            link.duplicate = True
            link.closing = "another connection to the same process is kept"
            return
        said = text[:400] if isinstance(text, str) else "nothing"
        link.closing = f"the peer refuses: {said}"
        self.say(f"peer {link.peer or link.origin} refuses: {said}")

    def _greeted(self, link: Link, values: list[Any], now: float) -> None:
        """Both sides check the same things, and tell each other what does not fit."""
        if len(values) != 8 or values[0] != messages.MAGIC:
            raise ProtocolError("the greeting is not a trilb peer's")
        _, version, cluster, name, wanted, incarnation, stopping, tables = values
        if (
            not isinstance(name, str)
            or not isinstance(cluster, str)
            or not isinstance(wanted, str)
            or type(incarnation) is not int
            or not isinstance(tables, dict)
            or len(tables) > _MOST_TABLES
            or len(name) > 256
        ):
            raise ProtocolError("the greeting is malformed")
        if version != messages.VERSION:
            self._mismatch(
                link, "version", f"it speaks version {version} of the protocol, this peer {messages.VERSION}"
            )
            return
        if cluster != self.cluster:
            text = f"it belongs to peers section '{cluster[:100]}', this peer '{self.name}' to '{self.cluster}'"
            self._mismatch(link, "cluster", text)
            return
        if wanted != self.name:
            text = f"it looks for a peer named '{wanted[:100]}', this one is '{self.name}' (-L, localpeer)"
            self._mismatch(link, "wrong peer", text)
            return
        if link.peer and name != link.peer:
            text = f"it calls itself '{name[:100]}', and is '{link.peer}' in peers section '{self.cluster}'"
            self._mismatch(link, "wrong name", text)
            return
        if not link.local and (name not in self.remotes or name == self.name):
            self.strangers += 1
            text = f"'{name[:100]}' is no peer of section '{self.cluster}' of '{self.name}'"
            self._mismatch(link, "stranger", text)
            return
        self._compare_tables(link, tables, name)
        if not link.dialed:
            link.peer = name
            self._hello(link)
        link.peer = name
        link.incarnation = incarnation
        link.stopping = bool(stopping)
        if not self._keep(link):
            return
        self._establish(link, now)

    def _mismatch(self, link: Link, code: str, text: str) -> None:
        remote = self.remotes.get(link.peer)
        if remote is not None:
            remote.refused += 1
        self.say(f"peer {link.peer or link.origin} refused: {text}")
        self._refuse(link, code, text)

    def _compare_tables(self, link: Link, tables: dict[Any, Any], peer: str) -> None:
        for name, table in self.tables.items():
            theirs = tables.get(name)
            if theirs is None:
                link.mismatches[name] = f"not a table of '{peer}'"
                continue
            mine = dict(table.description)
            described = theirs[0] if isinstance(theirs, list) and len(theirs) == 2 else None
            if not isinstance(described, dict):
                raise ProtocolError("a table is not described")
            wrong = [
                f"{what} is '{value}' here and '{str(described.get(what))[:200]}' at '{peer}'"
                for what, value in mine.items()
                if described.get(what) != value
            ]
            if wrong:
                link.mismatches[name] = "; ".join(wrong)
                self.say(f"table '{name}' is not shared with peer '{peer}': {link.mismatches[name]}")
            else:
                link.shared.add(name)

    def _keep(self, link: Link) -> bool:
        """Of two connections to one process one is kept: the same one by both sides."""
        for other in self.links:
            if other is link or not other.established or other.closing or other.peer != link.peer:
                continue
            if other.incarnation != link.incarnation or other.local != link.local:
                continue
            loser = other
            if other.dialed != link.dialed and other.dialed is (self.name < link.peer):
                loser = link
            loser.duplicate = True
            loser.say(messages.ERROR, "duplicate", "another connection is kept")
            loser.closing = "another connection to the same process is kept"
            if loser is link:
                return False
        return True

    def _establish(self, link: Link, now: float) -> None:
        link.established = True
        link.since = now
        link.decoder.limit = messages.LARGEST_FRAME
        remote = self.remotes.get(link.peer)
        if remote is not None and not link.local:
            remote.connects += 1
            remote.since = now
            remote.error = ""
            link.shard = remote.shard
        self._find_teacher(now)
        if self.synced and not link.local and (self.name, self.incarnation) < (link.peer, link.incarnation):
            self._compare(link, now)
        elif not link.local:
            link.compare_at = now + self.interval * 1.5
        link.wake()

    # -- messages of an established link -----------------------------------------------------------------------------

    def _updated(self, link: Link, values: list[Any], now: float) -> None:
        if len(values) != 4 or type(values[0]) is not int or not isinstance(values[1], str):
            raise ProtocolError("an update is malformed")
        number, name, whole, batch = values
        if name not in link.shared:
            raise ProtocolError(f"an update for table '{name[:100]}', which is not shared")
        try:
            link.rows_received += self.tables[name].merge(batch)
        except ValueError as error:
            raise ProtocolError(f"an update for table '{name}' makes no sense: {error}") from None
        if whole and link is self.teacher:
            self.progress = now
        link.acknowledge = number
        link.wake()

    def _acknowledged(self, link: Link, values: list[Any], now: float) -> None:
        if len(values) != 1 or type(values[0]) is not int:
            raise ProtocolError("an acknowledgement is malformed")
        while link.flying and link.flying[0].number <= values[0]:
            link.flying.popleft()
        link.wake()

    def _asked(self, link: Link, values: list[Any], now: float) -> None:
        if link.teaching is None:
            link.comparing = None
            link.teaching = self._everything(link)
        link.wake()

    def _taught(self, link: Link, values: list[Any], now: float) -> None:
        if link is not self.teacher:
            return
        self.teacher = None
        if values and values[0] is True:
            self._now_synced(now)
        else:
            self._find_teacher(now)
            if self.teacher is None and all(self.linked(name) for name in self.remotes if name != self.name):
                # Everybody is here, and nobody knows more.
                self._now_synced(now)

    def _digested(self, link: Link, values: list[Any], now: float) -> None:
        if len(values) != 4 or not isinstance(values[0], str) or not isinstance(values[3], list):
            raise ProtocolError("digests are malformed")
        name, horizon, first, digests = values
        if name not in link.shared or type(horizon) is not int or type(first) is not int:
            raise ProtocolError("digests are malformed")
        if link.shard:
            # It has a part only: digests of the whole would always differ.
            return
        table = self.tables[name]
        if not 0 <= first <= first + len(digests) <= table.buckets:
            raise ProtocolError("digests of buckets that do not exist")
        differ = [first + at for at, theirs in enumerate(digests) if table.digest(first + at, horizon) != theirs]
        if differ:
            link.say(messages.REPAIR, name, differ)
            self._repair(link, name, differ)

    def _repair(self, link: Link, name: str, buckets: list[int]) -> None:
        for bucket in buckets:
            if (name, bucket) not in link.queued_repairs:
                link.queued_repairs.add((name, bucket))
                link.repairs.append((name, bucket))
        link.wake()

    def _wanted(self, link: Link, values: list[Any], now: float) -> None:
        if len(values) != 2 or not isinstance(values[0], str) or not isinstance(values[1], list):
            raise ProtocolError("a request for repair is malformed")
        name, buckets = values
        if name not in link.shared:
            raise ProtocolError(f"a request for repair of table '{name[:100]}', which is not shared")
        most = self.tables[name].buckets
        if len(buckets) > most or not all(type(bucket) is int and 0 <= bucket < most for bucket in buckets):
            raise ProtocolError("a request for repair of buckets that do not exist")
        self._repair(link, name, buckets)

    def _beats(self, link: Link, values: list[Any], now: float) -> None:
        """Hearing it was all there is to it."""

    def _stops(self, link: Link, values: list[Any], now: float) -> None:
        link.stopping = True

    def stop(self) -> None:
        """This process takes no new work any more; peers are told."""
        self.stopping = True
        for link in self.links:
            if link.established and not link.closing:
                link.say(messages.STOPPING)

    @property
    def flushed(self) -> bool:
        """Whether every linked peer has acknowledged all that changed here."""
        return not any(link.waiting or link.flying or link.outbox for link in self.links if link.established)

    # -- telling -----------------------------------------------------------------------------------------------------

    def status(self, now: float) -> list[PeerStatus]:
        """Every peer, linked or not, and processes of this one that take over or hand over."""
        found = []
        for link in self.links:
            if link.established:
                found.append(self._linked_status(link, now))
        names = {status.name for status in found if not status.local}
        for remote in self.remotes.values():
            if remote.name not in names and remote.name != self.name:
                state = "refused" if remote.error.startswith("the peer refuses") else "down"
                status = PeerStatus(remote.name, remote.address, state, remote.since)
                status.error = remote.error
                status.sentence = self._down_sentence(remote, now)
                found.append(status)
        return found

    def _linked_status(self, link: Link, now: float) -> PeerStatus:
        remote = self.remotes.get(link.peer)
        lag = link.lag(now)
        status = PeerStatus(
            link.peer,
            (remote.address if remote is not None else "") or link.origin,
            "established",
            link.since,
            link.waiting,
            link.unacknowledged,
            lag,
            link.rows_sent,
            link.rows_received,
            link.bytes_sent,
            link.bytes_received,
            link.repaired,
            tables={**dict.fromkeys(sorted(link.shared), "shared"), **link.mismatches},
            stopping=link.stopping,
            local=link.local,
            incarnation=link.incarnation,
        )
        behind = status.waiting + sum(flying.rows for flying in link.flying if flying.since)
        if link is self.teacher:
            status.state, status.sentence = "learning", f"learning from it, {link.rows_received} entries so far"
        elif link.teaching is not None:
            status.state, status.sentence = "teaching", f"teaching it, {link.rows_sent} entries so far"
        elif behind:
            status.sentence = f"lagging by {behind} entries and {lag * 1000:.0f} ms"
        elif link.repairs:
            status.sentence = f"repairing {len(link.repairs)} buckets that differ"
        else:
            status.sentence = "in sync"
        if link.mismatches:
            names = ", ".join(f"'{name}' ({why})" for name, why in sorted(link.mismatches.items()))
            status.sentence += f"; not shared: {names}"
        return status

    def _down_sentence(self, remote: Remote, now: float) -> str:
        if not remote.error:
            return "not connected yet"
        since = f" for {now - remote.since:.0f} s" if remote.since else ""
        return f"not connected{since}: {remote.error}"


_HANDLERS: Final[dict[int, Callable[[Replica, Link, list[Any], float], None]]] = {
    messages.UPDATE: Replica._updated,
    messages.ACK: Replica._acknowledged,
    messages.RESYNC: Replica._asked,
    messages.TAUGHT: Replica._taught,
    messages.DIGEST: Replica._digested,
    messages.REPAIR: Replica._wanted,
    messages.HEARTBEAT: Replica._beats,
    messages.STOPPING: Replica._stops,
}
