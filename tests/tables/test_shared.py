"""Batches: what is taken over, and that nothing malformed does more than be refused."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers.world import schema
from trilb.base.hybrid import HybridClock
from trilb.base.schema import Schema, parse_stored
from trilb.tables.columns import Mark
from trilb.tables.shared import SharedTable
from trilb.tables.store import Table


def make(name: str, *, overwrite: bool = False, size: int = 100, expire: float = 0.0) -> SharedTable:
    table = Table(schema(overwrite=overwrite, size=size, expire=expire), HybridClock(node=ord(name)), shared=True)
    return SharedTable(table, "t", f"{name}/1", lambda: 1000.0)


def fill(shared: SharedTable, count: int = 5, now: float = 1000.0) -> None:
    table = shared.table
    for n in range(count):
        row = table.get(b"k%d" % n, now)
        table.stick(row, 1 + n % 3, table.server_number(f"s{n % 3}"), now)
        mark = table.gpts[0]
        assert isinstance(mark, Mark)
        table.set_mark(mark, row, n)
        table.gpcs[0].add(row, n, 0)
    shared.take()


def everything(shared: SharedTable, whole: bool = True) -> Any:
    rows = [row for number in range(256) for row in shared.bucket(number)]
    return msgpack.unpackb(msgpack.packb(shared.export(rows, whole)), strict_map_key=False)


def mutate(value: Any, draw: Any) -> Any:
    """Something else in place of one part."""
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], mutate(value[at], draw), *value[at + 1 :]]
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value, key=str)))
        return {**value, draw(st.sampled_from([key, 77, "x"])): mutate(value[key], draw)}
    if isinstance(value, bytes) and draw(st.booleans()):
        cut = draw(st.integers(0, len(value)))
        return value[:cut] + draw(st.binary(max_size=20))
    return draw(
        st.one_of(
            st.none(),
            st.integers(-5, 2**63),
            st.binary(max_size=40),
            st.text(max_size=5),
            st.lists(st.integers(0, 5), max_size=3),
            st.just({}),
            st.floats(),
            st.booleans(),
        )
    )


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_no_batch_does_harm(data: st.DataObject) -> None:
    """A batch with something wrong is refused as a whole, or means something; the table stays one."""
    source, target = make("a"), make("b")
    fill(source)
    fill(target, 2)
    batch = mutate(everything(source), data.draw)
    with suppress(ValueError):
        target.merge(batch)
    table = target.table
    assert table.used == sum(1 for _ in table.rows(1000.0))
    assert table.get(b"after", 1000.0) >= 0
    assert msgpack.packb(target.export(list(range(len(table.keys))), True))
    assert len(table.keys) < 70_000


def test_counters_add_up_and_are_told_once() -> None:
    one, other = make("a"), make("b")
    fill(one)
    fill(other)
    for _ in range(3):
        other.merge(everything(one))
        one.merge(everything(other))
    row = one.table.find(b"k4", 1000.0)
    assert one.table.gpcs[0].read(row, 0) == 8
    assert other.table.gpcs[0].read(other.table.find(b"k4", 1000.0), 0) == 8


def test_counters_that_overwrite() -> None:
    one, other = make("a", overwrite=True), make("b", overwrite=True)
    fill(one)
    fill(other)
    other.merge(everything(one))
    one.merge(everything(other))
    assert one.table.gpcs[0].read(one.table.find(b"k4", 1000.0), 0) == 4
    assert [one.digest(n, 1 << 62) for n in range(256)] == [other.digest(n, 1 << 62) for n in range(256)]


def test_a_deletion_travels_and_what_comes_after_it_stays() -> None:
    one, other = make("a"), make("b")
    fill(one, 2)
    other.merge(everything(one))
    before = everything(one)
    one.table.remove(one.table.find(b"k0", 1000.0), 1000.0)
    rows = one.take()
    other.merge(one.export(rows, False))
    assert other.table.find(b"k0", 1000.0) == -1
    other.merge(before)
    assert other.table.find(b"k0", 1000.0) == -1, "what was known before does not bring it back"
    row = other.table.get(b"k0", 1000.0)
    other.table.stick(row, 3, other.table.server_number("s9"), 1000.0)
    one.merge(other.export(other.take(), False))
    row = one.table.find(b"k0", 1000.0)
    assert row >= 0
    key = one.table.server_key
    assert key is not None
    assert one.table.servers[key.values[row]] == "s9"
    assert one.table.gpcs[0].read(row, 0) == 0


def test_time_left_travels_and_the_oldest_goes() -> None:
    one, other = make("a", expire=100.0, size=5), make("b", expire=100.0, size=5)
    for n in range(5):
        row = one.table.get(b"old%d" % n, 950.0 + n)
        one.table.stick(row, 1, one.table.server_number("s1"), 950.0 + n)
        row = other.table.get(b"new%d" % n, 990.0)
        other.table.stick(row, 1, other.table.server_number("s1"), 990.0)
    assert other.merge(everything(one)) == 0, "a full table keeps what is younger"
    assert one.merge(everything(other)) == 5
    assert {one.table.keys[row] for row in one.table.rows(1000.0)} == {b"new%d" % n for n in range(5)}
    assert one.table.left(one.table.find(b"new0", 1000.0), 1000.0) == pytest.approx(90.0, abs=0.01)
    stale = make("c", expire=100.0)
    assert stale.merge(everything(other), age=200.0) == 0


def test_of_many_restarts_the_last_ones_count() -> None:
    target = make("z")
    for start in range(1, 31):
        table = Table(schema(), HybridClock(partial(float, 1000 + start), node=start), shared=True)
        source = SharedTable(table, "t", f"a/{start:013x}", lambda: 1000.0)
        row = table.get(b"k", 1000.0)
        table.gpcs[0].add(row, 1, 0)
        source.take()
        batch = everything(source)
        target.merge(batch)
        if start == 1:
            first = batch
    row = target.table.find(b"k", 1000.0)
    assert target.table.gpcs[0].read(row, 0) == 8
    target.merge(first)
    assert target.table.gpcs[0].read(row, 0) == 8
    assert len(target.origins) == 9


def test_a_table_that_only_receives_shows_what_counts_elsewhere() -> None:
    shape = Schema("t", "string", 32, 100, recv_only=True)
    for stored in parse_stored("conn_cur,conn_cnt"):
        shape.store(stored)
    watching = SharedTable(Table(shape, HybridClock(), shared=True), "t", "w/1", lambda: 0.0)
    plain = Schema("t", "string", 32, 100, stored=list(shape.stored))
    local = SharedTable(Table(plain, HybridClock(), shared=True), "t", "l/1", lambda: 0.0)
    for start, amount in (("1", 5), ("2", 3)):
        table = Table(plain, HybridClock(partial(float, start), node=int(start)), shared=True)
        source = SharedTable(table, "t", f"a/{start}", lambda: 0.0)
        row = table.get(b"k", 0.0)
        assert table.conn_cur is not None
        table.conn_cur.add(row, amount, 0)
        source.take()
        for target in (watching, local):
            target.merge(everything(source))
    row = watching.table.find(b"k", 0.0)
    # Of two processes of one peer the later one says what is now.
    assert watching.table.conn_cur.read(row, 0) == 3
    assert local.table.conn_cur.read(local.table.find(b"k", 0.0), 0) == 0


def test_what_is_heard_is_written_to_another_table() -> None:
    source, heard = make("a"), make("b")
    heard.written = Table(schema(), HybridClock(), shared=True)
    fill(source, 3)
    heard.merge(everything(source))
    target = heard.written
    row = target.find(b"k2", 1000.0)
    assert target.server_key is not None
    assert target.servers[target.server_key.values[row]] == "s2"
    assert target.gpts[0].values[row] == 2
    assert target.gpcs[0].read(row, 0) == 0, "counters are not written on"


def test_a_shard_is_a_part_and_all_parts_are_everything() -> None:
    shared = make("a")
    shared.table.shards = 3
    fill(shared, 60)
    rows = [row for number in range(256) for row in shared.bucket(number)]
    parts = [shared.select(rows, shard) for shard in (1, 2, 3)]
    assert sorted(row for part in parts for row in part) == sorted(rows)
    assert all(10 < len(part) < 30 for part in parts)
