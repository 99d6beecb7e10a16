"""DNS messages: whatever the bytes, an answer is judged and nothing is raised."""

from __future__ import annotations

import struct
import time

import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.nameserver import Question, Records, a, srv
from trilb.resolve import wire
from trilb.resolve.wire import Kind, Record, Status

NAME = "app.test"
ASKED = wire.question(NAME, Kind.A, 7, 512)


def question(raw: bytes = ASKED, kind: str = "A", name: str = NAME) -> Question:
    """A question as the scripted nameserver sees it."""
    return Question(name, kind, 7, 0, 512, False, raw)


GOOD = a(NAME, "127.0.0.1", "127.0.0.2").wire(question())
SERVICE = wire.question("_x._tcp.test", Kind.SRV, 7, 4096)


def test_question() -> None:
    """A query with recursion wanted and the payload announced."""
    made = dns.message.from_wire(ASKED)
    assert (made.id, made.question[0].name.to_text(), made.payload) == (7, "app.test.", 512)
    assert made.question[0].rdtype == dns.rdatatype.A
    assert ASKED[2] & 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("App.Test", "app.test"),
        ("app.test.", "app.test"),
        ("_h._tcp.x", "_h._tcp.x"),
        ("", None),
        (".", None),
        ("a..b", None),
        ("x" * 64, None),
        ("x." * 130, None),
        ("\u00e9.test", "\\233.test"),
    ],
)
def test_names(text: str, found: str | None) -> None:
    """What is looked up is a name, in one spelling."""
    got = wire.name(text)
    assert got == found or (found is not None and "\\" in found and got is not None)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (a(NAME, "127.0.0.1"), Status.VALID),
        (Records(), Status.EMPTY),
        (Records(code="NXDOMAIN"), Status.NX),
        (Records(code="REFUSED"), Status.REFUSED),
        (Records(code="SERVFAIL"), Status.OTHER),
        (Records([(f"{NAME}.", 1, "A", "127.0.0.1")], truncated=True), Status.TRUNCATED),
        (a("other.test", "127.0.0.1"), Status.INVALID),
        (Records([(f"{NAME}.", 1, "CNAME", "b.test.")]), Status.CNAME),
        (Records([(f"{NAME}.", 1, "CNAME", "b.test."), ("c.test.", 1, "A", "127.0.0.1")]), Status.CNAME),
        (Records([(f"{NAME}.", 1, "CNAME", "b.test."), ("b.test.", 1, "A", "127.0.0.1")]), Status.VALID),
        (Records([(f"{NAME}.", 1, "TXT", '"x"')]), Status.OTHER),
    ],
)
def test_judged(answer: Records, status: Status) -> None:
    """Every kind of answer has its counter."""
    assert wire.judge(answer.wire(question()), NAME, Kind.A).status is status


def test_not_an_answer() -> None:
    """A question, another question's answer, half of one."""
    assert wire.judge(ASKED, NAME, Kind.A).status is Status.INVALID
    assert wire.judge(GOOD, "b.test", Kind.A).status is Status.INVALID
    assert wire.judge(GOOD, NAME, Kind.AAAA).status is Status.INVALID
    for end in range(len(GOOD) - 11):
        assert wire.judge(GOOD[:end], NAME, Kind.A).status is not Status.VALID


def test_service() -> None:
    """Target, port, weight in HAProxy's measure, and the address that came along."""
    targets = [(w, 80, f"t{n}.test", "127.0.0.1" if n else "") for n, w in enumerate((0, 1, 255, 256, 257, 65535))]
    raw = srv("_x._tcp.test", *targets).wire(question(SERVICE, "SRV", "_x._tcp.test"))
    found = wire.judge(raw, "_x._tcp.test", Kind.SRV)
    assert found.status is Status.VALID
    assert [(r.target, r.port, r.weight) for r in found.records] == [
        (f"t{n}.test", 80, weight) for n, weight in enumerate((0, 1, 1, 1, 2, 256))
    ]
    assert [r.address for r in found.records] == [None, *[b"\x7f\0\0\1"] * 5]


