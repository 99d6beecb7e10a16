"""The protocol: greetings that do not fit, tables that differ, two connections at once, noise."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers import messages
from peers.link import Link
from peers.messages import Decoder, ProtocolError, encode
from peers.replica import ROWS, WINDOW, Remote, Replica
from tests.peers.world import schema
from trilb.base.hybrid import HybridClock
from trilb.base.schema import Schema
from trilb.tables.shared import SharedTable
from trilb.tables.store import Table

_origins = itertools.count()


def table(name: str = "t", shape: Schema | None = None) -> SharedTable:
    made = Table(shape or schema(size=100_000), HybridClock(), shared=True)
    return SharedTable(made, name, f"origin/{next(_origins)}", lambda: 0.0)


def node(name: str, *peers: str, cluster: str = "c", incarnation: int = 1, **tables: SharedTable) -> Replica:
    return Replica(cluster, name, incarnation, tables, {peer: Remote(peer) for peer in (name, *peers)}, 0.0)


def talk(one: Replica, other: Replica, *links: tuple[Link, Link], now: float = 0.0) -> None:
    """Carry bytes between two nodes until there are none."""
    moved = True
    while moved:
        moved = False
        for here, there in links:
            for replica, link, far, end in ((one, here, other, there), (other, there, one, here)):
                data = replica.pump(link, now)
                if data:
                    moved = True
                    far.receive(end, data, now)


def meet(one: Replica, other: Replica, wanted: str | None = None) -> tuple[Link, Link]:
    """One dials the other."""
    links = one.open(wanted or other.name, 0.0, dialed=True), other.open("", 0.0, dialed=False)
    talk(one, other, links)
    return links


def test_equal_tables_are_shared() -> None:
    one, other = node("a", "b", t=table()), node("b", "a", t=table())
    here, there = meet(one, other)
    assert here.established
    assert there.established
    assert here.shared == there.shared == {"t"}
    assert one.synced
    assert other.synced
    assert [status.sentence for status in one.status(1.0)] == ["in sync"]


@pytest.mark.parametrize(
    ("other", "wanted", "said"),
    [
        (node("b", "a", cluster="z"), "b", "it belongs to peers section 'c', this peer 'b' to 'z'"),
        (node("b", "x"), "b", "'a' is no peer of section 'c' of 'b'"),
        (node("b", "a"), "x", "it looks for a peer named 'x', this one is 'b' (-L, localpeer)"),
    ],
)
def test_a_stranger_is_told_why(other: Replica, wanted: str, said: str) -> None:
    heard: list[str] = []
    other.say = heard.append
    one = node("a", "b", "x", t=table())
    here, there = meet(one, other, wanted)
    assert not here.established
    assert not there.established
    assert here.closing == f"the peer refuses: {said}"
    assert there.closing == said
    assert said in heard[0]
    one.lost(here, "closed", 1.0)
    (status,) = (status for status in one.status(2.0) if status.name == wanted)
    assert said in status.sentence


def test_another_version_is_told() -> None:
    other = node("b", "a", t=table())
    link = other.open("", 0.0, dialed=False)
    other.receive(link, encode(messages.HELLO, messages.MAGIC, 9, "c", "a", "b", 1, False, {}), 0.0)
    assert link.closing == "it speaks version 9 of the protocol, this peer 1"


def test_a_table_that_differs_is_left_out_and_harms_nothing_else() -> None:
    shape = Schema("t", "string", 40, 100)
    one = node("a", "b", t=table(), u=table("u"), v=table("v"))
    other = node("b", "a", t=table(shape=shape), u=table("u"))
    heard: list[str] = []
    one.say = heard.append
    here, there = meet(one, other)
    assert here.established
    assert here.shared == there.shared == {"u"}
    assert "length is '32' here and '40' at 'b'" in here.mismatches["t"]
    assert "store is 'gpt0,gpc0,http_req_cnt,http_req_rate(10000)' here and '' at 'b'" in here.mismatches["t"]
    assert here.mismatches["v"] == "not a table of 'b'"
    assert len(heard) == 1
    sentence = one.status(1.0)[0].sentence
    assert sentence.startswith("in sync; not shared: 't' (length is")


def test_of_two_connections_the_same_one_is_kept_by_both() -> None:
    one, other = node("a", "b", t=table()), node("b", "a", t=table())
    first = one.open("b", 0.0, dialed=True), other.open("", 0.0, dialed=False)
    second = one.open("", 0.0, dialed=False), other.open("a", 0.0, dialed=True)
    talk(one, other, first, second)
    assert [link.established and not link.closing for link in (*first, *second)] == [True, True, False, False]
    assert second[0].duplicate or second[1].duplicate


def test_a_new_connection_replaces_one_that_hangs() -> None:
    one, other = node("a", "b", t=table()), node("b", "a", t=table())
    first = meet(one, other)
    second = meet(one, other)
    talk(one, other, first, second)
    assert [link.established and not link.closing for link in (*first, *second)] == [False, False, True, True]


def test_two_processes_of_a_peer_are_both_kept() -> None:
    one = node("a", "b", t=table())
    old, new = node("b", "a", incarnation=1, t=table()), node("b", "a", incarnation=2, t=table())
    first, second = meet(old, one), meet(new, one)
    assert all(link.established and not link.closing for link in (*first, *second))


def fill(shared: SharedTable, count: int) -> None:
    for n in range(count):
        row = shared.table.get(b"%d" % n, 0.0)
        shared.table.stick(row, 1, shared.table.server_number("s1"), 0.0)


def test_a_newcomer_is_taught_in_pieces() -> None:
    one, other = node("a", "b", t=table()), node("b", "a", t=table())
    known, fresh = one.tables["t"], other.tables["t"]
    assert isinstance(known, SharedTable)
    fill(known, 20 * ROWS)
    known.take()
    one.synced = True
    links = other.open("a", 0.0, dialed=True), one.open("", 0.0, dialed=False)
    waiting = deque[bytes]()
    for _ in range(6):
        for replica, link, far, end in ((other, links[0], one, links[1]),):
            if data := replica.pump(link, 0.0):
                far.receive(end, data, 0.0)
        while data := one.pump(links[1], 0.0):
            waiting.append(data)
        if len(links[1].flying) == WINDOW:
            break
        while waiting:
            other.receive(links[0], waiting.popleft(), 0.0)
    assert len(links[1].flying) == WINDOW, "no more is sent before some of it has arrived"
    assert other.status(0.0)[0].sentence.startswith("learning from it")
    while waiting:
        other.receive(links[0], waiting.popleft(), 0.0)
    talk(other, one, links)
    assert len(fresh) == 20 * ROWS
    assert other.synced
    assert one.status(1.0)[0].sentence == "in sync"


def test_what_waits_for_a_frozen_peer_is_each_row_once() -> None:
    one, other = node("a", "b", t=table()), node("b", "a", t=table())
    here, there = meet(one, other)
    shared = one.tables["t"]
    assert isinstance(shared, SharedTable)
    sent = []
    for turn in range(200):
        fill(shared, 50)
        for n in range(50):
            row = shared.table.find(b"%d" % n, 0.0)
            shared.table.gpcs[0].add(row, 1, 0)
            shared.table.mark(row)
        one.collect(float(turn))
        while data := one.pump(here, float(turn)):
            sent.append(data)
    assert here.waiting == 50
    assert len(here.flying) == WINDOW
    assert "lagging by" in one.status(200.0)[0].sentence
    assert one.status(200.0)[0].lag > 100
    for data in sent:
        other.receive(there, data, 200.0)
    talk(one, other, (here, there), now=200.0)
    far = other.tables["t"]
    assert isinstance(far, SharedTable)
    assert far.table.gpcs[0].read(far.table.find(b"7", 0.0), 0) == 200
    assert one.flushed


def test_silence_ends_a_connection_and_heartbeats_keep_it() -> None:
    one, other = node("a", "b", t=table()), node("b", "a", t=table())
    links = meet(one, other)
    for second in range(40):
        one.tick(float(second))
        other.tick(float(second))
        talk(one, other, links, now=float(second))
    assert links[0].closing == ""
    for second in range(40, 60):
        one.tick(float(second))
    assert links[0].closing.startswith("not a word for 10 s")
    late = one.open("", 100.0, dialed=False)
    one.tick(106.0)
    assert late.closing == "no handshake within 5 s"


MESSAGE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=20), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=12,
)
KINDS = st.integers(0, 12)


def check_alive(replica: Replica) -> None:
    """Whatever came, others are still served."""
    good = node("b", "a", t=table())
    links = meet(good, replica)
    assert all(link.established for link in links)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
def test_noise_is_refused(pieces: list[bytes], dialed: bool) -> None:
    replica = node("a", "b", t=table())
    link = replica.open("b" if dialed else "", 0.0, dialed=dialed)
    for piece in pieces:
        replica.receive(link, piece, 0.0)
    assert len(link.decoder._buffer) <= messages.FIRST_FRAME + 4
    replica.lost(link, "", 0.0)
    check_alive(replica)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(KINDS, st.lists(MESSAGE, max_size=5)), max_size=6), st.booleans())
def test_messages_in_any_order_are_refused_or_mean_something(
    said: list[tuple[int, list[Any]]], established: bool
) -> None:
    replica, other = node("a", "b", t=table()), node("b", "a", t=table())
    link = meet(replica, other)[0] if established else replica.open("", 0.0, dialed=False)
    for kind, values in said:
        body = msgpack.packb([kind, *values])
        replica.receive(link, len(body).to_bytes(4, "big") + body, 0.0)
        for _ in range(50):
            if not replica.pump(link, 0.0):
                break
    replica.tick(1.0)
    replica.status(1.0)
    replica.lost(link, "", 0.0)
    check_alive(replica)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_flipped_bits_of_a_real_conversation(data: st.DataObject) -> None:
    one, other = node("a", "b", t=table()), node("b", "a", t=table())
    known = one.tables["t"]
    assert isinstance(known, SharedTable)
    fill(known, 5)
    links = other.open("a", 0.0, dialed=True), one.open("", 0.0, dialed=False)
    for _ in range(8):
        for replica, link, far, end in ((other, links[0], one, links[1]), (one, links[1], other, links[0])):
            said = replica.pump(link, 0.0)
            if said and data.draw(st.booleans()):
                at = data.draw(st.integers(0, len(said) - 1))
                said = said[:at] + bytes([said[at] ^ (1 << data.draw(st.integers(0, 7)))]) + said[at + 1 :]
            if said:
                far.receive(end, said, 0.0)
    for replica, link in ((other, links[0]), (one, links[1])):
        replica.lost(link, "", 0.0)
    clean = node("a", "b", incarnation=7, t=table())
    assert all(link.established for link in meet(clean, other))


def test_a_frame_is_bounded() -> None:
    decoder = Decoder()
    with pytest.raises(ProtocolError, match="a frame of 4294967295 bytes"):
        list(decoder.feed(b"\xff\xff\xff\xff"))
    for body in (b"\xdd\xff\xff\xff\xff", b"\x91" * 2000, b"\xc1", b"", b"\x81\x90\x01", b"\xc7\xff\x05"):
        with pytest.raises(ProtocolError):
            list(Decoder().feed(len(body).to_bytes(4, "big") + body))


def test_a_peer_with_a_shard_gets_its_part_only() -> None:
    one, other = node("a", "b", t=table()), node("b", "a", t=table())
    one.remotes["b"].shard = 2
    shared = one.tables["t"]
    assert isinstance(shared, SharedTable)
    shared.table.shards = 4
    links = meet(one, other)
    fill(shared, 200)
    one.collect(1.0)
    talk(one, other, links)
    assert 20 < len(other.tables["t"]) < 90
    assert not links[0].repairs
    assert not links[1].repairs
