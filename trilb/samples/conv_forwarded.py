"""Converters for the `forwarded` header of RFC 7239 (configuration.txt, section 7.3.1).

The header is a list of elements, each of pairs with different names; a value is a token or quoted. What a pair may
hold is checked by name (RFC 7239, sections 4 to 6): an IPv6 address stands in brackets, and quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from trilb.base import ip
from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg
from trilb.samples.types import Addr, Convert, Value, as_bytes, converter

_PAIR = re.compile(
    rb"[ \t]*([A-Za-z]+)=(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|\"((?:[^\"\\]++|\\.)*+)\")[ \t]*(;|,|\Z)", re.DOTALL
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_OBFUSCATED = re.compile(rb"[A-Za-z0-9._-]+")
_NODE = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::[0-9]{0,5})?")
_NAMES = (b"proto", b"host", b"for", b"by")


def _address(name: bytes) -> Addr | None:
    bare = name[1:-1] if name[:1] == b"[" else name
    try:
        packed = ip.packed(bare.decode("latin-1"))
    except ValueError:
        return None
    return Addr(packed) if (len(packed) == 16) == (name[:1] == b"[") else None


def _node(text: bytes) -> tuple[Addr | bytes, int | bytes | None] | None:
    """The name and the port of a node, None when it is none."""
    found = _NODE.fullmatch(text)
    if found is None:
        return None
    name: Addr | bytes | None = _address(found[1])
    if name is None and (found[1] == b"unknown" or (found[1][:1] == b"_" and len(found[1]) > 1)):
        name = found[1]
    if name is None:
        return None
    port = found[2]
    if port is None or port[:1] == b"_":
        return name, port
    return (name, int(port)) if int(port) < 65536 else None


def _allowed(name: bytes, text: bytes) -> bool:
    if name == b"proto":
        return text.lower() in (b"http", b"https")
    if name == b"host":
        return _HOST.fullmatch(text) is not None
    return _node(text) is not None


def _pairs(text: bytes) -> Iterator[tuple[bytes, bytes] | None]:
    """The pairs in order, None where the header is faulty."""
    at, seen = 0, set[bytes]()
    while True:
        found = _PAIR.match(text, at)
        if found is None:
            yield None
            return
        name = found[1].lower()
        value = found[2] if found[2] is not None else _ESCAPED.sub(rb"\1", found[3])
        if name not in _NAMES or name in seen or not _allowed(name, value):
            yield None
            return
        yield name, value
        seen.add(name)
        if found[4] == b",":
            seen.clear()
        elif not found[4]:
            return
        at = found.end()


@converter("rfc7239_is_valid", takes="str", gives="bool", source="7.3.1")
def rfc7239_is_valid() -> Convert:
    """Whether a forwarded header is what RFC 7239 says."""
    return lambda value: all(pair is not None for pair in _pairs(as_bytes(value)))


@converter("rfc7239_field", args=(Arg("field"),), takes="str", gives="str", source="7.3.1")
def rfc7239_field(field: str) -> Convert:
    """One parameter of a forwarded header, without quotes."""
    wanted = field.encode("latin-1")
    if wanted not in _NAMES:
        raise Refused(f"unknown field '{field}'; known are proto, host, for and by")

    def run(value: Value) -> bytes | None:
        for pair in _pairs(as_bytes(value)):
            if pair is None:
                return None
            if pair[0] == wanted:
                return pair[1]
        return None

    return run


@converter("rfc7239_n2nn", takes="str", gives="any", source="7.3.1")
def rfc7239_n2nn() -> Convert:
    """A node's name: its address, 'unknown' or an obfuscated name."""

    def run(value: Value) -> Addr | bytes | None:
        found = _node(as_bytes(value))
        return found[0] if found is not None else None

    return run


@converter("rfc7239_n2np", takes="str", gives="any", source="7.3.1")
def rfc7239_n2np() -> Convert:
    """A node's port: a number or an obfuscated name."""

    def run(value: Value) -> int | bytes | None:
        found = _node(as_bytes(value))
        return found[1] if found is not None else None

    return run


@converter("rfc7239_nn", takes="any", gives="str", source="7.3.1")
def rfc7239_nn() -> Convert:
    """An address, or a text as an obfuscated name, as a node's name; 'unknown' when empty."""

    def run(value: Value) -> bytes | None:
        if isinstance(value, Addr):
            text = ip.text(value).encode()
            return b"[%b]" % text if len(value) == 16 else text
        if not isinstance(value, bytes):
            return None
        if not value:
            return b"unknown"
        return b"_" + value if _OBFUSCATED.fullmatch(value) else None

    return run


@converter("rfc7239_np", takes="any", gives="str", source="7.3.1")
def rfc7239_np() -> Convert:
    """A number, or a text as an obfuscated name, as a node's port."""

    def run(value: Value) -> bytes | None:
        if isinstance(value, int):
            return b"%d" % value if 0 <= value < 65536 else None
        return b"_" + value if not isinstance(value, Addr) and _OBFUSCATED.fullmatch(value) else None

    return run
