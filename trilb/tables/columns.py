"""A stick table's data by columns: one array a number, one index a row. Nothing here is an object an entry. HOT.

Each column knows how its numbers become one value, and how those of other replicas add to it. A row that is free holds
zeros in every column. Times are whole milliseconds of the process's clock.
"""

from __future__ import annotations

from array import array
from typing import Final, Protocol

MASK32: Final = 0xFFFFFFFF
MASK64: Final = 0xFFFFFFFFFFFFFFFF


def zeros(code: str, count: int) -> array[int]:
    """An array of `count` zeros."""
    made = array(code)
    made.frombytes(bytes(made.itemsize * count))
    return made


class Column(Protocol):
    """What every column can: `read` gives a row's value as rules and `show table` see it."""

    def read(self, row: int, now: int) -> int:
        """The value of a row at `now` (ms)."""

    def write(self, row: int, value: int, now: int) -> None:
        """Make it read `value`, as `set table` asks."""

    def extend(self, count: int) -> None:
        """Make room for `count` more rows."""

    def clear(self, row: int) -> None:
        """Zero a row."""


class Tally:
    """A number that goes up: what was counted here, plus what each other replica says it counted."""

    __slots__ = ("mask", "others", "own", "size")
    width: Final = 1

    def __init__(self, wide: bool) -> None:
        self.mask = MASK64 if wide else MASK32
        self.own: array[int] = array("q")
        self.others: dict[int, array[int]] = {}
        self.size = 0

    def add(self, row: int, amount: int, now: int) -> None:
        """Count `amount` more."""
        self.own[row] += amount

    def read(self, row: int, now: int) -> int:
        """What was counted, wherever."""
        value = self.own[row]
        for other in self.others.values():
            value += other[row]
        return value & self.mask

    def write(self, row: int, value: int, now: int) -> None:
        """Make it read `value` now; what others count later still adds."""
        self.own[row] += (value & self.mask) - self.read(row, now)

    def extend(self, count: int) -> None:
        """Make room for `count` more rows."""
        self.size += count
        for each in (self.own, *self.others.values()):
            each.frombytes(bytes(8 * count))

    def clear(self, row: int) -> None:
        """Zero a row."""
        self.own[row] = 0
        for other in self.others.values():
            other[row] = 0

    def take(self, rows: list[int], origin: int, now: int) -> list[bytes]:
        """Numbers of `rows` as one origin counted them (-1: this replica), for others."""
        source = self.own if origin < 0 else self.others.get(origin)
        if source is None:
            return [bytes(8 * len(rows))]
        return [array("q", [source[row] for row in rows]).tobytes()]

    def part(self, origin: int) -> array[int]:
        """The numbers of one origin, -1 for this replica."""
        if origin < 0:
            return self.own
        found = self.others.get(origin)
        if found is None:
            found = self.others[origin] = zeros("q", self.size)
        return found

    def give(self, row: int, origin: int, numbers: tuple[int, ...], now: int) -> None:
        """Replace what one origin counted for a row."""
        self.part(origin)[row] = numbers[0]


class Gauge(Tally):
    """A number of now, such as connections: it goes down as well, and is what counts here.

    A table that only receives shows what counts elsewhere too.
    """

    __slots__ = ("learned",)

    def __init__(self, learned: bool) -> None:
        super().__init__(False)
        self.learned = learned

    def read(self, row: int, now: int) -> int:
        """What counts here, and elsewhere when the table only receives."""
        if self.learned:
            return super().read(row, now)
        return self.own[row] & self.mask


