"""DNS messages: a question to bytes, an answer's bytes to what they say. No I/O; whatever the bytes, no exception.

Names and questions are dnspython's. Answers are read here, as it has no bound for the work that a message can make of
few bytes; what they are worth is judged as HAProxy judges it (configuration.txt, 5.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from typing import cast

import dns.exception
import dns.message
import dns.name
import dns.rdatatype
import xxhash

_MOST_RECORDS = 1024
"""Records taken from one answer. Arbitrary; a template has fewer servers."""
_MOST_LABELS = 32768
"""Labels and pointers followed in one message. Arbitrary: enough for _MOST_RECORDS and their addresses, with names of
eight labels. Compressed, a message of 64 KB can say millions, and who reads them all does nothing else meanwhile."""
_LONGEST_NAME = 255
_CNAME, _INTERNET = 5, 1
_ANSWER, _OPERATION, _CUT = 0x8000, 0x7800, 0x0200
"""Bits of a message's flags: QR, the opcode, TC (RFC 1035, section 4.1.1)."""


class Kind(IntEnum):
    """What is asked for, by its number in DNS."""

    A = 1
    AAAA = 28
    SRV = 33


class Status(Enum):
    """What came of a question; NONE before the first answer. The values are the counters of `show resolvers`."""

    NONE = ""
    VALID = "valid"
    NX = "nx"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    OTHER = "other"
    EMPTY = "any_err"
    INVALID = "invalid"
    CNAME = "cname_error"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Record:
    """One address, or one SRV target with its port and its weight in HAProxy's measure (0 to 256).

    `order` is where it stands among others: HAProxy keeps them by this hash, so who gets which is the same here.
    """

    kind: Kind
    data: bytes
    """The packed address; of an SRV record its target's name, in lower case."""
    port: int = 0
    order: int = 0
    weight: int = field(default=0, compare=False)
    address: bytes | None = field(default=None, compare=False)
    """Of an SRV record: what the additional records say of its target."""

    @property
    def target(self) -> str:
        """The name an SRV record points to."""
        return self.data.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as judged, with its records if it is valid."""

    status: Status
    records: tuple[Record, ...] = ()


def name(text: str) -> str | None:
    """A name as it is compared, lower case and without the last dot; None for what is no name."""
    try:
        made = dns.name.from_text(text)
        made.to_wire()
    except (dns.exception.DNSException, UnicodeError, ValueError):
        return None
    return made.to_text(omit_final_dot=True).lower() if len(made) > 1 else None


def question(asked: str, kind: Kind, number: int, payload: int) -> bytes:
    """The bytes of a question; `payload` is announced as the longest answer wanted."""
    made = dns.message.make_query(asked, dns.rdatatype.RdataType(kind), use_edns=0, payload=payload, id=number)
    return made.to_wire()


def number(raw: bytes) -> int:
    """The id of a message; -1 when there is not even that."""
    return int.from_bytes(raw[:2]) if len(raw) >= 2 else -1


_BOTH = (Kind.A, Kind.AAAA)


def judge(raw: bytes, asked: str, kind: Kind, prefer_ipv4: bool = False, families: tuple[Kind, ...] = _BOTH) -> Reply:
    """What an answer to a question says, of the families that count.

    `prefer_ipv4` is for targets of SRV records with addresses of both kinds.
    """
    try:
        reply = _judge(raw, asked, kind, prefer_ipv4)
        return reply if families == _BOTH else _only(reply, families)
    except (dns.exception.DNSException, ValueError, IndexError):
        return Reply(Status.INVALID)


def _only(reply: Reply, families: tuple[Kind, ...]) -> Reply:
    """Without the addresses of other families; none left is an answer without records."""
    kept = []
    for record in reply.records:
        if record.kind is not Kind.SRV:
            kept += [record] if record.kind in families else []
        elif record.address is not None and (Kind.A if len(record.address) == 4 else Kind.AAAA) not in families:
            kept.append(replace(record, address=None))
        else:
            kept.append(record)
    return Reply(Status.EMPTY) if reply.records and not kept else Reply(reply.status, tuple(kept))


_Name = tuple[bytes, ...]
"""Its labels as they are written, without the root's."""


