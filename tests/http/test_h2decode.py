"""Header blocks that change no table: read as the library reads them, or left to it."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given
from hypothesis import strategies as st

from trilb.http.h2decode import decode
from trilb.http.head import Field

ASK = [(b":method", b"GET"), (b":path", b"/x"), (b":authority", b"a.example"), (b"accept", b"*/*"), (b"n", b"v" * 200)]


def met() -> tuple[Encoder, Decoder]:
    """Two ends that know each other: what `ASK` says is in the table."""
    encoder, decoder = Encoder(), Decoder()
    decoder.decode(encoder.encode(ASK), raw=True)
    return encoder, decoder


def by_library(decoder: Decoder, block: bytes) -> list[Field] | None:
    """What the library makes of a block, None where it is wrong."""
    try:
        return [(bytes(name), bytes(value)) for name, value in deepcopy(decoder).decode(block, raw=True)]
    except HPACKError:
        return None


def test_from_tables() -> None:
    """The second request is the first one again."""
    encoder, decoder = met()
    block = encoder.encode(ASK)
    assert len(block) == len(ASK)
    assert decode(decoder, block) == ASK


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"\x04\x02/y", (b":path", b"/y")),
        (b"\x14\x02/y", (b":path", b"/y")),
        (b"\x04\x82\x61\xff", (b":path", b"/9")),
        (b"\x04\x81\x00", None),
        (b"\x0f\x2b\x01u", (b"user-agent", b"u")),
        (b"\x00\x01k\x01v", (b"k", b"v")),
        (b"\x00\x01k\x7f\x00" + b"v" * 127, (b"k", b"v" * 127)),
        (b"\x00\x01k\x00", (b"k", b"")),
        (b"\xbe", (b"n", b"v" * 200)),
        (b"\x0f\x2f\x01u", (b"n", b"u")),
    ],
)
def test_literals(block: bytes, expected: Field | None) -> None:
    """Names from either table or in full, with long lengths and short ones, squeezed or not."""
    _, decoder = met()
    assert decode(decoder, block) == ([expected] if expected is not None else None)
    assert by_library(decoder, block) == ([expected] if expected is not None else None)


@pytest.mark.parametrize(
    "block", [b"\x40\x01k\x01v", b"\x82\x20", b"\x3f\xe1\x1f\x82", b"\x80", b"\xff\x80\x80\x80\x80"]
)
def test_left_to_the_library(block: bytes) -> None:
    """What changes the table, and what is wrong."""
    _, decoder = met()
    assert decode(decoder, block) is None


def test_size() -> None:
    """A list that is too large when it is written out."""
    _, decoder = met()
    decoder.max_header_list_size = 1000
    assert decode(decoder, b"\xbe" * 4) == [ASK[-1]] * 4
    assert decode(decoder, b"\xbe" * 5) is None


PIECE = st.one_of(
    st.sampled_from(
        [b"\x82", b"\x84", b"\xbe", b"\xbf", b"\xc0", b"\x04\x02/y", b"\x00\x01k\x01v", b"\x0f\x2b\x82\x60\x3f"]
    ),
    st.binary(max_size=6),
)


@given(st.lists(PIECE, max_size=6).map(b"".join))
def test_as_the_library(block: bytes) -> None:
    """Any bytes: what is read is what the library reads, and the tables stay as they were."""
    _, decoder = met()
    before = list(decoder.header_table.dynamic_entries)
    fields = decode(decoder, block)
    assert list(decoder.header_table.dynamic_entries) == before
    if fields is not None:
        assert fields == by_library(decoder, block)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=150)), max_size=8), st.booleans())
def test_whatever_is_sent(fields: list[Field], squeezed: bool) -> None:
    """A request that was sent before is read without the library."""
    encoder, decoder = Encoder(), Decoder()
    decoder.decode(encoder.encode(fields, huffman=squeezed), raw=True)
    block = encoder.encode(fields, huffman=squeezed)
    found = decode(decoder, block)
    assert found == fields if sum([len(name) + len(value) + 32 for name, value in fields]) <= 4096 else True
