"""Converters for JSON (configuration.txt, section 7.3.1).

`json_query` walks the text only as far as its path needs: what stands behind the value found is never looked at,
and a text that is no JSON up to there gives nothing.
"""

from __future__ import annotations

import re

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, optional
from trilb.samples.casts import to_int
from trilb.samples.types import Convert, Value, as_bytes, converter

_SHORT = {0x22: b'\\"', 0x5C: b"\\\\", 0x2F: b"\\/", 8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r"}


def _escape(code: int) -> bytes:
    return _SHORT.get(code) or (b"%c" % code if 0x20 <= code < 0x7F else b"\\u%04x" % code)


_TABLE = [_escape(code) for code in range(256)]
_LEADS = ((0xC0, 0xE0, 2), (0xE0, 0xF0, 3), (0xF0, 0xF8, 4), (0xF8, 0xFC, 5), (0xFC, 0xFE, 6))
_LEAST = {2: 0x80, 3: 0x800, 4: 0x10000, 5: 0x200000, 6: 0x4000000}
"""The smallest code that needs so many bytes; UTF-8 of up to six, as it once was."""


def _character(text: bytes, at: int, permissive: bool) -> tuple[int | None, int]:
    """The code at a place (None for a faulty one) and where the next begins."""
    lead = text[at]
    if lead < 0x80:
        return lead, at + 1
    size = next((size for low, high, size in _LEADS if low <= lead < high), 0)
    if not size:
        return None, at + 1
    code, end = lead & (0x7F >> size), at + 1
    while end < at + size:
        if end >= len(text) or text[end] & 0xC0 != 0x80:
            return None, end
        code = code << 6 | text[end] & 0x3F
        end += 1
    if (code < _LEAST[size] and not permissive) or 0xD800 <= code <= 0xDFFF or code >= 0xFFFE:
        return None, end
    return code, end


@converter("json", args=(optional("code", default="ascii"),), takes="str", gives="str", source="7.3.1")
def json(code: str) -> Convert:
    """Escape for a JSON string, with what is not ASCII as its code."""
    if code not in ("", "ascii", "utf8", "utf8s", "utf8p", "utf8ps"):
        raise Refused(f"unknown input code '{code}'; known are ascii, utf8, utf8s, utf8p and utf8ps")
    if code in ("", "ascii"):
        return lambda value: b"".join([_TABLE[c] for c in as_bytes(value)])
    silent, permissive = code.endswith("s"), "p" in code

    def run(value: Value) -> bytes | None:
        text, out, at = as_bytes(value), [], 0
        if text.isascii():
            return b"".join([_TABLE[c] for c in text])
        while at < len(text):
            found, at = _character(text, at, permissive)
            if found is not None:
                out.append(_escape(found))
            elif not silent:
                return None
        return b"".join(out)

    return run


_BLANK = rb"[ \t\r\n]*+"
_STRING = re.compile(_BLANK + rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_NUMBER = re.compile(rb"(-?[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_TOKEN = re.compile(
    _BLANK + rb'(?:"(?:[^"\\]++|\\.)*+"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|([{}\[\],:]))',
    re.DOTALL,
)
_SPACE = re.compile(_BLANK)
_ESCAPED = re.compile(rb'\\(?:([bfnrt"\\/])|u00([0-9A-Fa-f]{2})|)', re.DOTALL)
_MEANS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b'"': b'"', b"\\": b"\\", b"/": b"/"}
_STEP = re.compile(r"\.((?:[^.\[\\]|\\.)+)|\[([0-9]{1,9})\]", re.DOTALL)
_EXACT = 1 << 53
"""Integers from here on are no numbers every JSON reader agrees about."""


class _NoJson(Exception):
    """The text is no JSON, as far as it was looked at."""


def _blank(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _skip(text: bytes, at: int) -> int:
    """Where the value that begins at a place ends. Brackets are counted, commas within them not looked at."""
    depth = 0
    while True:
        found = _TOKEN.match(text, at)
        if found is None:
            raise _NoJson
        at, mark = found.end(), found[1]
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
        if depth < 0 or (depth == 0 and mark in (b",", b":")):
            raise _NoJson
        if depth == 0:
            return at


def _next(text: bytes, at: int, closing: bytes) -> int | None:
    """Where the next member begins, None at the closing bracket."""
    at = _blank(text, at)
    if text.startswith(closing, at):
        return None
    if not text.startswith(b",", at):
        raise _NoJson
    return at + 1


def _step(text: bytes, at: int, wanted: bytes | int) -> int | None:
    """Where the value of an object's key or an array's element begins."""
    opening, closing = (b"[", b"]") if isinstance(wanted, int) else (b"{", b"}")
    at = _blank(text, at)
    if not text.startswith(opening, at) or text.startswith(closing, _blank(text, at + 1)):
        return None
    place: int | None = at + 1
    index = 0
    while place is not None:
        key: bytes | int = index
        if not isinstance(wanted, int):
            found = _STRING.match(text, place)
            if found is None:
                raise _NoJson
            key, place = found[1], _blank(text, found.end())
            if not text.startswith(b":", place):
                raise _NoJson
            place += 1
        if key == wanted:
            return _blank(text, place)
        index += 1
        place = _next(text, _skip(text, place), closing)
    return None


def _string(raw: bytes) -> bytes | None:
    """A string's content; codes beyond U+00FF are more than a byte and give nothing."""
    if b"\\" not in raw:
        return raw
    out: list[bytes] = []
    at = 0
    for found in _ESCAPED.finditer(raw):
        letter, code = found.groups()
        if letter is None and code is None:
            return None
        out += (raw[at : found.start()], _MEANS[letter] if letter is not None else bytes([int(code, 16)]))
        at = found.end()
    return b"".join([*out, raw[at:]])


def _value(text: bytes, at: int, integer: bool) -> Value | None:
    if text.startswith(b"[", at):
        return text[at : _skip(text, at)]
    string = _STRING.match(text, at)
    if string is not None:
        return _string(string[1])
    if text.startswith((b"true", b"false"), at):
        return text.startswith(b"true", at)
    number = _NUMBER.match(text, at)
    if number is None:
        return None
    if not integer:
        return b"%g" % float(number[0])
    whole = to_int(number[1])
    return whole if whole is not None and -_EXACT < whole < _EXACT else None


def _path(path: str) -> list[bytes | int] | None:
    steps: list[bytes | int] = []
    at = 1
    while path.startswith("$") and at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            return None
        key = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else None
        steps.append(int(found[2]) if key is None else key.encode("latin-1"))
        at = found.end()
    return steps if path.startswith("$") else None


@converter("json_query", args=(Arg("path"), optional("type", default="")), takes="str", gives="any", source="7.3.1")
def json_query(path: str, type: str) -> Convert:
    """The string, number, truth or array at a path such as '$.a.b[2]'."""
    if not path:
        raise Refused("the path is empty; it begins with '$'")
    if type not in ("", "int"):
        raise Refused(f"unknown output type '{type}'; the only one is 'int'")
    steps, integer = _path(path), type == "int"
    if steps is None:
        # As in HAProxy a path nobody understands is one nothing is found at.
        return lambda value: None
    fixed = tuple(steps)

    def run(value: Value) -> Value | None:
        text = as_bytes(value)
        try:
            at: int | None = _blank(text, 0)
            for wanted in fixed:
                at = _step(text, at or 0, wanted)
                if at is None:
                    return None
            return _value(text, at or 0, integer)
        except _NoJson:
            return None

    return run
