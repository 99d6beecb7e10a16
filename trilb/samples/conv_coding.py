"""Converters between texts and bytes: base64, hexadecimal, URL coding (configuration.txt, section 7.3.1)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from typing import Literal
from urllib.parse import quote_from_bytes

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.samples.types import Convert, Value, as_bytes, converter

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_URL_BACK = bytes.maketrans(b"-_+/", b"+/!!")
_HEX = re.compile(rb"[0-9A-Fa-f]*")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")


def decoded64(text: bytes) -> bytes | None:
    """What base64 stands for, None when it is none."""
    if len(text) % 4:
        return None
    try:
        return b64decode(text, validate=True)
    except (BadBase64, ValueError):
        return None


@converter("base64", takes="bin", gives="str", source="7.3.1")
def base64() -> Convert:
    """Bytes as base64."""
    return lambda value: b64encode(as_bytes(value))


@converter("b64dec", takes="str", gives="bin", source="7.3.1")
def b64dec() -> Convert:
    """Base64 as the bytes it stands for."""
    return lambda value: decoded64(as_bytes(value))


@converter("ub64enc", takes="bin", gives="str", source="7.3.1")
def ub64enc() -> Convert:
    """Bytes as base64url, without padding."""
    return lambda value: b64encode(as_bytes(value)).translate(_URL_SAFE).rstrip(b"=")


@converter("ub64dec", takes="str", gives="bin", source="7.3.1")
def ub64dec() -> Convert:
    """Base64url as the bytes it stands for."""

    def run(value: Value) -> bytes | None:
        text = as_bytes(value).rstrip(b"=").translate(_URL_BACK)
        return decoded64(text + b"=" * (-len(text) % 4))

    return run


@converter("hex", takes="bin", gives="str", source="7.3.1")
def hexadecimal() -> Convert:
    """Two hexadecimal digits per byte."""
    return lambda value: as_bytes(value).hex().upper().encode()


@converter("hex2i", takes="str", gives="sint", source="7.3.1")
def hex2i() -> Convert:
    """Hexadecimal digits as an integer."""

    def run(value: Value) -> int | None:
        text = as_bytes(value)
        if not _HEX.fullmatch(text):
            return None
        number = int(text[-16:] or b"0", 16)
        return number - (1 << 64) if number >> 63 else number

    return run


@converter("base2", takes="bin", gives="str", source="7.3.1")
def base2() -> Convert:
    """Eight binary digits per byte."""
    return lambda value: "".join([f"{c:08b}" for c in as_bytes(value)]).encode()


@converter("htonl", takes="sint", gives="bin", source="7.3.1")
def htonl() -> Convert:
    """An integer's lower 32 bits as four bytes, most significant first."""
    return lambda value: (int(value) & 0xFFFFFFFF).to_bytes(4, "big")


def _chunks(data: bytes, size: int, truncate: bool) -> list[bytes]:
    end = len(data) - len(data) % size if truncate else len(data)
    return [data[at : at + size] for at in range(0, end, size)]


def _decimal(separator: str, size: int, truncate: int, order: Literal["big", "little"]) -> Convert:
    if not 1 <= size <= 8:
        raise Refused(f"the chunk size lies between 1 and 8, not {size}")
    between, whole = separator.encode("latin-1"), _flag(truncate)
    return lambda value: between.join(
        [b"%d" % int.from_bytes(chunk, order) for chunk in _chunks(as_bytes(value), size, whole)]
    )


def _flag(truncate: int) -> bool:
    if truncate not in (0, 1):
        raise Refused(f"truncate is 0 or 1, not {truncate}")
    return bool(truncate)


_CHUNKED = (Arg("separator"), Arg("chunk_size", Kind.INT), optional("truncate", Kind.INT, 0))


@converter("be2dec", args=_CHUNKED, takes="bin", gives="str", source="7.3.1")
def be2dec(separator: str, size: int, truncate: int) -> Convert:
    """Chunks of bytes, the most significant first, as decimal numbers."""
    return _decimal(separator, size, truncate, "big")


@converter("le2dec", args=_CHUNKED, takes="bin", gives="str", source="7.3.1")
def le2dec(separator: str, size: int, truncate: int) -> Convert:
    """Chunks of bytes, the least significant first, as decimal numbers."""
    return _decimal(separator, size, truncate, "little")


_HEXED = (optional("separator", default=""), optional("chunk_size", Kind.INT), optional("truncate", Kind.INT, 0))


@converter("be2hex", args=_HEXED, takes="bin", gives="str", source="7.3.1")
def be2hex(separator: str, size: int | None, truncate: int) -> Convert:
    """Chunks of bytes as hexadecimal digits."""
    between, whole = separator.encode("latin-1"), _flag(truncate)
    if size is None:
        if separator or whole:
            raise Refused("a separator and truncate need a chunk size")
        return lambda value: as_bytes(value).hex().upper().encode()
    if size < 1:
        raise Refused(f"the chunk size must be positive, not {size}")
    return lambda value: between.join([chunk.hex().upper().encode() for chunk in _chunks(as_bytes(value), size, whole)])


def _unescape(text: bytes) -> bytes | None:
    if b"%" not in text:
        return text
    out: list[bytes] = []
    at = 0
    for found in _ESCAPE.finditer(text):
        if found[1] is None:
            return None
        out += (text[at : found.start()], bytes([int(found[1], 16)]))
        at = found.end()
    out.append(text[at:])
    return b"".join(out)


@converter("url_dec", args=(optional("in_form", Kind.INT, 0),), takes="str", gives="str", source="7.3.1")
def url_dec(in_form: int) -> Convert:
    """URL coding resolved; a '+' of the query string (or anywhere in a form) is a blank."""

    def run(value: Value) -> bytes | None:
        text = as_bytes(value)
        if in_form:
            return _unescape(text.replace(b"+", b" "))
        path, question, query = text.partition(b"?")
        return _unescape(path + question + query.replace(b"+", b" "))

    return run


@converter("url_enc", args=(optional("type", default="query"),), takes="bin", gives="str", source="7.3.1")
def url_enc(type: str) -> Convert:
    """Escape everything but letters, digits and '-._~' as URLs do."""
    if type not in ("", "query"):
        raise Refused(f"unknown type '{type}'; the only one is 'query'")
    return lambda value: quote_from_bytes(as_bytes(value), safe="").encode()


@converter("has_ctl", args=(optional("mask", default=""),), takes="bin", gives="bool", source="7.3.1")
def has_ctl(mask: str) -> Convert:
    """Whether there is one of the control characters a mask names."""
    named = {"": 0x1FFFFFDFF, "any": 0x1FFFFFFFF, "http": 0x2401}
    if mask in named:
        bits = named[mask]
    elif re.fullmatch(r"0[xX][0-9A-Fa-f]+|[0-9]+", mask):
        bits = int(mask, 16 if mask[1:2] in ("x", "X") else 10)
    else:
        raise Refused(f"'{mask}' is neither a mask nor 'any' nor 'http'")
    if bits > 0x1FFFFFFFF:
        raise Refused(f"mask '{mask}' has more than 33 bits")
    codes = [0x7F if bit == 32 else bit for bit in range(33) if bits >> bit & 1]
    if not codes:
        return lambda value: False
    wanted = re.compile(b"[" + b"".join(b"\\x%02x" % code for code in codes) + b"]")
    return lambda value: wanted.search(as_bytes(value)) is not None
