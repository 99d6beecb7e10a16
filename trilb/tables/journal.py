"""Entries on disk: frames with checksums, one after the other. Reading stops at the first that is damaged.

A frame is its length, the CRC-32 of what follows, and msgpack. The first frame of a file says which table it is of and
which generation; the others are batches of rows (tables/shared.py) with the time they were written, so that what they
say of time left can be corrected.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import msgpack

MAGIC: Final = "trilb-table"
VERSION: Final = 1
_FRAME: Final = struct.Struct("!II")
_LARGEST: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Header:
    """What a file is: of which table, described how, and which generation of it."""

    table: str
    description: Mapping[str, Any]
    generation: int


@dataclass(slots=True)
class Contents:
    """What a file holds: `good` bytes that can be trusted, and what is wrong behind them ("" when nothing is)."""

    header: Header | None
    batches: list[tuple[float, Any]]
    good: int = 0
    damage: str = ""


def frame(*values: Any) -> bytes:
    """A frame of these values."""
    body: bytes = msgpack.packb(values)
    return _FRAME.pack(len(body), crc32(body)) + body


def header(table: str, description: Mapping[str, Any], generation: int) -> bytes:
    """The first frame of a file."""
    return frame(MAGIC, VERSION, table, dict(description), generation)


def batch(wall: float, rows: Any) -> bytes:
    """A frame of rows as they are at `wall` (seconds since the epoch)."""
    return frame(wall, rows)


def _frames(data: bytes, contents: Contents) -> Iterator[list[Any]]:
    at = 0
    while at < len(data):
        if len(data) - at < _FRAME.size:
            contents.damage = "the last frame is cut off"
            return
        size, checksum = _FRAME.unpack_from(data, at)
        body = data[at + _FRAME.size : at + _FRAME.size + size]
        if size > _LARGEST or len(body) < size:
            contents.damage = "the last frame is cut off"
            return
        if crc32(body) != checksum:
            contents.damage = "a checksum is wrong"
            return
        try:
            values = msgpack.unpackb(body, strict_map_key=False)
        except (ValueError, TypeError, msgpack.UnpackException):
            contents.damage = "a frame is not msgpack"
            return
        if not isinstance(values, list):
            contents.damage = "a frame holds no values"
            return
        at += _FRAME.size + size
        yield values
        contents.good = at


def read(data: bytes) -> Contents:
    """What a file's bytes hold; never raises, damage is told."""
    contents = Contents(None, [])
    for values in _frames(data, contents):
        if contents.header is None:
            if len(values) != 5 or values[:2] != [MAGIC, VERSION] or not isinstance(values[3], dict):
                contents.damage = "it is no file of a stick table, or of another version"
                return contents
            contents.header = Header(str(values[2]), values[3], int(values[4]) if type(values[4]) is int else 0)
        elif len(values) != 2 or not isinstance(values[0], float):
            contents.damage = "a frame is no batch"
            return contents
        else:
            contents.batches.append((values[0], values[1]))
    return contents
