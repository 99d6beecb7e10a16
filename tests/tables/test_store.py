"""The store against the simplest table there could be; size, expiry and purging to the letter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilb.base.diagnostic import Refused
from trilb.base.schema import TYPES, Schema, Stored, parse_stored
from trilb.tables.columns import Rate
from trilb.tables.store import Table


def make(
    size: int = 100, expire: float = 0.0, *, nopurge: bool = False, kind: str = "string", length: int = 32
) -> Table:
    schema = Schema("t", kind, length, size, expire, nopurge)
    schema.store(Stored(TYPES["gpc0"]))
    return Table(schema, shared=True)


KEYS = st.integers(0, 30).map(lambda n: b"k%d" % n)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), KEYS),
        st.tuples(st.just("look"), KEYS),
        st.tuples(st.just("remove"), KEYS),
        st.tuples(st.just("wait"), st.floats(0.0, 4.0)),
        st.tuples(st.just("purge"), st.none()),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(1, 12), st.sampled_from([0.0, 0.05, 3.0, 1800.0]), st.booleans())
def test_it_is_a_table(steps: list[tuple[str, object]], size: int, expire: float, nopurge: bool) -> None:
    """Used, found, forgotten and purged as a list in the order of last use would."""
    table, model, now = make(size, expire, nopurge=nopurge), dict[bytes, float](), 100.0

    def alive(key: bytes) -> bool:
        return key in model and (not expire or model[key] + expire > now)

    for step, what in steps:
        if step == "wait":
            assert isinstance(what, float)
            now += what
        elif step == "purge":
            while table.purge(now):
                pass
            model = {key: at for key, at in model.items() if alive(key)}
            assert table.used == len(model)
        else:
            assert isinstance(what, bytes)
            if step == "look":
                assert (table.find(what, now) >= 0) == alive(what)
            elif step == "remove":
                row = table.find(what, now)
                assert (row >= 0) == alive(what)
                if row >= 0:
                    assert table.remove(row, now)
                    del model[what]
            else:
                row = table.get(what, now)
                if alive(what):
                    assert row >= 0
                else:
                    gone = {key: at for key, at in model.items() if alive(key) or key == what}
                    full = what not in model and len(model) >= size
                    if full:
                        model = gone
                    if full and len(model) >= size:
                        if nopurge:
                            assert row == -1
                            continue
                        # As many of the oldest as HAProxy lets go at once.
                        for key in sorted(model, key=lambda key: model[key])[: (size >> 8) + 1]:
                            del model[key]
                    assert row >= 0
                table.touch(row, now)
                model[what] = now
                # One after the other, in milliseconds, so that the oldest is never a matter of taste.
                now += 0.001
    for key in (b"k%d" % n for n in range(31)):
        assert (table.find(key, now) >= 0) == alive(key), key


def test_what_is_held_stays() -> None:
    table = make(2, 1.0)
    row = table.get(b"a", 100.0)
    table.hold(row)
    assert not table.remove(row, 100.0)
    assert table.find(b"a", 200.0) == row
    while table.purge(200.0):
        pass
    assert table.used == 1
    table.get(b"b", 200.0)
    assert table.get(b"c", 200.1) >= 0
    assert table.find(b"a", 200.1) == row
    assert table.find(b"b", 200.1) == -1
    table.release(row, 201.0)
    assert table.find(b"a", 201.9) == row
    assert table.find(b"a", 202.1) == -1


def test_a_full_table_of_what_is_held_takes_nothing_new() -> None:
    table = make(3)
    for key in (b"a", b"b", b"c"):
        table.hold(table.get(key, 100.0))
    assert table.get(b"d", 101.0) == -1
    assert table.refused == 1


def test_a_large_table_lets_go_of_several_at_once() -> None:
    table = make(1024)
    for n in range(1024):
        table.get(b"%d" % n, 100.0 + n)
    table.get(b"new", 5000.0)
    assert table.used == 1024 - 5 + 1
    assert table.find(b"4", 5000.0) == -1
    assert table.find(b"5", 5000.0) >= 0


def test_purging_never_looks_at_many() -> None:
    table = make(20_000, 1.0)
    for n in range(20_000):
        table.get(b"%d" % n, 100.0)
    calls = 0
    while table.purge(102.0):
        calls += 1
    assert calls >= 20_000 // 500
    assert table.used == 0
    assert not any(table.index)


@pytest.mark.parametrize(
    ("kind", "length", "value", "key"),
    [
        ("ip", 4, b"\x7f\0\0\1", b"\x7f\0\0\1"),
        ("ip", 4, bytes(10) + b"\xff\xff\x01\x02\x03\x04", b"\1\2\3\4"),
        ("ip", 4, b"\x20\x01" + bytes(14), None),
        ("ipv6", 16, b"\1\2\3\4", bytes(10) + b"\xff\xff\1\2\3\4"),
        ("integer", 4, 258, b"\0\0\1\2"),
        ("integer", 4, -1, b"\xff\xff\xff\xff"),
        ("string", 4, b"abcdef", b"abcd"),
        ("string", 4, b"", b""),
        ("binary", 4, b"ab", b"ab\0\0"),
        ("binary", 4, b"abcdef", b"abcd"),
    ],
)
def test_keys(kind: str, length: int, value: bytes | int, key: bytes | None) -> None:
    assert make(kind=kind, length=length).key(value) == key


def test_a_rate_slides() -> None:
    rate = Rate(10_000)
    rate.extend(1)
    for at in range(10):
        rate.add(0, 1, 100_000 + at)
    assert rate.read(0, 100_010) == 10
    assert rate.read(0, 109_999) == 10
    assert rate.read(0, 115_000) == 5
    assert rate.read(0, 119_999) == 0
    rate.add(0, 4, 112_000)
    assert rate.read(0, 112_000) == 4 + 8
    assert rate.read(0, 200_000) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpc2", "unknown data type 'gpc2'"),
        ("conn_rate", "takes the period in parentheses"),
        ("conn_rate()", "takes the period in parentheses"),
        ("conn_cnt(5)", "takes no argument"),
        ("gpc(0)", "array of 1 to 100"),
        ("gpc(101)", "array of 1 to 100"),
        ("gpc_rate(2)", "the number of elements and the period"),
        ("conn_rate(0)", "must not be zero"),
        ("conn_rate(5x)", "is not a time"),
        ("", "expects data types"),
    ],
)
def test_what_cannot_be_stored(text: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_stored(text)
    assert said in caught.value.text


def test_what_excludes_each_other() -> None:
    schema = Schema("t")
    for stored in parse_stored("gpc0,gpt(2),conn_rate(10s)"):
        schema.store(stored)
    assert [stored.text for stored in schema.shown] == ["gpc0", "conn_rate(10000)", "gpt(2)"]
    for text in ("gpc(2)", "gpt0", "gpc0"):
        with pytest.raises(Refused):
            schema.store(parse_stored(text)[0])
