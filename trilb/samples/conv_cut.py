"""Converters that take parts out of texts, and replace in them (configuration.txt, section 7.3.1)."""

from __future__ import annotations

import re

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.live.stream import Stream
from trilb.samples.casts import any_int
from trilb.samples.regex import Regex, expand
from trilb.samples.types import Convert, StreamConvert, Value, as_bytes, converter
from trilb.samples.variables import Variable

_PIECE = (Arg("index", Kind.INT), Arg("delimiters"), optional("count", Kind.INT, 1))
Span = tuple[int, int]


def _spans(text: bytes, delimiter: re.Pattern[bytes]) -> list[Span]:
    begins = [0]
    ends = []
    for found in delimiter.finditer(text):
        ends.append(found.start())
        begins.append(found.end())
    ends.append(len(text))
    return list(zip(begins, ends, strict=True))


def _checked(index: int, delimiters: str) -> bytes:
    if index == 0:
        raise Refused("the index counts from 1, or from -1 at the end; it cannot be 0")
    if not delimiters:
        raise Refused("the delimiters are missing")
    return re.escape(delimiters.encode("latin-1"))


def _pick(text: bytes, spans: list[Span], index: int, count: int) -> bytes | None:
    """`count` pieces (all when not positive) with what stands between them; None when there are not that many.

    One that reaches beyond the last piece takes the rest of the text.
    """
    if index > 0:
        if index > len(spans):
            return None
        last = index - 2 + count
        return text[spans[index - 1][0] : spans[last][1] if count > 0 and last < len(spans) else len(text)]
    at = len(spans) + index
    if at < 0:
        return None
    first = at + 1 - count
    return text[spans[first][0] if count > 0 and first >= 0 else 0 : spans[at][1]]


@converter("field", args=_PIECE, takes="str", gives="str", source="7.3.1")
def field(index: int, delimiters: str, count: int) -> Convert:
    """The fields from an index on, which may be empty."""
    delimiter = re.compile(b"[" + _checked(index, delimiters) + b"]")

    def run(value: Value) -> bytes | None:
        text = as_bytes(value)
        return _pick(text, _spans(text, delimiter), index, count)

    return run


@converter("word", args=_PIECE, takes="str", gives="str", source="7.3.1")
def word(index: int, delimiters: str, count: int) -> Convert:
    """The words from an index on; delimiters in a row count as one."""
    words = re.compile(b"[^" + _checked(index, delimiters) + b"]+")

    def run(value: Value) -> bytes | None:
        text = as_bytes(value)
        return _pick(text, [found.span() for found in words.finditer(text)], index, count)

    return run


_BYTES = (Arg("offset", Kind.INT_OR_VAR), optional("length", Kind.INT_OR_VAR))


@converter("bytes", args=_BYTES, takes="bin", gives="bin", stream=True, source="7.3.1")
def cut_bytes(offset: int | Variable, length: int | Variable | None) -> StreamConvert:
    """Some bytes from an offset on; empty when there are none."""
    if isinstance(offset, int) and offset < 0:
        raise Refused(f"the offset cannot be negative: {offset}")
    if isinstance(length, int) and length <= 0:
        raise Refused(f"the length must be positive: {length}")

    def number(source: int | Variable | None, stream: Stream) -> int | None:
        if not isinstance(source, Variable):
            return source
        found = source.get(stream)
        return any_int(found) if found is not None else None

    def run(value: Value, stream: Stream) -> bytes | None:
        data = as_bytes(value)
        begin, most = number(offset, stream), number(length, stream)
        if begin is None or (most is None and length is not None):
            return None
        if begin < 0 or (most is not None and most < 0):
            return b""
        return data[begin:] if most is None else data[begin : begin + most]

    return run


@converter("param", args=(Arg("name"), optional("delimiter", default="&")), takes="str", gives="str", source="7.3.1")
def param(name: str, delimiter: str) -> Convert:
    """The value of a parameter in a query string; empty without a '='."""
    delimiter = delimiter or "&"
    if re.fullmatch(r"0[xX][0-9A-Fa-f]{2}", delimiter):
        delimiter = chr(int(delimiter, 16))
    if len(delimiter) != 1:
        raise Refused(f"the delimiter is one character or its code as 0xHH, not '{delimiter}'")
    wanted, cut = name.encode("latin-1"), delimiter.encode("latin-1")

    def run(value: Value) -> bytes | None:
        for part in as_bytes(value).split(cut):
            key, _, found = part.partition(b"=")
            if key == wanted:
                return found
        return None

    return run


@converter(
    "regsub",
    args=(Arg("regex"), Arg("replacement"), optional("flags", default="")),
    takes="str",
    gives="str",
    source="7.3.1",
)
def regsub(regex: str, replacement: str, flags: str) -> Convert:
    """The text with what an expression matches replaced, once or (flag g) everywhere."""
    if set(flags) - set("ig"):
        raise Refused(f"unknown flags '{flags}'; known are 'i' (ignore case) and 'g' (replace all)")
    if not regex:
        raise Refused("the regular expression is empty")
    pattern, template, everywhere = Regex(regex, "i" in flags), replacement.encode("latin-1"), "g" in flags

    def run(value: Value) -> bytes:
        text = as_bytes(value)
        out: list[bytes] = []
        at = 0
        while True:
            found = pattern.find(text, at)
            if found is None:
                break
            begin, end = found.span()
            out += (text[at:begin], expand(template, found))
            done = at >= len(text)
            if begin == end and end < len(text) and everywhere:
                out.append(text[end : end + 1])
                end += 1
            at = end
            if done or not everywhere:
                break
        out.append(text[at:])
        return b"".join(out)

    return run
