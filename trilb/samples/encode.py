"""JSON (RFC 8259) and CBOR (RFC 8949) of single values, for log formats. Bytes are taken as UTF-8 text."""

from __future__ import annotations

import json as _json

Plain = bool | int | bytes | None


def json(value: Plain) -> bytes:
    """A value as JSON; bytes that are no UTF-8 become the replacement character."""
    if isinstance(value, bytes):
        return _json.dumps(value.decode("utf-8", "replace"), ensure_ascii=False).encode()
    return _json.dumps(value).encode()


def _head(major: int, number: int) -> bytes:
    """An item's first byte and its argument, in the shortest form."""
    if number < 24:
        return bytes((major << 5 | number,))
    for code, size in ((24, 1), (25, 2), (26, 4)):
        if number < 1 << 8 * size:
            return bytes((major << 5 | code,)) + number.to_bytes(size, "big")
    return bytes((major << 5 | 27,)) + number.to_bytes(8, "big")


def cbor(value: Plain) -> bytes:
    """A value as CBOR: text when it is UTF-8, else a byte string."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return _head(2, len(value)) + value
    return _head(3, len(value)) + value


def cbor_map(count: int) -> bytes:
    """The head of a map of `count` pairs, which follow it."""
    return _head(5, count)
