"""How replicas of a table agree: batches of rows that say who knew what when, and what becomes of them here.

Whatever order batches arrive in, and however often, every replica ends with the same values:
- A server or a tag belongs to who wrote last, by hybrid clock, by name when two wrote at the same stamp.
- A counter is the sum of what each replica counted; each replica alone says its own part, stamped when it changed.
  With `overwrite` there is one part, and whoever changed it last has it (HAProxy's meaning).
- A deletion is a stamp, the row's epoch: nothing written before it counts any more.
- Expiry travels as time left; the longest wins. Purging a full table is each replica's own affair.

The class satisfies `peers.table.Table` without knowing it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final
from zlib import crc32

from trilb.tables.columns import Gauge, Mark, zeros
from trilb.tables.store import BUCKETS, UNSTAMPED, Poke, Table

DEAD: Final = -1
NEVER: Final = 1 << 62
"""Time left of an entry that never expires."""
MOST_ROWS: Final = 65536
MOST_ORIGINS: Final = 250
KEPT: Final = 8
"""Processes of one peer whose counts are kept, the latest ones: what was counted nine restarts ago is forgotten."""
_SETTLED: Final = 5.0
"""Seconds after which a change should be everywhere; younger ones are not compared."""
_MASK64: Final = (1 << 64) - 1
_NOTHING: Final = -float("inf")
_SWAP: Final = sys.byteorder == "big"

Marks = tuple[Mark, "array[int]", "array[int]", list[int], "array[int]"]
"""A column of tags or servers as it came: the column here, its values, clocks, writers, and what shares the clock."""


def pack(code: str, numbers: Sequence[int]) -> bytes:
    """Numbers as little-endian bytes."""
    made = array(code, numbers)
    if _SWAP:
        made.byteswap()
    return made.tobytes()


def unpack(code: str, data: object, count: int, what: str) -> array[int]:
    """`count` numbers from their bytes. Raises ValueError naming `what`."""
    made: array[int] = array(code)
    if not isinstance(data, bytes) or len(data) != made.itemsize * count:
        raise ValueError(f"{what}: expected {made.itemsize * count} bytes")
    made.frombytes(data)
    if _SWAP:
        made.byteswap()
    return made


class SharedTable:
    """A table as its replicas see it.

    `origin` names this process among them: the peer's name and when it started, `NAME/START`. `now` gives the loop's
    seconds.
    """

    buckets = BUCKETS

    def __init__(
        self, table: Table, name: str, origin: str, now: Callable[[], float], poke: Poke | None = None
    ) -> None:
        self.table = table
        self.name = name
        self.now = now
        table.origins[0] = origin
        self.origins = table.origins
        self.origin_numbers = table.origin_numbers
        self.origin_numbers[origin] = 0
        self.feed = table.subscribe(poke)
        self.written: Table | None = None
        """The table that learns what this one hears (`write-to`)."""
        self.received = 0

    @property
    def description(self) -> dict[str, str | int]:
        """What two replicas must agree on, in words."""
        schema = self.table.schema
        return {
            "type": "ip" if schema.type == "ipv4" else schema.type,
            "length": schema.length,
            "store": ",".join(s.text for s in schema.shown if s.type.name not in ("server_id", "server_key")),
            "servers": "by " + schema.srvkey if self.table.server_key is not None else "none",
            "counters": "overwrite" if schema.overwrite else "add up",
        }

    def __len__(self) -> int:
        return self.table.used

    # -- what changed here -------------------------------------------------------------------------------------------

    def take(self) -> list[int]:
        """Rows that changed here since the last call; what was counted in them is stamped now."""
        rows = self.feed.take()
        if rows and self.table.counts:
            self._stamp(rows)
        return rows

    def _stamp(self, rows: Sequence[int]) -> None:
        """Numbers that changed get a new stamp, once, before anybody is told of them."""
        table = self.table
        stamp, stamps, dirty = table.clock.stamp(), table.stamps, table.dirty
        for row in rows:
            if dirty[row] & UNSTAMPED and (stamps[row] or table.counted(row)):
                stamps[row] = stamp
            dirty[row] &= ~UNSTAMPED & 0xFF

    def export(self, rows: Sequence[int], whole: bool) -> list[Any]:
        """The state of rows as a batch; `whole` with the parts that other replicas counted."""
        table, now = self.table, self.now()
        keys_of, touched = table.keys, table.touched
        rows = [row for row in rows if keys_of[row] is not None]
        keys = [keys_of[row] for row in rows]
        if table.schema.expire:
            ends = table.expire - now
            left = [DEAD if touched[row] == _NOTHING else max(0, int((touched[row] + ends) * 1000)) for row in rows]
        else:
            left = [DEAD if touched[row] == _NOTHING else NEVER for row in rows]
        epochs = [table.epochs[row] for row in rows]
        return [
            keys,
            pack("q", left),
            pack("Q", epochs) if any(epochs) else b"",
            [self._export_mark(mark, rows) for mark in table.marks],
            self._export_parts(rows, whole, int(now * 1000)) if table.counts else [],
        ]

    def _export_mark(self, mark: Mark, rows: Sequence[int]) -> list[Any] | None:
        clocks = [mark.clocks[row] for row in rows]
        if not any(clocks):
            return None
        values = [mark.values[row] for row in rows]
        writers = [mark.writers[row] for row in rows]
        who = set(writers)
        single = len(who) == 1
        return [
            pack("I", values),
            pack("Q", clocks),
            {number: self.origins[number] for number in who},
            b"" if single else pack("H", writers),
            {number: self.table.servers[number] for number in set(values)} if mark is self.table.server_key else None,
            pack("I", [mark.companion.values[row] for row in rows]) if mark.companion is not None else None,
        ]

    def _export_parts(self, rows: list[int], whole: bool, now: int) -> list[Any]:
        table = self.table
        self._stamp(rows)
        numbers = [-1, *(table.origin_stamps if whole and not table.schema.overwrite else ())]
        parts = []
        for number in numbers:
            source = table.stamps if number < 0 else table.origin_stamps[number]
            if number < 0 and whole:
                # What was counted before anybody asked has no stamp yet.
                for row in rows:
                    if not source[row] and table.counted(row):
                        source[row] = table.clock.stamp()
            stamps = [source[row] for row in rows]
            if any(stamps):
                columns = [data for column in table.counts for data in column.take(rows, number, now)]
                parts.append([self.origins[max(0, number)], pack("Q", stamps), columns])
        return parts

    # -- what changed elsewhere --------------------------------------------------------------------------------------

    def merge(self, batch: Any, age: float = 0.0) -> int:
        """Take over what a batch knows better; returns the rows taken. Raises ValueError where it makes no sense.

        `age` is how many seconds ago it was exported, where it did not come at once.
        """
        if not isinstance(batch, list | tuple) or len(batch) != 5:
            raise ValueError("a batch has five parts")
        keys, left_data, epoch_data, mark_data, part_data = batch
        if not isinstance(keys, list | tuple) or len(keys) > MOST_ROWS:
            raise ValueError(f"a batch has at most {MOST_ROWS} keys")
        count = len(keys)
        left = unpack("q", left_data, count, "times left")
        if age:
            less = int(age * 1000)
            left = array("q", [n if n in (DEAD, NEVER) else max(0, n - less) for n in left])
        epochs = unpack("Q", epoch_data, count, "epochs") if epoch_data != b"" else None
        marks = self._read_marks(mark_data, count)
        parts = self._read_parts(part_data, count)
        self._check_keys(keys)
        latest = max(
            (max(numbers, default=0) for numbers in [*(m[2] for m in marks), *(p[1] for p in parts), epochs or ()]),
            default=0,
        )
        if latest >> 63:
            raise ValueError("a stamp lies in a future that no clock reaches")
        self.table.clock.saw(latest)
        taken = self._merge_rows(keys, left, epochs, marks, parts)
        self.received += taken
        return taken

    def _check_keys(self, keys: Sequence[object]) -> None:
        schema = self.table.schema
        fixed = schema.length if schema.type != "string" else -1
        for key in keys:
            if not isinstance(key, bytes) or (len(key) != fixed if fixed >= 0 else len(key) > schema.length):
                raise ValueError(f"a key is not a key of a table of type {schema.type}")

    def _merge_rows(
        self,
        keys: Sequence[bytes],
        left: array[int],
        epochs: array[int] | None,
        marks: list[Marks],
        parts: list[tuple[int, array[int], list[tuple[object, list[array[int]]]]]],
    ) -> int:
        table, now = self.table, self.now()
        now_ms = int(now * 1000)
        forever = not table.schema.expire
        expire, touched, row_epochs, index = table.expire, table.touched, table.epochs, table.index
        others = any(feed is not self.feed for feed in table.feeds)
        taken = 0
        keys_of, filed, slots, slot_of = table.keys, table.filed, table.slots, table.slot
        for i, key in enumerate(keys):
            remains = left[i]
            epoch = epochs[i] if epochs is not None else 0
            bucket = index[crc32(key) & (BUCKETS - 1)]
            row = bucket.get(key, -1)
            moment = now if forever or remains == NEVER else now + remains / 1000 - expire
            if row < 0 and remains > 0 and table.used < table.size and not others and self.written is None:
                # What a newcomer is taught: nothing to compare with, so no calls either.
                row = table.free.pop() if table.free else table.grow()
                bucket[key] = row
                keys_of[row] = key
                touched[row] = moment
                slot = slot_of(moment)
                if slot in slots:
                    slots[slot].append(row)
                    filed[row] = slot
                else:
                    table.file(row, moment)
                table.used += 1
                if epoch:
                    row_epochs[row] = epoch
                for mark, values, clocks, writers, second in marks:
                    if clocks[i] > epoch:
                        mark.values[row] = values[i]
                        if mark.companion is not None:
                            mark.companion.values[row] = second[i]
                        mark.clocks[row] = clocks[i]
                        mark.writers[row] = writers[i]
                for number, stamps, columns in parts:
                    if stamps[i]:
                        self._merge_part(row, i, number, stamps[i], columns, now_ms)
                taken += 1
                continue
            if row < 0:
                row = self._new_row(key, remains, moment, now)
                if row < 0:
                    continue
            mine = row_epochs[row]
            if epoch > mine:
                self._new_epoch(row, epoch, remains == DEAD, now)
                mine = epoch
            elif remains == DEAD:
                continue
            valid = epoch == mine
            for mark, values, clocks, writers, second in marks:
                clock = clocks[i]
                if clock <= mark.clocks[row] and not (
                    clock and clock == mark.clocks[row] and self.origins[writers[i]] > self.origins[mark.writers[row]]
                ):
                    continue
                if clock > mine:
                    mark.values[row] = values[i]
                    if mark.companion is not None:
                        mark.companion.values[row] = second[i]
                    mark.clocks[row] = clock
                    mark.writers[row] = writers[i]
                    valid = True
            if not valid or remains == DEAD:
                continue
            if epoch == mine:
                for number, stamps, columns in parts:
                    self._merge_part(row, i, number, stamps[i], columns, now_ms)
            if touched[row] == _NOTHING:
                if moment + expire <= now:
                    continue
                table.used += 1
                touched[row] = moment
                table.file(row, moment)
            elif moment > touched[row]:
                touched[row] = moment
            taken += 1
            if others:
                self._tell_others(row)
            if self.written is not None:
                self._write_to(self.written, row, key, moment)
        return taken

    def _new_row(self, key: bytes, remains: int, moment: float, now: float) -> int:
        """A row for a key that is not known, -1 when it is not worth one."""
        table = self.table
        if remains == DEAD:
            row = table.place(key, now)
            table.used += 1
            table.bury(row, 0, now)
            return row
        if moment + table.expire <= now:
            return -1
        if table.used >= table.size:
            table.purge(now)
            if table.used >= table.size and not table.outlives(moment, now):
                return -1
        row = table.place(key, now)
        table.used += 1
        table.touched[row] = moment
        table.file(row, moment)
        return row

    def _new_epoch(self, row: int, epoch: int, dead: bool, now: float) -> None:
        """Nothing written before `epoch` counts any more."""
        table = self.table
        for column in table.counts:
            column.clear(row)
        if table.counts:
            table.stamps[row] = 0
            for stamps in table.origin_stamps.values():
                stamps[row] = 0
        kept = False
        for mark in table.marks:
            if mark.clocks[row] <= epoch:
                mark.clear(row)
                if mark.companion is not None:
                    mark.companion.clear(row)
            else:
                kept = True
        table.epochs[row] = epoch
        if dead and not kept and not table.refs[row]:
            if table.touched[row] == _NOTHING:
                table.used += 1
            table.bury(row, epoch, now)

    def _merge_part(
        self, row: int, i: int, number: int, stamp: int, columns: list[tuple[Any, list[array[int]]]], now_ms: int
    ) -> None:
        table = self.table
        known = table.stamps if number < 0 else table.origin_stamps[number]
        if stamp <= known[row]:
            return
        known[row] = stamp
        for column, numbers in columns:
            if isinstance(column, Gauge):
                if not column.learned:
                    continue
                self._forget_predecessors(column, row, number)
            column.give(row, number, tuple(array_[i] for array_ in numbers), now_ms)

    def _forget_predecessors(self, column: Gauge, row: int, number: int) -> None:
        """What is now at a peer is what its latest process says; one that ended has nothing now."""
        name, _, start = self.origins[max(0, number)].rpartition("/")
        for other, numbers in column.others.items():
            its, _, began = self.origins[other].rpartition("/")
            if its == name and began < start:
                numbers[row] = 0

    def _tell_others(self, row: int) -> None:
        """A journal hears of it too; those it came from do not."""
        table = self.table
        was = table.dirty[row]
        for feed in table.feeds:
            if feed is not self.feed and not was & feed.bit:
                table.dirty[row] |= feed.bit
                feed.rows.append(row)
                if feed.poke is not None and len(feed.rows) == 1:
                    feed.poke()

    def _write_to(self, target: Table, row: int, key: bytes, moment: float) -> None:
        """Servers and tags go on to another table, where they count as written there (section 11.1, `write-to`)."""
        now = self.now()
        found = target.get(key, now)
        if found < 0:
            return
        source = self.table
        for name, columns in source.columns.items():
            for column, its in zip(columns, target.columns.get(name, ()), strict=False):
                if isinstance(column, Mark) and isinstance(its, Mark) and (column.values[row]):
                    value = column.values[row]
                    if column is source.server_key:
                        value = target.server_number(source.servers[value])
                    target.set_mark(its, found, value)
        target.touch(found, now)

    # -- reading what came -------------------------------------------------------------------------------------------

    def _origin(self, name: object) -> int:
        """The number of who writes, -1 for a process that is long gone. Raises ValueError."""
        if not isinstance(name, str) or not 0 < len(name) <= 300:
            raise ValueError("an origin is not a name")
        number = self.origin_numbers.get(name)
        if number is None:
            peer = name.rpartition("/")[0]
            processes = sorted(other for other in self.origin_numbers if other.rpartition("/")[0] == peer)
            if len(processes) >= KEPT:
                oldest = processes[0] if self.origin_numbers[processes[0]] else processes[1]
                if name < oldest:
                    return -1
                number = self._forget_origin(oldest)
                self.origins[number] = name
            elif len(self.origins) >= MOST_ORIGINS:
                raise ValueError(f"more than {MOST_ORIGINS} processes wrote to this table")
            else:
                number = len(self.origins)
                self.origins.append(name)
            self.origin_numbers[name] = number
        return number

    def _forget_origin(self, name: str) -> int:
        """What a process counted that is long gone counts no more; its number is free."""
        number = self.origin_numbers.pop(name)
        for column in self.table.counts:
            column.others.pop(number, None)
        self.table.origin_stamps.pop(number, None)
        return number

    def _read_marks(self, data: object, count: int) -> list[Marks]:
        marks = self.table.marks
        if not isinstance(data, list | tuple) or len(data) != len(marks):
            raise ValueError(f"a batch has {len(marks)} tags and servers, as this table")
        found = []
        for mark, item in zip(marks, data, strict=True):
            if item is None:
                continue
            if not isinstance(item, list | tuple) or len(item) != 6:
                raise ValueError("a tag has six parts")
            values = unpack("I", item[0], count, "values")
            clocks = unpack("Q", item[1], count, "clocks")
            if not isinstance(item[2], dict) or not item[2]:
                raise ValueError("writers are not a map")
            # Who is long gone breaks no tie any more.
            local = {number: max(0, self._origin(name)) for number, name in item[2].items()}
            if item[3] == b"":
                writers = [next(iter(local.values()))] * count
            else:
                try:
                    writers = [local[number] for number in unpack("H", item[3], count, "writers")]
                except KeyError:
                    raise ValueError("a writer is not named") from None
            if mark is self.table.server_key:
                values = self._servers(values, item[4])
            second = unpack("I", item[5], count, "companions") if mark.companion is not None else values
            found.append((mark, values, clocks, writers, second))
        return found

    def _servers(self, values: array[int], names: object) -> array[int]:
        if not isinstance(names, dict) or len(names) > MOST_ROWS:
            raise ValueError("servers are not a map")
        local = {}
        for number, name in names.items():
            if not isinstance(name, str) or len(name) > 300:
                raise ValueError("a server is not a name")
            local[number] = self.table.server_number(name)
        try:
            return array("I", [local[value] for value in values])
        except KeyError:
            raise ValueError("a server is not named") from None

    def _read_parts(
        self, data: object, count: int
    ) -> list[tuple[int, array[int], list[tuple[object, list[array[int]]]]]]:
        table = self.table
        if not isinstance(data, list | tuple) or len(data) > MOST_ORIGINS:
            raise ValueError("parts are not a list")
        width = sum(column.width for column in table.counts)
        found = []
        for item in data:
            if not isinstance(item, list | tuple) or len(item) != 3 or not isinstance(item[2], list | tuple):
                raise ValueError("a part has three parts")
            number = self._origin(item[0])
            stamps = unpack("Q", item[1], count, "stamps")
            if len(item[2]) != width:
                raise ValueError(f"a part has {width} columns, as this table")
            flat = [unpack("q", each, count, "counters") for each in item[2]]
            if table.schema.overwrite:
                number = -1
            elif number <= 0:
                continue
            elif number not in table.origin_stamps:
                table.origin_stamps[number] = zeros("Q", len(table.keys))
            columns: list[tuple[object, list[array[int]]]] = []
            at = 0
            for column in table.counts:
                columns.append((column, flat[at : at + column.width]))
                at += column.width
            found.append((number, stamps, columns))
        return found

    # -- comparing ---------------------------------------------------------------------------------------------------

    def bucket(self, number: int) -> list[int]:
        """The rows of a bucket, deleted ones too."""
        return list(self.table.index[number].values())

    def select(self, rows: Sequence[int], shard: int) -> list[int]:
        """The rows of one part of a table that is spread over peers (`shards`)."""
        table = self.table
        return [row for row in rows if (key := table.keys[row]) is not None and table.shard(key) == shard]

    def horizon(self) -> int:
        """The stamp up to which replicas compare."""
        return self.table.clock.past(_SETTLED)

    def digest(self, number: int, horizon: int) -> int:
        """What a bucket's rows know up to `horizon`, in 64 bits. Rows that are about to expire are left out."""
        table, now = self.table, self.now()
        soon = now - table.expire + min(2 * _SETTLED, table.expire / 8) if table.schema.expire else _NOTHING
        touched, epochs = table.touched, table.epochs
        clocks = [mark.clocks for mark in table.marks]
        numbers = [0, *table.origin_stamps] if table.counts else []
        stamps = [table.origin_stamps[number] if number else table.stamps for number in numbers]
        names = [crc32(self.origins[number].encode()) for number in numbers]
        if table.schema.overwrite:
            names = [0] * len(names)
        total = 0
        if not stamps and len(clocks) == 1:
            only = clocks[0]
            for key, row in table.index[number].items():
                clock, epoch, moment = only[row], epochs[row], touched[row]
                if clock <= horizon and epoch <= horizon and (moment > soon or moment == _NOTHING):
                    total += hash((crc32(key), epoch, clock))
            return total & _MASK64
        for key, row in table.index[number].items():
            if touched[row] <= soon and touched[row] != _NOTHING:
                continue
            versions = [each[row] for each in clocks]
            latest = max(versions, default=0)
            mixed = hash((crc32(key), epochs[row], *versions))
            for name, each in zip(names, stamps, strict=True):
                stamp = each[row]
                if stamp:
                    latest = max(latest, stamp)
                    mixed += hash((name, stamp))
            if latest <= horizon and epochs[row] <= horizon:
                total += mixed
        return total & _MASK64