class Rate:
    """Events in a sliding period: those of this period, and of the one before as far as the period reaches back."""

    __slots__ = ("others", "own", "period", "size")
    width: Final = 3

    def __init__(self, period: int) -> None:
        self.period = period
        self.own: tuple[array[int], array[int], array[int]] = (array("q"), array("q"), array("q"))
        self.others: dict[int, tuple[array[int], array[int], array[int]]] = {}
        self.size = 0

    def add(self, row: int, amount: int, now: int) -> None:
        """Count `amount` events at `now`."""
        since, count, before = self.own
        past = now - since[row]
        if past >= self.period:
            if past >= 2 * self.period:
                before[row] = 0
                since[row] = now
            else:
                before[row] = count[row]
                since[row] += self.period
            count[row] = amount
        else:
            count[row] += amount

    def _read(self, part: tuple[array[int], array[int], array[int]], row: int, now: int) -> int:
        since, count, before = part
        period = self.period
        past = now - since[row]
        if past < period:
            return count[row] + before[row] * (period - past) // period
        if past < 2 * period:
            return count[row] * (2 * period - past) // period
        return 0

    def read(self, row: int, now: int) -> int:
        """Events in the period that ends now, wherever they were counted."""
        value = self._read(self.own, row, now)
        for other in self.others.values():
            value += self._read(other, row, now)
        return value & MASK32

    def write(self, row: int, value: int, now: int) -> None:
        """Make it read `value` now."""
        elsewhere = sum(self._read(other, row, now) for other in self.others.values())
        since, count, before = self.own
        since[row], count[row], before[row] = now, (value & MASK32) - elsewhere, 0

    def extend(self, count: int) -> None:
        """Make room for `count` more rows."""
        self.size += count
        for part in (self.own, *self.others.values()):
            for each in part:
                each.frombytes(bytes(8 * count))

    def clear(self, row: int) -> None:
        """Zero a row."""
        for part in (self.own, *self.others.values()):
            for each in part:
                each[row] = 0

    def take(self, rows: list[int], origin: int, now: int) -> list[bytes]:
        """As Tally.take; the begin of the period travels as its age."""
        source = self.own if origin < 0 else self.others.get(origin)
        if source is None:
            return [bytes(8 * len(rows))] * 3
        since, count, before = source
        ages = array("q", [now - since[row] for row in rows])
        return [
            ages.tobytes(),
            array("q", [count[row] for row in rows]).tobytes(),
            array("q", [before[row] for row in rows]).tobytes(),
        ]

    def give(self, row: int, origin: int, numbers: tuple[int, ...], now: int) -> None:
        """Replace what one origin counted for a row."""
        if origin < 0:
            part = self.own
        else:
            found = self.others.get(origin)
            if found is None:
                found = self.others[origin] = (zeros("q", self.size), zeros("q", self.size), zeros("q", self.size))
            part = found
        part[0][row] = now - max(0, min(numbers[0], 1 << 40))
        part[1][row] = numbers[1]
        part[2][row] = numbers[2]


class Mark:
    """A number that the last writer decides: a tag, or the number that stands for a server.

    Only a shared table fills `clocks` (the write's hybrid time) and `writers` (who wrote, to break a tie).
    """

    __slots__ = ("clocks", "companion", "shared", "values", "writers")

    def __init__(self, shared: bool) -> None:
        self.shared = shared
        self.companion: Mark | None = None
        """A second number that is written with this one and shares its clock."""
        self.values: array[int] = array("I")
        self.clocks: array[int] = array("Q")
        self.writers: array[int] = array("H")

    def read(self, row: int, now: int) -> int:
        """The number."""
        return self.values[row]

    def write(self, row: int, value: int, now: int) -> None:
        """Set the number without a claim on other replicas; the table stamps it."""
        self.values[row] = value & MASK32

    def extend(self, count: int) -> None:
        """Make room for `count` more rows."""
        self.values.frombytes(bytes(4 * count))
        if self.shared:
            self.clocks.frombytes(bytes(8 * count))
            self.writers.frombytes(bytes(2 * count))

    def clear(self, row: int) -> None:
        """Zero a row."""
        self.values[row] = 0
        if self.shared:
            self.clocks[row] = 0
            self.writers[row] = 0
