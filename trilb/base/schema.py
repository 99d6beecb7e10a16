"""What a stick table may store (configuration.txt, section 11.1), in the order in which HAProxy shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from trilb.base.diagnostic import NOWHERE, Place, Refused, nearest
from trilb.base.units import milliseconds

TALLY, RATE, GAUGE, TAG, SERVER = "tally", "rate", "gauge", "tag", "server"
"""How a data type behaves: counts up for ever, counts in a sliding period, is a number of now, is a mark that the last
writer decides, names a server."""

LARGEST_ARRAY: Final = 100
KEY_TYPES: Final = ("ip", "ipv4", "ipv6", "integer", "string", "binary")
_SIZES: Final = {"ip": 4, "ipv4": 4, "ipv6": 16, "integer": 4, "string": 32, "binary": 32}


@dataclass(frozen=True, slots=True)
class DataType:
    """A data type: its name, how it behaves, whether it takes a period or is an array of numbered elements."""

    name: str
    kind: str
    period: bool = False
    array: bool = False
    wide: bool = False
    doc: str = ""


TYPES: Final[dict[str, DataType]] = {
    entry.name: entry
    for entry in (
        DataType("server_id", SERVER, doc="the number of the server a client belongs to"),
        DataType("gpt0", TAG, doc="a general purpose tag"),
        DataType("gpc0", TALLY, doc="a general purpose counter"),
        DataType("gpc0_rate", RATE, period=True, doc="how often gpc0 was incremented in a period"),
        DataType("conn_cnt", TALLY, doc="connections ever received"),
        DataType("conn_rate", RATE, period=True, doc="connections in a period"),
        DataType("conn_cur", GAUGE, doc="connections now"),
        DataType("sess_cnt", TALLY, doc="sessions ever accepted"),
        DataType("sess_rate", RATE, period=True, doc="sessions in a period"),
        DataType("http_req_cnt", TALLY, doc="requests ever received"),
        DataType("http_req_rate", RATE, period=True, doc="requests in a period"),
        DataType("http_err_cnt", TALLY, doc="requests that were the client's error"),
        DataType("http_err_rate", RATE, period=True, doc="the client's errors in a period"),
        DataType("bytes_in_cnt", TALLY, wide=True, doc="bytes ever received from the client"),
        DataType("bytes_in_rate", RATE, period=True, doc="bytes received from the client in a period"),
        DataType("bytes_out_cnt", TALLY, wide=True, doc="bytes ever sent to the client"),
        DataType("bytes_out_rate", RATE, period=True, doc="bytes sent to the client in a period"),
        DataType("gpc1", TALLY, doc="a second general purpose counter"),
        DataType("gpc1_rate", RATE, period=True, doc="how often gpc1 was incremented in a period"),
        DataType("server_key", SERVER, doc="the name or address of the server a client belongs to"),
        DataType("http_fail_cnt", TALLY, doc="responses that were the server's failure"),
        DataType("http_fail_rate", RATE, period=True, doc="the server's failures in a period"),
        DataType("gpt", TAG, array=True, doc="an array of general purpose tags"),
        DataType("gpc", TALLY, array=True, doc="an array of general purpose counters"),
        DataType("gpc_rate", RATE, period=True, array=True, doc="how often each of an array of counters went up"),
        DataType("glitch_cnt", TALLY, doc="anomalies of the client's connection"),
        DataType("glitch_rate", RATE, period=True, doc="anomalies of the client's connection in a period"),
    )
}

_EXCLUDED: Final = {
    "gpt": ("gpt0",),
    "gpc": ("gpc0", "gpc1"),
    "gpc_rate": ("gpc0_rate", "gpc1_rate"),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A data type as one table stores it: `period` in ms, `count` elements of an array (0: not an array)."""

    type: DataType
    period: int = 0
    count: int = 0

    @property
    def text(self) -> str:
        """As a configuration writes it, arguments resolved; what two replicas compare."""
        numbers = [str(n) for n in (self.count, self.period) if n]
        return self.type.name + (f"({','.join(numbers)})" if numbers else "")

    def label(self, index: int) -> str:
        """What `show table` calls an element, such as `gpc0_rate(10000)`."""
        base, _, rest = self.type.name.partition("_")
        name = f"{base}{index}{'_' + rest if rest else ''}" if self.count else self.type.name
        return f"{name}({self.period})" if self.period else name


