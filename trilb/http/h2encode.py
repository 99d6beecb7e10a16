"""Header compression that remembers nothing (RFC 7541): every field by the static table or as a literal. HOT.

So does HAProxy. A table of our own would save the peer some bytes a response, and cost more than the rest of the
response: here a field that was written before is one look into a dictionary (bench/README.md, race `h2`). Huffman codes
save little and cost as much.
"""

from __future__ import annotations

from collections.abc import Iterable

from hpack.table import HeaderTable

from trilb.http.head import Field

_WHOLE: dict[Field, bytes] = {}
_NAMES: dict[bytes, int] = {}
for _number, (_name, _value) in enumerate(HeaderTable.STATIC_TABLE, 1):
    _WHOLE[_name, _value] = bytes((0x80 | _number,))
    _NAMES.setdefault(_name, _number)
_PRIVATE = frozenset((b"cookie", b"set-cookie", b"authorization", b"proxy-authorization"))
"""What nobody on the way may remember either (section 7.1.3)."""
_MOST = 2048
_LONGEST = 160
"""Fields remembered, and how long they may be. Arbitrary: half a megabyte at the most."""

_known: dict[Field, bytes] = dict(_WHOLE)


def encode(fields: Iterable[Field]) -> bytes:
    """A header block; names are in lower case."""
    parts: list[bytes] = []
    known = _known
    for field in fields:
        part = known.get(field)
        parts.append(_literal(field) if part is None else part)
    return b"".join(parts)


def _literal(field: Field) -> bytes:
    name, value = field
    private = name in _PRIVATE
    kind = 0x10 if private else 0
    number = _NAMES.get(name, 0)
    begin = _integer(number, 4, kind)
    part = begin + (b"" if number else _integer(len(name), 7, 0) + name) + _integer(len(value), 7, 0) + value
    if not private and len(part) <= _LONGEST:
        if len(_known) >= _MOST:
            _known.clear()
            _known.update(_WHOLE)
        _known[bytes(name), bytes(value)] = part
    return part


def _integer(number: int, bits: int, kind: int) -> bytes:
    """A number that begins in the last `bits` of a byte (section 5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes((kind | number,))
    out = bytearray((kind | most,))
    number -= most
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
