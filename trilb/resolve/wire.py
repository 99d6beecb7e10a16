"""DNS messages: a question to bytes, an answer's bytes to what they say. No I/O; whatever the bytes, no exception.

The format is dnspython's; what an answer is worth is judged here, as HAProxy judges it (configuration.txt, 5.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import xxhash
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV
from dns.rrset import RRset

from trilb.base import ip

_MOST_RECORDS = 1024
"""Records taken from one answer. Arbitrary; a template has fewer servers."""


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
    # dnspython names nearly all of what can be wrong with a message; the rest are Python's own errors.
    except (dns.exception.DNSException, ValueError, LookupError, TypeError, ArithmeticError, AttributeError):
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


def _judge(raw: bytes, asked: str, kind: Kind, prefer_ipv4: bool) -> Reply:
    message = dns.message.from_wire(raw, ignore_trailing=True, one_rr_per_rrset=True, raise_on_truncation=False)
    if not message.flags & dns.flags.QR or message.opcode() != dns.opcode.QUERY:
        return Reply(Status.INVALID)
    if message.flags & dns.flags.TC:
        return Reply(Status.TRUNCATED)
    code = message.rcode()
    if code != dns.rcode.NOERROR:
        known = {dns.rcode.NXDOMAIN: Status.NX, dns.rcode.REFUSED: Status.REFUSED}
        return Reply(known.get(code, Status.OTHER))
    if len(message.question) != 1:
        return Reply(Status.INVALID)
    if not message.answer:
        return Reply(Status.EMPTY)
    wanted = dns.name.from_text(asked)
    if message.question[0].name != wanted or int(message.question[0].rdtype) != int(kind):
        return Reply(Status.INVALID)
    return _records(message, wanted, prefer_ipv4)


def _records(message: dns.message.Message, wanted: dns.name.Name, prefer_ipv4: bool) -> Reply:
    """The records of the name that was asked for, behind its aliases."""
    at, aliased = wanted, False
    found: list[Record] = []
    extra: dict[str, bytes] | None = None
    for rrset in message.answer[:_MOST_RECORDS]:
        if rrset.rdclass != dns.rdataclass.IN:
            continue
        kind = rrset.rdtype
        if kind not in (dns.rdatatype.CNAME, *Kind):
            continue
        if rrset.name != at:
            return Reply(Status.CNAME if aliased else Status.INVALID)
        if kind == dns.rdatatype.CNAME:
            at, aliased = rrset[0].target, True
            continue
        data = rrset[0]
        if isinstance(data, SRV):
            extra = _additional(message, prefer_ipv4) if extra is None else extra
            found.append(_service(data, extra))
        else:
            found.append(_address(rrset))
    if not found:
        return Reply(Status.CNAME if aliased else Status.OTHER)
    return Reply(Status.VALID, tuple(found))


def _address(rrset: RRset) -> Record:
    data = rrset[0]
    assert isinstance(data, (A, AAAA))
    packed = ip.packed(data.address)
    kind = Kind(rrset.rdtype)
    return Record(kind, packed, order=xxhash.xxh32_intdigest(packed, kind))


def _service(data: SRV, extra: dict[str, bytes]) -> Record:
    target = data.target.to_text(omit_final_dot=True).lower()
    order = xxhash.xxh32_intdigest(data.target.to_wire()[:-1], Kind.SRV)
    # 0 stays 0, and every other weight of 1 to 65535 gives at least 1.
    weight = (data.weight + 255) // 256
    return Record(Kind.SRV, target.encode("latin-1"), data.port, order, weight, extra.get(target))


def _additional(message: dns.message.Message, prefer_ipv4: bool) -> dict[str, bytes]:
    """Addresses that came with SRV records, by name; where a name has both kinds, the preferred one."""
    found: dict[str, bytes] = {}
    for rrset in message.additional[:_MOST_RECORDS]:
        data = rrset[0] if len(rrset) else None
        if isinstance(data, (A, AAAA)):
            packed = ip.packed(data.address)
            target = rrset.name.to_text(omit_final_dot=True).lower()
            if target not in found or (len(packed) == 4) is prefer_ipv4:
                found.setdefault(target, packed)
                if (len(found[target]) == 4) is not prefer_ipv4:
                    found[target] = packed
    return found