@pytest.mark.parametrize(("prefer_ipv4", "address"), [(True, b"\x7f\0\0\1"), (False, bytes(15) + b"\1")])
def test_additional_of_both_families(prefer_ipv4: bool, address: bytes) -> None:
    """The preferred one counts, in whatever order they come."""
    for order in (("127.0.0.1", "::1"), ("::1", "127.0.0.1")):
        records = Records(
            [("_x._tcp.test.", 1, "SRV", "0 1 80 t.test.")],
            [("t.test.", 1, "AAAA" if ":" in text else "A", text) for text in order],
        )
        raw = records.wire(question(SERVICE, "SRV", "_x._tcp.test"))
        found = wire.judge(raw, "_x._tcp.test", Kind.SRV, prefer_ipv4)
        assert found.records[0].address == address


@given(st.binary(max_size=600))
def test_any_bytes(raw: bytes) -> None:
    """Nothing is raised, and what is no answer has no records."""
    found = wire.judge(raw, NAME, Kind.A)
    assert found.status is Status.VALID or not found.records


@given(st.sampled_from([GOOD, srv("_x._tcp.test", (1, 2, "t.test", "::1")).wire(question(SERVICE, "SRV"))]), st.data())
def test_damaged(raw: bytes, data: st.DataObject) -> None:
    """A few bytes of a good answer changed: judged, and only addresses and targets come of it."""
    made = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(2, len(made) - 1))] = data.draw(st.integers(0, 255))
    for name, kind in ((NAME, Kind.A), ("_x._tcp.test", Kind.SRV)):
        for record in wire.judge(bytes(made), name, kind).records:
            assert isinstance(record, Record)
            assert len(record.data) in (4, 16) or record.kind is Kind.SRV


def test_many_records_and_pointer_loops() -> None:
    """Long answers are cut, and names that point at themselves are refused."""
    many = a(NAME, *(f"10.{n >> 8}.{n & 255}.1" for n in range(3000))).wire(question())
    assert len(wire.judge(many, NAME, Kind.A).records) == 1024
    loop = struct.pack("!HHHHHH", 7, 0x8180, 1, 1, 0, 0) + b"\xc0\x0c" + struct.pack("!HH", 1, 1) + b"\xc0\x0c"
    assert wire.judge(loop, NAME, Kind.A).status is Status.INVALID


@pytest.mark.parametrize("kind", [1, 5, 6], ids=["a", "cname", "soa"])
def test_few_bytes_that_mean_much(kind: int) -> None:
    """Thousands of pointers to a name of 126 labels are read as far as it is worth."""
    begin = ASKED[:2] + b"\x81\x80\0\1%s\0\0\0\0" + b"\3app\4test\0\0\1\0\1"
    at = len(begin)
    first = b"\1x" * 126 + b"\0" + struct.pack("!HHIH4s", 1, 1, 1, 4, b"\1\2\3\4")
    long = struct.pack("!H", 0xC000 | at)
    data = {1: b"\1\2\3\4", 5: long, 6: long + long + bytes(20)}[kind]
    record = long + struct.pack("!HHIH", kind, 1, 1, len(data)) + data
    count = (65535 - at - len(first)) // len(record)
    begin = begin.replace(b"%s", struct.pack("!H", count + 1))
    started = time.monotonic()
    assert wire.judge(begin + first + record * count, NAME, Kind.A).status is Status.INVALID
    # Without a bound it takes ten.
    assert time.monotonic() - started < 3


def test_families() -> None:
    """Addresses of a family that is not accepted do not count, nor those that came with SRV records."""
    both = a(NAME, "127.0.0.1", "::1").wire(question())
    assert [r.kind for r in wire.judge(both, NAME, Kind.A, families=(Kind.A,)).records] == [Kind.A]
    assert wire.judge(GOOD, NAME, Kind.A, families=(Kind.AAAA,)) == wire.Reply(Status.EMPTY)
    raw = srv("_x._tcp.test", (1, 2, "t.test", "::1")).wire(question(SERVICE, "SRV", "_x._tcp.test"))
    found = wire.judge(raw, "_x._tcp.test", Kind.SRV, families=(Kind.A,))
    assert found.status is Status.VALID
    assert found.records[0].address is None
