"""A stick table: keys to rows, rows to columns, and which row goes when. HOT.

A row is an index into every column; a key is bytes of the table's type. Rows are found through 256 dictionaries that a
stable hash of the key chooses (so no resize is long, and replicas can compare bucket by bucket). A row is filed by the
moment of its last use into a slot of a calendar; using it again only stores the moment, and whoever empties the slot
files it anew. So looking a key up and refreshing it never moves anything, and the oldest rows are always at hand.

Times are seconds of the process's clock, where a name says `now_ms` whole milliseconds.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any, Final
from zlib import crc32

from trilb.base.hybrid import HybridClock
from trilb.base.schema import GAUGE, RATE, TALLY, Schema, Stored
from trilb.tables.columns import Gauge, Mark, Rate, Tally

BUCKETS: Final = 256
_MASK: Final = BUCKETS - 1
_EPOCH: Final = float(1 << 23)
"""Added to moments so that a slot's number is never negative; more than the longest time a table may keep."""
_CHUNK: Final = 1000
"""Rows of a slot that are sorted in one go: about a millisecond of work."""
_LOOKS: Final = 500
"""Rows that one call of `purge` looks at: about as much work."""
FOREVER: Final = 1e18
"""Seconds; not infinite, so that sums with what never was are never no number."""
_NEVER: Final = -math.inf
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""How IPv6 writes an IPv4 address (RFC 4291, 2.5.5.2)."""
UNSTAMPED: Final = 0x80
"""Bit of a changed row: what was counted has no new stamp yet."""
_GRAVE: Final = 3600.0
"""Seconds for which a deletion is remembered when the table's entries never expire."""

Poke = Callable[[], None]


class Feed:
    """Rows that changed since somebody last asked: peers have one, a journal another."""

    __slots__ = ("bit", "poke", "rows", "table")

    def __init__(self, table: Table, bit: int, poke: Poke | None) -> None:
        self.table = table
        self.bit = bit
        self.rows: list[int] = []
        self.poke = poke

    def take(self) -> list[int]:
        """The rows that changed, each once; they are forgotten here."""
        rows = self.rows
        if rows:
            self.rows = []
            dirty, keep = self.table.dirty, ~self.bit & 0xFF
            for row in rows:
                dirty[row] &= keep
        return rows


