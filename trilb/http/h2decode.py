"""Header blocks that change no table (RFC 7541), which is most of them once a client's first request came. HOT.

Fields from the tables, and literals that are not to be remembered. The library's table is read and never written, so
whatever is not of these kinds, or not in order, is left to the library from its beginning on; it says what is wrong. It
takes six times as long (bench/micro/decode.py).
"""

from __future__ import annotations

from typing import Final

from hpack import Decoder
from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from trilb.http.head import Field

_STATIC: Final[tuple[Field, ...]] = HeaderTable.STATIC_TABLE
_OVERHEAD: Final = 32
"""What a field counts on top of its bytes (section 4.1)."""


def decode(decoder: Decoder, block: bytes) -> list[Field] | None:
    """The fields of a block; None when the library has to read it."""
    table = decoder.header_table
    if table.maxsize > decoder.max_allowed_table_size:
        return None
    dynamic = table.dynamic_entries
    fields: list[Field] = []
    at, end, size = 0, len(block), 0
    while at < end:
        first = block[at]
        if first & 0x80:
            index, at = _integer(block, at, 0x7F)
            if not 0 < index <= len(_STATIC) + len(dynamic):
                return None
            field: Field = _STATIC[index - 1] if index <= len(_STATIC) else dynamic[index - len(_STATIC) - 1]
        elif first & 0x60:
            return None
        else:
            index, at = _integer(block, at, 0x0F)
            if not index:
                name, at = _text(block, at)
            elif 0 < index <= len(_STATIC):
                name = _STATIC[index - 1][0]
            elif 0 < index <= len(_STATIC) + len(dynamic):
                name = dynamic[index - len(_STATIC) - 1][0]
            else:
                return None
            value, at = _text(block, at)
            if at < 0:
                return None
            field = (name, value)
        fields.append(field)
        size += _OVERHEAD + len(field[0]) + len(field[1])
    return fields if size <= decoder.max_header_list_size else None


def _integer(block: bytes, at: int, most: int) -> tuple[int, int]:
    """A number that begins in the last bits of a byte (section 5.1), and where it ends; -1 for one that is too long."""
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in (0, 7, 14):
        if at >= len(block):
            break
        more = block[at]
        at += 1
        number += (more & 0x7F) << shift
        if more < 0x80:
            return number, at
    return -1, at


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    """A string (section 5.2), and where it ends; -1 for one that is not whole, or not in order."""
    if not 0 <= at < len(block):
        return b"", -1
    squeezed = block[at] & 0x80
    length, at = _integer(block, at, 0x7F)
    end = at + length
    if length < 0 or end > len(block):
        return b"", -1
    text = block[at:end]
    if not squeezed:
        return text, end
    try:
        return decode_huffman(text), end
    except HPACKError:
        return b"", -1
