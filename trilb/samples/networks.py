"""The index of addresses and networks (section 7.1.6): one dictionary for each prefix length that occurs."""

from __future__ import annotations

from trilb.samples.indexes import Entry, Find, Keyed
from trilb.samples.parsing import Lookup, Network, is_name, network

_MAPPED = 0xFFFF << 32


class _Family:
    """The networks of addresses of one size, the longest prefix first."""

    __slots__ = ("bits", "levels", "steps")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.levels: dict[int, Keyed[int]] = {}
        self.steps: list[tuple[int, dict[int, Entry]]] = []

    def level(self, shift: int) -> Keyed[int]:
        """The networks that leave `shift` bits free."""
        if shift not in self.levels:
            self.levels[shift] = Keyed()
            self.steps = [(n, self.levels[n].first) for n in sorted(self.levels)]
        return self.levels[shift]

    def drop(self, shift: int, key: int, entry: Entry) -> None:
        """Take a network out."""
        level = self.levels[shift]
        level.drop(key, entry)
        if not level.first:
            del self.levels[shift]
            self.steps = [(n, self.levels[n].first) for n in sorted(self.levels)]

    def find(self, number: int) -> Entry | None:
        """The longest network around an address."""
        for shift, nets in self.steps:
            entry = nets.get(number >> shift)
            if entry is not None:
                return entry
        return None


def _free(net: Network) -> int:
    """How many low bits the mask leaves free, -1 when it has holes."""
    size, _, mask = net
    free = (1 << size * 8) - 1 - mask
    return free.bit_length() if not free & (free + 1) else -1


def _embedded(number: int) -> int | None:
    """The IPv4 address inside `2002:IPV4::`, `::IPV4` or `::ffff:IPV4`."""
    if number >> 112 == 0x2002:
        return number >> 80 & 0xFFFFFFFF
    high = number >> 32
    return number & 0xFFFFFFFF if high in (0, 0xFFFF) else None


class Networks:
    """Addresses and networks; names are looked up by `lookup` when an entry comes in."""

    __slots__ = ("_holes", "_known", "_lookup", "_v4", "_v6", "find", "tree")

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._v4 = _Family(32)
        self._v6 = _Family(128)
        self._holes: dict[int, tuple[int, int, Entry]] = {}
        self._known: dict[int, Network] = {}
        self.tree = True
        self.find: Find = self._closest

    def _closest(self, value: bytes) -> Entry | None:
        number = int.from_bytes(value, "big")
        narrow: int | None = number
        if len(value) == 4:
            entry = self._v4.find(number) or self._v6.find(number | _MAPPED)
        else:
            narrow = _embedded(number)
            entry = self._v6.find(number) or (self._v4.find(narrow) if narrow is not None else None)
        if entry is None and self._holes and narrow is not None:
            for mask, net, candidate in self._holes.values():
                if narrow & mask == net:
                    return candidate
        return entry

    def add(self, entry: Entry) -> None:
        """Enter an address or a network. Raises Refused."""
        net = network(entry.key, self._lookup)
        if is_name(entry.key):
            # It may mean something else by the time it is taken out.
            self._known[entry.ident] = net
        size, base, mask = net
        free = _free(net)
        if free < 0:
            self._holes[entry.ident] = (mask, base, entry)
        else:
            (self._v4 if size == 4 else self._v6).level(free).put(base >> free, entry)

    def remove(self, entry: Entry) -> None:
        """Take out an address or a network."""
        if self._holes.pop(entry.ident, None) is not None:
            return
        net = self._known.pop(entry.ident, None) or network(entry.key, self._lookup)
        free = _free(net)
        (self._v4 if net[0] == 4 else self._v6).drop(free, net[1] >> free, entry)

    def take(self, other: Networks) -> None:
        """Become what the other is."""
        self._v4, self._v6, self._holes, self._known = other._v4, other._v6, other._holes, other._known
