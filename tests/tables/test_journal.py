"""Whatever happens to a file, what is read from it was once written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from trilb.tables import journal

BATCHES = st.lists(st.tuples(st.floats(0, 2**31), st.lists(st.binary(max_size=30), max_size=4)), max_size=6)


def written(batches: list[tuple[float, list[bytes]]]) -> bytes:
    data = journal.header("t", {"type": "ip"}, 3)
    return data + b"".join(journal.batch(wall, rows) for wall, rows in batches)


@settings(max_examples=200, deadline=None)
@given(BATCHES)
def test_what_is_written_is_read(batches: list[tuple[float, list[bytes]]]) -> None:
    found = journal.read(written(batches))
    assert found.header == journal.Header("t", {"type": "ip"}, 3)
    assert found.batches == batches
    assert not found.damage


@settings(max_examples=400, deadline=None)
@given(BATCHES, st.data())
def test_damage_is_cut_off(batches: list[tuple[float, list[bytes]]], data: st.DataObject) -> None:
    whole = written(batches)
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        hurt = whole[:at]
    else:
        hurt = whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :]
    found = journal.read(hurt)
    assert found.batches == batches[: len(found.batches)]
    assert found.good <= at
    if len(hurt) == len(whole):
        assert found.damage


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_nothing(noise: bytes) -> None:
    found = journal.read(noise)
    assert found.header is None
    assert not found.batches
