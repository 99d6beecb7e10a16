"""Casts between sample types, chosen at load (configuration.txt, sections 7.1.1 and 7.3).

A converter is only applied to the type it takes; where an expression gives another one, a cast stands between.
`None` means that nothing is to be done. What cannot be cast is refused at load; what fails while serving is a
missing sample.
"""

from __future__ import annotations

import re

from trilb.base import ip
from trilb.base.diagnostic import Refused
from trilb.config.language import IMPOSSIBLE_CASTS
from trilb.samples.types import Addr, Convert, Value, as_bytes

_INTEGER = re.compile(rb"[+-]?[0-9]+")
_MOST, _LEAST = (1 << 63) - 1, -(1 << 63)


def to_int(value: Value) -> int | None:
    """Text to a signed 64-bit integer: all of it must be digits after an optional sign."""
    if isinstance(value, bytes):
        if not _INTEGER.fullmatch(value):
            return None
        return max(min(int(value), _MOST), _LEAST)
    return int(value)


def to_address(value: Value) -> Addr | None:
    """Text to a packed address."""
    if isinstance(value, Addr):
        return value
    if not isinstance(value, bytes):
        return None if value < 0 or value >> 32 else Addr(int(value).to_bytes(4, "big"))
    try:
        return Addr(ip.packed(value.decode("latin-1")))
    except ValueError:
        return None


def address_text(value: Value) -> bytes | None:
    """A packed address to its usual spelling."""
    return ip.text(value).encode() if isinstance(value, bytes) else None


def address_int(value: Value) -> int | None:
    """An IPv4 address to the integer of its bytes."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) and len(value) == 4 else None


def any_text(value: Value) -> bytes | None:
    """A value of any type to text."""
    return address_text(value) if isinstance(value, Addr) else as_bytes(value)


def any_int(value: Value) -> int | None:
    """A value of any type to an integer."""
    return address_int(value) if isinstance(value, Addr) else to_int(value)


def int_binary(value: Value) -> bytes:
    """An integer to its eight bytes, most significant first."""
    return (int(value) & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")


def any_binary(value: Value) -> bytes:
    """A value of any type to bytes."""
    return bytes(value) if isinstance(value, bytes) else int_binary(value)


def any_bool(value: Value) -> bool | None:
    """A value of any type to a boolean: an integer that is not 0."""
    number = any_int(value)
    return None if number is None else bool(number)


def tag_address(value: Value) -> Addr | None:
    """An address to one that still knows so where types are told from values."""
    return Addr(value) if isinstance(value, bytes) else None


_TEXT = ("str", "bin", "meth")
_TABLE: dict[tuple[str, str], Convert] = {
    ("bool", "sint"): int,
    ("sint", "bool"): bool,
    ("sint", "addr"): to_address,
    ("sint", "bin"): int_binary,
    ("bool", "bin"): int_binary,
    ("sint", "str"): as_bytes,
    ("bool", "str"): as_bytes,
    ("addr", "sint"): address_int,
    ("addr", "str"): address_text,
    ("addr", "any"): tag_address,
    ("any", "bool"): any_bool,
    ("any", "sint"): any_int,
    ("any", "addr"): to_address,
    ("any", "str"): any_text,
    ("any", "meth"): any_text,
    ("any", "bin"): any_binary,
    **{(text, "sint"): to_int for text in _TEXT},
    **{(text, "bool"): any_bool for text in _TEXT},
    **{(text, "addr"): to_address for text in _TEXT},
}


def cast(source: str, target: str) -> Convert | None:
    """The cast between two types, None when there is nothing to do. Raises Refused when there is no such cast."""
    if source == target:
        return None
    if (source, target) in IMPOSSIBLE_CASTS:
        raise Refused(f"a sample of type {source} cannot become one of type {target}")
    return _TABLE.get((source, target))