@dataclass(slots=True)
class Schema:
    """A stick table as a configuration declares it.

    `expire` in seconds, 0.0 for never; `length` the key's in bytes (the longest of a string).
    """

    name: str
    type: str = ""
    length: int = 0
    size: int = 0
    expire: float = 0.0
    nopurge: bool = False
    stored: list[Stored] = field(default_factory=list)
    peers: str = ""
    srvkey: str = "name"
    write_to: str = ""
    recv_only: bool = False
    factor: int = 0
    durable: str = ""
    overwrite: bool = False
    """Counters of replicas overwrite each other, as HAProxy's do, instead of adding up."""
    place: Place = NOWHERE

    @property
    def shown(self) -> list[Stored]:
        """What is stored, in the order of `show table`."""
        order = list(TYPES)
        return sorted(self.stored, key=lambda stored: order.index(stored.type.name))

    def has(self, name: str) -> bool:
        """Whether a data type is stored."""
        return any(stored.type.name == name for stored in self.stored)

    def store(self, stored: Stored) -> None:
        """Add a data type. Raises Refused for one that is there or that excludes one that is."""
        name = stored.type.name
        if self.has(name):
            raise Refused(f"'{name}' is stored twice")
        for array, plain in _EXCLUDED.items():
            for other in plain:
                if (name == array and self.has(other)) or (name == other and self.has(array)):
                    raise Refused(f"'{array}' and '{other}' exclude each other: the array's first elements are it")
        self.stored.append(stored)

    def sticks(self) -> None:
        """The table is referenced by a stick rule: servers are stored from now on."""
        for name in ("server_id", "server_key"):
            if not self.has(name):
                self.stored.append(Stored(TYPES[name]))


def key_length(type_: str, length: int | None) -> int:
    """The bytes of a key of that type; `length` as given with `len`."""
    return _SIZES[type_] if length is None else length


def parse_stored(text: str) -> list[Stored]:
    """Read what follows `store`: data types, separated by commas, with arguments. Raises Refused."""
    found: list[Stored] = []
    at = 0
    while at < len(text):
        end = at
        depth = 0
        while end < len(text) and (text[end] != "," or depth):
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
        found.append(_one(text[at:end]))
        at = end + 1
    if not found:
        raise Refused("'store' expects data types, as in store gpc0,conn_rate(10s)")
    return found


def _one(text: str) -> Stored:
    name, bracket, rest = text.partition("(")
    entry = TYPES.get(name)
    if entry is None:
        raise Refused(f"unknown data type '{name}'{nearest(name, TYPES)}")
    wanted = ["the number of elements"] * entry.array + ["the period"] * entry.period
    given = [word.strip() for word in rest[:-1].split(",")] if bracket and rest.endswith(")") and rest != ")" else []
    if (bracket and not rest.endswith(")")) or len(given) != len(wanted):
        what = " and ".join(wanted) if wanted else "no argument"
        raise Refused(f"'{name}' takes {what} in parentheses" if wanted else f"'{name}' takes no argument")
    count = period = 0
    if entry.array:
        count = int(given[0]) if given[0].isdigit() else 0
        if not 1 <= count <= LARGEST_ARRAY:
            raise Refused(f"'{name}' is an array of 1 to {LARGEST_ARRAY} elements, not of '{given[0]}'")
    if entry.period:
        period = milliseconds(given[-1])
        if not period:
            raise Refused(f"the period of '{name}' must not be zero")
    return Stored(entry, period, count)
