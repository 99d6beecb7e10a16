"""Converters that change or compare texts (configuration.txt, section 7.3.1)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.live.stream import Stream
from trilb.samples.casts import any_text
from trilb.samples.types import Convert, StreamConvert, Value, as_bytes, converter
from trilb.samples.variables import Variable


@converter("lower", takes="str", gives="str", source="7.3.1")
def lower() -> Convert:
    """To lower case."""
    return lambda value: as_bytes(value).lower()


@converter("upper", takes="str", gives="str", source="7.3.1")
def upper() -> Convert:
    """To upper case."""
    return lambda value: as_bytes(value).upper()


@converter("length", takes="str", gives="sint", source="7.3.1")
def length() -> Convert:
    """How many bytes the text has."""
    return lambda value: len(as_bytes(value))


@converter("ltrim", args=(optional("chars", default=""),), takes="str", gives="str", source="7.3.1")
def ltrim(chars: str) -> Convert:
    """Without the given characters at the begin."""
    skipped = chars.encode("latin-1")
    return lambda value: as_bytes(value).lstrip(skipped)


@converter("rtrim", args=(optional("chars", default=""),), takes="str", gives="str", source="7.3.1")
def rtrim(chars: str) -> Convert:
    """Without the given characters at the end."""
    skipped = chars.encode("latin-1")
    return lambda value: as_bytes(value).rstrip(skipped)


@converter("cut_crlf", takes="str", gives="str", source="7.3.1")
def cut_crlf() -> Convert:
    """What stands before the first carriage return or line feed."""
    return lambda value: as_bytes(value).partition(b"\n")[0].partition(b"\r")[0]


@converter("reverse", takes="str", gives="str", source="7.3.1")
def reverse() -> Convert:
    """The bytes in opposite order."""
    return lambda value: as_bytes(value)[::-1]


@converter("reverse_dom", takes="str", gives="str", source="7.3.1")
def reverse_dom() -> Convert:
    """The labels of a domain name in opposite order; nothing when one is empty."""

    def run(value: Value) -> bytes | None:
        labels = as_bytes(value).removesuffix(b".").split(b".")
        return b".".join(reversed(labels)) if all(labels) else None

    return run


_PARTS = (optional("start", default=""), optional("variable", Kind.VAR), optional("end", default=""))


@converter("concat", args=_PARTS, takes="str", gives="str", stream=True, source="7.3.1")
def concat(start: str, variable: Variable | None, end: str) -> StreamConvert:
    """With a text, a variable's value and another text behind."""
    before, after = start.encode("latin-1"), end.encode("latin-1")
    if variable is None:
        both = before + after
        return lambda value, stream: as_bytes(value) + both

    def run(value: Value, stream: Stream) -> bytes:
        found = variable.get(stream)
        return as_bytes(value) + before + (any_text(found) or b"" if found is not None else b"") + after

    return run


_ITEM = (Arg("delimiter"), optional("variable", Kind.VAR), optional("suffix", default=""))


@converter("add_item", args=_ITEM, takes="str", gives="str", stream=True, source="7.3.1")
def add_item(delimiter: str, variable: Variable | None, suffix: str) -> StreamConvert:
    """With a variable's value and a suffix behind, delimited when there is something on both sides."""
    if variable is None and not suffix:
        raise Refused("a variable or a suffix is needed besides the delimiter")
    between, after = delimiter.encode("latin-1"), suffix.encode("latin-1")

    def run(value: Value, stream: Stream) -> bytes:
        found = variable.get(stream) if variable is not None else None
        item = (any_text(found) or b"" if found is not None else b"") + after
        text = as_bytes(value)
        return text + between + item if text and item else text + item

    return run


@converter("strcmp", args=(Arg("variable", Kind.VAR),), takes="str", gives="sint", stream=True, source="7.3.1")
def strcmp(variable: Variable) -> StreamConvert:
    """Compare with a variable: 0 when equal, negative when smaller, positive when greater."""

    def run(value: Value, stream: Stream) -> int | None:
        found = variable.get(stream)
        other = any_text(found) if found is not None else None
        if other is None:
            return None
        text = as_bytes(value)
        for one, two in zip(text, other, strict=False):
            if one != two:
                return one - two
        return (len(text) > len(other)) - (len(text) < len(other))

    return run


@converter("iif", args=(Arg("true"), Arg("false")), takes="bool", gives="str", source="7.3.1")
def iif(true: str, false: str) -> Convert:
    """One text when true, the other when false."""
    yes, no = true.encode("latin-1"), false.encode("latin-1")
    return lambda value: yes if value else no