class _Reader:
    """Takes a message apart from its beginning. Raises ValueError or IndexError where it is malformed."""

    __slots__ = ("at", "left", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0
        self.left = _MOST_LABELS

    def number(self) -> int:
        """The next two bytes."""
        self.at += 2
        return self.raw[self.at - 2] << 8 | self.raw[self.at - 1]

    def bytes(self, count: int) -> bytes:
        """The next bytes."""
        self.at += count
        if self.at > len(self.raw):
            raise ValueError
        return self.raw[self.at - count : self.at]

    def name(self) -> _Name:
        """The next name; a pointer in it leads back, to what is not part of it."""
        raw, at, before, end, size = self.raw, self.at, self.at, 0, 1
        labels: list[bytes] = []
        while True:
            self.left -= 1
            count = raw[at]
            if self.left < 0 or 64 <= count < 192:
                raise ValueError
            if count >= 192:
                end = end or at + 2
                at = (count & 63) << 8 | raw[at + 1]
                if at >= before:
                    raise ValueError
                before = at
                continue
            at += 1 + count
            if not count:
                self.at = end or at
                return tuple(labels)
            size += 1 + count
            if size > _LONGEST_NAME or at > len(raw):
                raise ValueError
            labels.append(raw[at - count : at])

    def record(self) -> tuple[_Name, int, _Data]:
        """The next record: whose it is, its type (0 for one that is not known), what it says."""
        owner, kind, kept, _ = self.name(), self.number(), self.number(), self.bytes(4)
        end = self.number() + self.at
        data: _Data = None
        if kept != _INTERNET or kind not in (_CNAME, *Kind):
            kind, self.at = 0, end
        elif kind == _CNAME:
            data = self.name()
        elif kind == Kind.SRV:
            self.number()
            data = self.number(), self.number(), self.name()
        else:
            data = self.bytes(4 if kind == Kind.A else 16)
        if self.at != end or end > len(self.raw):
            raise ValueError
        return owner, kind, data


_Data = bytes | _Name | tuple[int, int, _Name] | None
"""Of a record: its address, its target, or weight, port and target."""


def _judge(raw: bytes, asked: str, kind: Kind, prefer_ipv4: bool) -> Reply:
    reader = _Reader(raw)
    _, flags, questions, answers, authorities, additional = (reader.number() for _ in range(6))
    if not flags & _ANSWER or flags & _OPERATION:
        return Reply(Status.INVALID)
    if flags & _CUT:
        return Reply(Status.TRUNCATED)
    code = flags & 15
    if code:
        return Reply({3: Status.NX, 5: Status.REFUSED}.get(code, Status.OTHER))
    if questions != 1:
        return Reply(Status.INVALID)
    if not answers:
        return Reply(Status.EMPTY)
    wanted = _folded(dns.name.from_text(asked).labels[:-1])
    if _folded(reader.name()) != wanted or reader.number() != kind:
        return Reply(Status.INVALID)
    reader.number()
    found = [reader.record() for _ in range(answers)]
    more = [reader.record() for _ in range(authorities + additional)][authorities:]
    return _records(found, more, wanted, prefer_ipv4)


def _folded(name: _Name) -> _Name:
    return tuple(label.lower() for label in name)


def _records(
    answers: list[tuple[_Name, int, _Data]], more: list[tuple[_Name, int, _Data]], wanted: _Name, prefer_ipv4: bool
) -> Reply:
    """The records of the name that was asked for, behind its aliases."""
    at, aliased = wanted, False
    found: list[Record] = []
    extra: dict[_Name, bytes] | None = None
    for owner, kind, data in answers[:_MOST_RECORDS]:
        if not kind:
            continue
        if _folded(owner) != at:
            return Reply(Status.CNAME if aliased else Status.INVALID)
        if kind == _CNAME:
            at, aliased = _folded(cast(_Name, data)), True
        elif kind == Kind.SRV:
            extra = _additional(more, prefer_ipv4) if extra is None else extra
            found.append(_service(*cast("tuple[int, int, _Name]", data), extra))
        else:
            packed = cast(bytes, data)
            found.append(Record(Kind(kind), packed, order=xxhash.xxh32_intdigest(packed, kind)))
    if not found:
        return Reply(Status.CNAME if aliased else Status.OTHER)
    return Reply(Status.VALID, tuple(found))


def _service(weight: int, port: int, target: _Name, extra: dict[_Name, bytes]) -> Record:
    text = dns.name.Name((*target, b"")).to_text(omit_final_dot=True).lower()
    order = xxhash.xxh32_intdigest(b"".join(bytes([len(label)]) + label for label in target), Kind.SRV)
    # 0 stays 0, and every other weight of 1 to 65535 gives at least 1.
    weight = (weight + 255) // 256
    return Record(Kind.SRV, text.encode("latin-1"), port, order, weight, extra.get(_folded(target)))


def _additional(more: list[tuple[_Name, int, _Data]], prefer_ipv4: bool) -> dict[_Name, bytes]:
    """Addresses that came with SRV records, by name; where a name has both kinds, the preferred one."""
    found: dict[_Name, bytes] = {}
    for owner, kind, data in more[:_MOST_RECORDS]:
        if kind not in (Kind.A, Kind.AAAA):
            continue
        packed, target = cast(bytes, data), _folded(owner)
        if target not in found or (len(packed) == 4) is prefer_ipv4:
            found.setdefault(target, packed)
            if (len(found[target]) == 4) is not prefer_ipv4:
                found[target] = packed
    return found
