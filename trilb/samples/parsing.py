"""The texts of patterns: integers with ranges and operators, versions, networks (sections 7.1.2 to 7.1.6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv6Address

from trilb.base.diagnostic import Refused
from trilb.base.units import saturated

Range = tuple[int, int]
"""Both ends belong to it."""

_MOST, _LEAST = (1 << 63) - 1, -(1 << 63)
_RANGE = re.compile(rb"([+-]?\d+)?:([+-]?\d+)?|([+-]?\d+)")
_VERSION = re.compile(r"(\d+)(?:\.(\d+))?")
OPERATORS = ("eq", "ge", "gt", "le", "lt")


def integer_range(text: bytes) -> Range:
    """`N`, `LOW:HIGH`, `LOW:` or `:HIGH`. Raises Refused."""
    found = _RANGE.fullmatch(text)
    if found is None or text == b":":
        raise Refused(f"'{text.decode('latin-1')}' is not a number")
    low, high, single = found.groups()
    if single is not None:
        return saturated(single.decode()), saturated(single.decode())
    bottom = saturated(low.decode()) if low else _LEAST
    top = saturated(high.decode()) if high else _MOST
    if bottom > top:
        raise Refused(f"the range '{text.decode('latin-1')}' is empty: its lower end comes first")
    return bottom, top


def version_range(text: bytes) -> Range:
    """The same of versions as `3` or `3.1`, each being major * 65536 + minor. Raises Refused."""
    low, colon, high = text.decode("latin-1").partition(":")
    bottom = _version(low) if low else 0
    top = (_version(high) if high else _MOST) if colon else bottom
    if bottom > top or not (low or high):
        raise Refused(f"'{text.decode('latin-1')}' is no version such as 3.1, nor a range of them such as 3:3.1")
    return bottom, top


def _version(text: str) -> int:
    found = _VERSION.fullmatch(text)
    if found is None or saturated(found[2] or "0") > 65535:
        raise Refused(f"'{text}' is not a version such as 3.1")
    return saturated(found[1]) << 16 | int(found[2] or 0)


def fold_operators(words: tuple[str, ...], versions: bool = False) -> tuple[str, ...]:
    """The patterns of an integer ACL with its operators made into ranges: `gt 5 9` is `6: 10:`. Raises Refused.

    An operator in front of a range has no meaning, as in HAProxy.
    """
    made: list[str] = []
    operator = "eq"
    for word in words:
        if word in OPERATORS:
            operator = word
        elif ":" in word or operator == "eq":
            made.append(word)
        else:
            step = {"gt": 1, "lt": -1}.get(operator, 0)
            if versions:
                number = _version(word) + step
                text = f"{number >> 16}.{number & 0xFFFF}"
            else:
                text = str(integer_range(word.encode("latin-1"))[0] + step)
            made.append(f"{text}:" if operator[0] == "g" else f":{text}")
    return tuple(made)


Network = tuple[int, int, int]
"""Bytes of the address (4 or 16), the address with the mask applied, and the mask."""
Lookup = Callable[[str], bytes]
"""Gives the IPv4 address of a host name. Raises Refused."""

_QUAD = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")


def _ipv4(text: str) -> int | None:
    found = _QUAD.fullmatch(text)
    if found is None:
        return None
    a, b, c, d = (int(part) for part in found.groups())
    return a << 24 | b << 16 | c << 8 | d if max(a, b, c, d) < 256 else None


def network(text: bytes, lookup: Lookup) -> Network:
    """`ADDRESS[/MASK]`; of IPv4 the mask may be an address as well, and the address a name. Raises Refused."""
    spelled = text.decode("latin-1")
    host, slash, mask = spelled.partition("/")
    if ":" in host:
        try:
            address, bits = int(IPv6Address(host)), saturated(mask) if slash else 128
        except ValueError:
            raise Refused(_wrong(spelled)) from None
        if "%" in host or not 0 <= bits <= 128:
            raise Refused(_wrong(spelled))
        ones = (1 << 128) - (1 << 128 - bits)
        return 16, address & ones, ones
    found = _ipv4(host)
    if found is None:
        if not host:
            raise Refused(_wrong(spelled))
        try:
            found = int.from_bytes(lookup(host), "big")
        except Refused:
            raise Refused(_wrong(spelled)) from None
    ones = 0xFFFFFFFF
    if slash:
        if mask.isdecimal() and saturated(mask) <= 32:
            ones = (1 << 32) - (1 << 32 - int(mask))
        else:
            spelled_mask = _ipv4(mask)
            if spelled_mask is None:
                raise Refused(_wrong(spelled))
            ones = spelled_mask
    return 4, found & ones, ones


def is_name(text: bytes) -> bool:
    """Whether the address of a pattern has to be looked up."""
    host = text.decode("latin-1").partition("/")[0]
    return ":" not in host and _ipv4(host) is None


def _wrong(text: str) -> str:
    return f"'{text}' is not a valid IPv4 or IPv6 address"


def hexadecimal(text: bytes) -> bytes:
    """An even number of hexadecimal digits, as the bytes they mean. Raises Refused."""
    try:
        return bytes.fromhex(text.decode("latin-1") if b" " not in text else "x")
    except ValueError:
        raise Refused(f"'{text.decode('latin-1')}' is not an even number of hexadecimal digits") from None
