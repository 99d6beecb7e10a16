"""Casts between sample types, chosen at load (configuration.txt, sections 7.1.1 and 7.3).

A converter is only applied to the type it takes; where an expression gives another one, a cast stands between.
`None` means that nothing is to be done. What cannot be cast is refused at load; what fails while serving is a
missing sample. tests/duel/test_converters.py compares the casts with HAProxy's.
"""

from __future__ import annotations

import re

from trilb.base import ip
from trilb.base.diagnostic import Refused
from trilb.config.language import IMPOSSIBLE_CASTS
from trilb.samples.types import Addr, Bin, Convert, Value, as_bytes

_INTEGER = re.compile(rb"([+-]?)0*([0-9]*)")
_IPV4 = re.compile(rb"[0-9.]+")
_MOST, _LEAST = (1 << 63) - 1, -(1 << 63)


def clamped(number: int) -> int:
    """The nearest signed 64-bit integer."""
    return _MOST if number > _MOST else _LEAST if number < _LEAST else number


def to_int(value: Value) -> int | None:
    """Text to a signed 64-bit integer: the digits it begins with after an optional sign, 0 without any.

    An empty text is no number.
    """
    if not isinstance(value, bytes):
        return int(value)
    if not value:
        return None
    found = _INTEGER.match(value)
    if found is None or not found[2]:
        return 0
    # A stranger may send digits without end; twenty are more than fit.
    number = int(found[2][:20])
    return clamped(-number if found[1] == b"-" else number)


def to_address(value: Value) -> Addr | None:
    """Text to a packed address. What follows an IPv4 address is ignored, as are zeros before a number."""
    if isinstance(value, Addr):
        return value
    if isinstance(value, Bin):
        return None
    if not isinstance(value, bytes):
        return None if isinstance(value, bool) else Addr((value & 0xFFFFFFFF).to_bytes(4, "big"))
    found = _IPV4.match(value)
    if found is not None:
        parts = found[0].split(b".")
        if len(parts) == 4 and all(parts):
            numbers = [int(part.lstrip(b"0")[:4] or b"0") for part in parts]
            return Addr(bytes(numbers)) if max(numbers) < 256 else None
    if b"%" in value:
        return None
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


def binary_text(value: Value) -> bytes:
    """Bytes to text, which ends at a NUL."""
    text = as_bytes(value)
    return text.partition(b"\0")[0] if b"\0" in text else text


def any_text(value: Value) -> bytes | None:
    """A value of any type to text."""
    if isinstance(value, Addr):
        return address_text(value)
    return binary_text(value) if isinstance(value, Bin) else as_bytes(value)


def any_int(value: Value) -> int | None:
    """A value of any type to an integer."""
    if isinstance(value, Addr):
        return address_int(value)
    return None if isinstance(value, Bin) else to_int(value)


def int_binary(value: Value) -> bytes:
    """An integer to its eight bytes, most significant first."""
    return (int(value) & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")


def any_binary(value: Value) -> bytes:
    """A value of any type to bytes."""
    return bytes(value) if isinstance(value, bytes) else int_binary(value)


def any_bool(value: Value) -> bool | None:
    """A value of any type to a boolean: an integer that is not 0."""
    number = None if isinstance(value, Addr) else any_int(value)
    return None if number is None else bool(number)


def tag_address(value: Value) -> Addr | None:
    """An address to one that still knows so where types are told from values."""
    return Addr(value) if isinstance(value, bytes) else None


def tag_binary(value: Value) -> Bin | None:
    """Bytes to ones that still know not to be text."""
    return Bin(value) if isinstance(value, bytes) else None


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
    ("bin", "str"): binary_text,
    ("bin", "any"): tag_binary,
    ("str", "sint"): to_int,
    ("str", "bool"): any_bool,
    ("str", "addr"): to_address,
    ("any", "bool"): any_bool,
    ("any", "sint"): any_int,
    ("any", "addr"): to_address,
    ("any", "str"): any_text,
    ("any", "meth"): any_text,
    ("any", "bin"): any_binary,
}


def cast(source: str, target: str) -> Convert | None:
    """The cast between two types, None when there is nothing to do. Raises Refused when there is no such cast."""
    if source == target:
        return None
    if (source, target) in IMPOSSIBLE_CASTS:
        raise Refused(f"a sample of type {source} cannot become one of type {target}")
    return _TABLE.get((source, target))