class Table:
    """The entries of one stick table."""

    def __init__(self, schema: Schema, clock: HybridClock | None = None, *, shared: bool = False) -> None:
        self.schema = schema
        self.name = schema.name
        self.size = schema.size
        self.expire = schema.expire or FOREVER
        self.clock = clock or HybridClock()
        self.shared = shared
        self.used = 0
        self.refused = 0
        self.index: list[dict[bytes, int]] = [{} for _ in range(BUCKETS)]
        self.keys: list[bytes | None] = []
        self.touched: array[float] = array("d")
        self.filed: array[int] = array("Q")
        self.refs: array[int] = array("I")
        self.epochs: array[int] = array("Q")
        self.stamps: array[int] = array("Q")
        self.origin_stamps: dict[int, array[int]] = {}
        """When each other replica last changed what it counted for a row."""
        self.origins = [""]
        """Who writes to this table, by number; 0 is this process."""
        self.origin_numbers: dict[str, int] = {}
        self.dirty = bytearray()
        self.free: list[int] = []
        self.servers: list[str] = [""]
        self.server_numbers: dict[str, int] = {"": 0}
        self.feeds: tuple[Feed, ...] = ()
        self._all = 0
        self.graves: deque[tuple[float, int, int]] = deque()
        self.columns: dict[str, list[Tally | Rate | Mark]] = {}
        self.shown: list[tuple[str, str, Tally | Rate | Mark]] = []
        """What `show table` shows: label, data type, column."""
        for stored in schema.shown:
            self._column(stored)
        self.marks = [c for each in self.columns.values() for c in each if isinstance(c, Mark)]
        self.counts = [c for each in self.columns.values() for c in each if not isinstance(c, Mark)]
        self.server_id = self._mark("server_id")
        self.server_key = self._mark("server_key")
        if self.server_id is not None and self.server_key is not None:
            # Both are written at once and mean one thing: one clock is enough.
            self.server_id.shared = False
            self.server_key.companion = self.server_id
            self.marks.remove(self.server_id)
        self.gpcs = self._pair("gpc", "gpc0", "gpc1")
        self.gpc_array = self._list("gpc")
        self.gpc_rates = self._pair("gpc_rate", "gpc0_rate", "gpc1_rate")
        self.gpc_rate_array = self._list("gpc_rate")
        self.gpts = self._pair("gpt", "gpt0")
        self.gpt_array = self._list("gpt")
        self.conn_cur = self._pair("conn_cur", "conn_cur")[0]
        self.on_connection = self._events("conn_cnt", "conn_rate")
        self.on_session = self._events("sess_cnt", "sess_rate")
        self.on_request = self._events("http_req_cnt", "http_req_rate")
        self.on_error = self._events("http_err_cnt", "http_err_rate")
        self.on_failure = self._events("http_fail_cnt", "http_fail_rate")
        self.on_glitch = self._events("glitch_cnt", "glitch_rate")
        self.bytes_in = self._events("bytes_in_cnt")
        self.bytes_out = self._events("bytes_out_cnt")
        self.rates_in = self._events("bytes_in_rate")
        self.rates_out = self._events("bytes_out_rate")
        self.factor = schema.factor or 1
        self.shards = 0
        self._width = min(max(self.expire / 16384, min(0.25, self.expire / 16)), 60.0)
        self.slots: dict[int, array[int]] = {}
        self._order: list[int] = []
        self._head: list[int] = []
        self._head_slot = 0
        self._head_high = 0.0
        self._make_key = _key_maker(schema)

    def _column(self, stored: Stored) -> None:
        kind = stored.type.kind
        made: list[Tally | Rate | Mark] = []
        for index in range(stored.count or 1):
            column: Tally | Rate | Mark
            if kind == TALLY:
                column = Tally(stored.type.wide)
            elif kind == GAUGE:
                column = Gauge(self.schema.recv_only)
            elif kind == RATE:
                column = Rate(stored.period)
            else:
                column = Mark(self.shared)
            made.append(column)
            self.shown.append((stored.label(index), stored.type.name, column))
        self.columns[stored.type.name] = made

    def _list(self, name: str) -> list[Any]:
        return list(self.columns.get(name, ()))

    def _pair(self, array_name: str, *names: str) -> list[Any]:
        """The elements of an array, or else the columns of the older types that mean its first ones."""
        if array_name in self.columns and array_name not in names:
            return self._list(array_name)
        return [self.columns[name][0] if name in self.columns else None for name in names]

    def _events(self, *names: str) -> tuple[Any, ...]:
        return tuple(self.columns[name][0] for name in names if name in self.columns)

    def _mark(self, name: str) -> Mark | None:
        found = self.columns.get(name)
        return found[0] if found and isinstance(found[0], Mark) else None

    # -- keys --------------------------------------------------------------------------------------------------------

    def key(self, value: bytes | int) -> bytes | None:
        """The key that a sample of the table's type stands for; None when it cannot be one."""
        return self._make_key(value)

    def find(self, key: bytes, now: float) -> int:
        """The row of a key, -1 when there is none or it has expired. Refreshes nothing."""
        row = self.index[crc32(key) & _MASK].get(key, -1)
        if row >= 0 and self.touched[row] + self.expire <= now and not self.refs[row]:
            return -1
        return row

    def get(self, key: bytes, now: float) -> int:
        """The row of a key, made when there is none; -1 when the table is full. Does not refresh what is there."""
        bucket = self.index[crc32(key) & _MASK]
        row = bucket.get(key, -1)
        if row >= 0:
            if self.touched[row] + self.expire > now or self.refs[row]:
                return row
            self._revive(row, now)
            return row
        return self._make(bucket, key, now)

    def _revive(self, row: int, now: float) -> None:
        """An expired or deleted row begins anew."""
        if self.touched[row] == _NEVER:
            self.used += 1
            self.touched[row] = now
            self.file(row, now)
        else:
            self._zero(row)
            self.touched[row] = now
        self.mark(row)

    def _make(self, bucket: dict[bytes, int], key: bytes, now: float) -> int:
        if self.used >= self.size and not self._room(now):
            self.refused += 1
            return -1
        row = self.free.pop() if self.free else self.grow()
        bucket[key] = row
        self.keys[row] = key
        self.touched[row] = now
        self.used += 1
        self.file(row, now)
        if self.feeds:
            self.mark(row)
        return row

    def touch(self, row: int, now: float) -> None:
        """Refresh a row: it expires a whole time from now."""
        self.touched[row] = now
        if self.dirty[row] != self._all:
            self.mark(row)

    def mark(self, row: int) -> None:
        """Tell whoever replicates or journals that a row changed."""
        was = self.dirty[row]
        if was != self._all:
            self.dirty[row] = self._all
            for feed in self.feeds:
                if not was & feed.bit:
                    feed.rows.append(row)
                    if feed.poke is not None and len(feed.rows) == 1:
                        feed.poke()

    def subscribe(self, poke: Poke | None = None) -> Feed:
        """A feed of what changes from now on; `poke` is called when it stops being empty."""
        taken = {feed.bit for feed in self.feeds}
        bit = next(1 << number for number in range(7) if 1 << number not in taken)
        feed = Feed(self, bit, poke)
        self.feeds = (*self.feeds, feed)
        self._all |= feed.bit | UNSTAMPED
        return feed

    def unsubscribe(self, feed: Feed) -> None:
        """Nobody asks a feed any more."""
        self.feeds = tuple(each for each in self.feeds if each is not feed)
        feed.take()
        self._all = self._all & ~feed.bit if self.feeds else 0

    def grow(self) -> int:
        """Room for more rows in every column; returns the first of them."""
        first = len(self.keys)
        count = max(16, min(4096, first // 8, self.size))
        self.keys.extend([None] * count)
        self.touched.frombytes(bytes(8 * count))
        self.filed.frombytes(bytes(8 * count))
        self.refs.frombytes(bytes(4 * count))
        if self.shared:
            self.epochs.frombytes(bytes(8 * count))
            if self.counts:
                self.stamps.frombytes(bytes(8 * count))
                for stamps in self.origin_stamps.values():
                    stamps.frombytes(bytes(8 * count))
        self.dirty.extend(bytes(count))
        for columns in self.columns.values():
            for column in columns:
                column.extend(count)
        self.free.extend(range(first + count - 1, first, -1))
        return first

    def _zero(self, row: int) -> None:
        for columns in self.columns.values():
            for column in columns:
                column.clear(row)
        if self.shared and self.counts:
            self.stamps[row] = 0
            for stamps in self.origin_stamps.values():
                stamps[row] = 0

    # -- going away --------------------------------------------------------------------------------------------------

    def slot(self, moment: float) -> int:
        return int((moment + _EPOCH) / self._width) + 1

    def file(self, row: int, moment: float) -> None:
        slot = self.slot(moment)
        rows = self.slots.get(slot)
        if rows is None:
            rows = self.slots[slot] = array("I")
            heappush(self._order, slot)
        rows.append(row)
        self.filed[row] = slot

    def _oldest(self) -> int:
        """Look at the next row of the calendar: its number when it is the oldest, -1 at the end, -2 when it was not."""
        order = self._order
        if not self._head or (order and order[0] < self._head_slot):
            if self._head:
                self._give_back()
            if not order:
                return -1
            slot = order[0]
            rows = self.slots[slot]
            if len(rows) > _CHUNK:
                part = rows[-_CHUNK:]
                del rows[-_CHUNK:]
            else:
                part = rows
                heappop(order)
                del self.slots[slot]
            touched, filed = self.touched, self.filed
            self._head = sorted((r for r in part if filed[r] == slot), key=touched.__getitem__, reverse=True)
            self._head_slot = slot
            if not self._head:
                return -2
            self._head_high = touched[self._head[0]]
        row = self._head[-1]
        if self.filed[row] != self._head_slot or self.slot(self.touched[row]) != self._head_slot:
            self._head.pop()
            if self.filed[row] == self._head_slot and self.touched[row] != _NEVER:
                self.file(row, self.touched[row])
            return -2
        if self.touched[row] > self._head_high:
            # Used since the head was taken, as were those that joined its slot: they are compared the next time.
            self.file(self._head.pop(), self.touched[row])
            return -2
        if len(self._head) > 1 and self.touched[self._head[-2]] < self.touched[row]:
            self._head.sort(key=self.touched.__getitem__, reverse=True)
            return -2
        return row

    def _give_back(self) -> None:
        rows = self.slots.get(self._head_slot)
        if rows is None:
            rows = self.slots[self._head_slot] = array("I")
            heappush(self._order, self._head_slot)
        rows.extend(array("I", self._head))
        self._head = []

    def _later(self, row: int, now: float) -> None:
        """A row that somebody holds is looked at again later."""
        self._head.pop()
        slot = self.slot(now)
        if slot <= self._head_slot:
            slot = self._head_slot + 1
        rows = self.slots.get(slot)
        if rows is None:
            rows = self.slots[slot] = array("I")
            heappush(self._order, slot)
        rows.append(row)
        self.filed[row] = slot

    def _room(self, now: float) -> bool:
        """Make room in a full table; False when nothing may go."""
        self.purge(now)
        if self.used < self.size:
            return True
        if self.schema.nopurge:
            return False
        # As many at once as HAProxy, so that a full table is not full again at once.
        wanted = (self.size >> 8) + 1
        looks = _CHUNK + wanted
        held = 0
        while wanted and looks and held <= self.used:
            looks -= 1
            row = self._oldest()
            if row == -1:
                break
            if row == -2:
                continue
            if self.refs[row]:
                self._later(row, now)
                held += 1
                continue
            self._head.pop()
            self.drop(row)
            wanted -= 1
        return self.used < self.size

    def place(self, key: bytes, now: float) -> int:
        """A row for a key that has none; the caller says how old it is, files it and counts it."""
        row = self.free.pop() if self.free else self.grow()
        self.index[crc32(key) & _MASK][key] = row
        self.keys[row] = key
        return row

    def outlives(self, moment: float, now: float) -> bool:
        """Whether an entry last used at `moment` is worth a place in a full table; the oldest has made it, then."""
        if self.schema.nopurge:
            return False
        looks = _CHUNK
        while looks:
            looks -= 1
            row = self._oldest()
            if row == -1:
                return False
            if row == -2:
                continue
            if self.refs[row]:
                self._later(row, now)
                continue
            if self.touched[row] >= moment:
                return False
            self._head.pop()
            self.drop(row)
            return True
        return False

    def purge(self, now: float, looks: int = _LOOKS) -> bool:
        """Let go of expired rows, looking at no more than `looks`; whether there may be more."""
        graves = self.graves
        while graves and graves[0][0] <= now:
            _, row, epoch = graves.popleft()
            if self.touched[row] == _NEVER and self.epochs[row] == epoch and self.keys[row] is not None:
                self._forget(row)
        if self.expire == FOREVER:
            return False
        limit = now - self.expire
        last = self.slot(limit)
        while looks:
            if not self._head and (not self._order or self._order[0] > last):
                return False
            row = self._oldest()
            looks -= 1
            if row == -1:
                return False
            if row == -2:
                continue
            if self.touched[row] > limit:
                return False
            if self.refs[row]:
                self._later(row, now)
                continue
            self._head.pop()
            self.drop(row)
        return True

    def drop(self, row: int) -> None:
        """Let go of a row here; other replicas keep theirs."""
        self.used -= 1
        self._zero(row)
        self._forget(row)

    def _forget(self, row: int) -> None:
        key = self.keys[row]
        assert key is not None
        del self.index[crc32(key) & _MASK][key]
        self.keys[row] = None
        self.touched[row] = _NEVER
        self.filed[row] = 0
        if self.shared:
            self.epochs[row] = 0
        self.free.append(row)

    def remove(self, row: int, now: float) -> bool:
        """Delete a row everywhere; False when somebody holds it."""
        if self.refs[row]:
            return False
        if self.feeds and self.shared:
            self.bury(row, self.clock.stamp(), now)
            self.mark(row)
        else:
            self.drop(row)
        return True

    def bury(self, row: int, epoch: int, now: float) -> None:
        """Nothing that was known of a row before `epoch` counts any more; the row stays to tell the others."""
        self.used -= 1
        self._zero(row)
        self.touched[row] = _NEVER
        self.filed[row] = 0
        self.epochs[row] = epoch
        self.graves.append((now + (self.expire if self.expire != FOREVER else _GRAVE), row, epoch))
        if len(self.graves) > max(self.size, 1024):
            _, oldest, its = self.graves.popleft()
            if self.touched[oldest] == _NEVER and self.epochs[oldest] == its and self.keys[oldest] is not None:
                self._forget(oldest)

    # -- what the outside does ---------------------------------------------------------------------------------------

    def hold(self, row: int) -> None:
        """Keep a row from going while somebody counts in it."""
        self.refs[row] += 1

    def release(self, row: int, now: float) -> None:
        """Let a held row go its way; it is refreshed."""
        self.refs[row] -= 1
        self.touch(row, now)

    def counted(self, row: int) -> bool:
        """Whether this process counted anything for a row."""
        return any(
            column.own[0][row] or column.own[1][row] if isinstance(column, Rate) else column.own[row]
            for column in self.counts
        )

    def server_number(self, key: str) -> int:
        """The number that stands for a server's name or address in this table."""
        number = self.server_numbers.get(key)
        if number is None:
            number = self.server_numbers[key] = len(self.servers)
            self.servers.append(key)
        return number

    def set_mark(self, column: Mark, row: int, value: int) -> None:
        """Write a tag or a server; what is written again unchanged makes no claim on other replicas."""
        if self.shared:
            clocked = self.server_key if column is self.server_id and self.server_key is not None else column
            if column.values[row] == value and clocked.clocks[row]:
                return
            clocked.clocks[row] = self.clock.stamp()
            clocked.writers[row] = 0
        column.values[row] = value

    def stick(self, row: int, identity: int, server: int, now: float) -> None:
        """A row belongs to a server: `identity` is the server's number, `server` that of its name in this table."""
        by_id, by_key = self.server_id, self.server_key
        assert by_id is not None and by_key is not None
        if by_key.values[row] != server or by_id.values[row] != identity or (self.shared and not by_key.clocks[row]):
            by_id.values[row] = identity
            by_key.values[row] = server
            if self.shared:
                by_key.clocks[row] = self.clock.stamp()
                by_key.writers[row] = 0
        self.touched[row] = now
        if self.dirty[row] != self._all:
            self.mark(row)

    def shard(self, key: bytes) -> int:
        """The part of the table a key belongs to, from 1; 0 when the table is not spread over peers."""
        return crc32(key) % self.shards + 1 if self.shards else 0

    def left(self, row: int, now: float) -> float:
        """Seconds until a row expires; 0.0 where entries never do."""
        return max(0.0, self.touched[row] + self.expire - now) if self.expire != FOREVER else 0.0

    def rows(self, now: float) -> Iterator[int]:
        """Every live row, in no order."""
        for bucket in self.index:
            for row in list(bucket.values()):
                if self.touched[row] + self.expire > now or self.refs[row]:
                    yield row

    def __len__(self) -> int:
        return self.used


def _key_maker(schema: Schema) -> Callable[[bytes | int], bytes | None]:
    length = schema.length
    if schema.type == "integer":

        def integer(value: bytes | int) -> bytes | None:
            return (int(value) & 0xFFFFFFFF).to_bytes(4, "big")

        return integer
    if schema.type in ("ip", "ipv4", "ipv6"):

        def address(value: bytes | int) -> bytes | None:
            if not isinstance(value, bytes) or len(value) == length:
                return value if isinstance(value, bytes) else None
            if length == 4:
                return value[12:] if value.startswith(_MAPPED) else None
            return _MAPPED + value

        return address
    if schema.type == "binary":

        def binary(value: bytes | int) -> bytes | None:
            assert isinstance(value, bytes)
            return value[:length].ljust(length, b"\0")

        return binary

    def string(value: bytes | int) -> bytes | None:
        assert isinstance(value, bytes)
        return value[:length]

    return string
