"""Log formats: `%variables` and `%[expressions]` compiled to one closure (configuration.txt, section 8.2.6).

Everything is bytes. Where a format stands decides how it is written (all observed):

    log     runs of blanks collapse to one; expressions appear as they are
    unique  the same: unique-id-format
    http    header values and bodies: blanks stay, missing is empty; control characters of expressions become `%0A`,
            which are never quoted
    plain   set-var-fmt: blanks stay, expressions are quoted when asked for

What is missing is `""` when quoted, `-` with the flag M, which logs begin with, else empty.
The encodings `json` and `cbor` of a whole format write its named items only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal as Choice
from typing import cast

from trilb.base import ip
from trilb.config.terms import Encoding, Format, Literal, Sample, Variable
from trilb.live.process import ProcessState
from trilb.live.stream import Stream
from trilb.samples import build, encode
from trilb.samples.casts import any_text, to_int
from trilb.samples.logtext import http_escape, structured_escape, until_nul
from trilb.samples.logvars import Reader, variables
from trilb.samples.types import Addr, Resolver, Value

Writer = Callable[[Stream], bytes]
Style = Choice["log", "unique", "http", "plain"]
_BLANKS = re.compile(rb" +")
_VANISH = frozenset(("hr", "hs", "hrl", "hsl"))


def compile_format(
    items: Format, resolver: Resolver, process: ProcessState, style: Style = "http", *, asap: bool = False
) -> Writer:
    """One closure for a whole format; with `asap` running figures carry a `+` (option logasap)."""
    if items and isinstance(items[0], Encoding):
        return _encoded(items[0], items[1:], resolver, process)
    merged = style in ("log", "unique")
    writers: list[Writer] = []
    for item in items:
        if isinstance(item, Literal):
            text = item.text.encode("latin-1")
            writers.append(_constant(_BLANKS.sub(b" ", text) if merged else text))
        elif isinstance(item, Sample):
            writers.append(_sample(item, resolver, process, style))
        elif isinstance(item, Variable):
            writers.append(_variable(item, process, style, asap))
    if len(writers) == 1:
        return writers[0]
    plain = tuple(writers)
    if not merged or not any(isinstance(item, Literal) and item.text[:1] == " " for item in items):
        return lambda stream: b"".join([write(stream) for write in plain])
    # Captures that are not there leave no place behind, everything else does.
    mixed = tuple(
        (isinstance(item, Literal), isinstance(item, Variable) and item.name in _VANISH, write)
        for item, write in zip(items, writers, strict=True)
    )

    def collapsed(stream: Stream) -> bytes:
        # Blanks around an empty variable collapse to one, as those of a literal do; none at the beginning.
        out, blank = [], True
        for fixed, vanishes, write in mixed:
            text = write(stream)
            if fixed and blank and text.startswith(b" "):
                text = text[1:]
            if text:
                out.append(text)
                blank = fixed and text.endswith(b" ")
            elif not fixed and not vanishes:
                blank = False
        return b"".join(out)

    return collapsed


def _constant(text: bytes) -> Writer:
    return lambda stream: text


# -- variables -----------------------------------------------------------------------------------------------------


def _variable(item: Variable, process: ProcessState, style: Style, asap: bool) -> Writer:
    entry = variables.entries[item.name]
    read = entry.factory(process)
    kind, flags = str(entry.facts["kind"]), item.flags
    encoding = _encoding_of(flags)
    if encoding:
        return _alone(encoding, _typed_variable(item, process), flags)
    quote, escape, hexadecimal = "Q" in flags, "E" in flags, "X" in flags
    missing = b'""' if quote else b"-" if "M" in flags else b""
    if kind == "list":
        return _list(read, quote, escape, missing)
    if asap and item.name == "U":
        # Nothing is counted yet when logasap writes its line (observed).
        return _constant(b"0")
    if kind == "sint":
        pattern = entry.facts.get("hex") if hexadecimal else None
        decimal = b"%03d" if item.name == "ms" else b"+%d" if asap and entry.facts.get("plus") else b"%d"
        form = cast(bytes, pattern or decimal)
        return lambda stream: form % read(stream)
    if kind == "fixed":
        return cast(Writer, read)
    if kind == "port":
        form = b"%04X" if hexadecimal else b"%d"

        def port(stream: Stream) -> bytes:
            value = read(stream)
            return missing if value is None else form % value

        return port
    if kind == "addr":

        def address(stream: Stream) -> bytes:
            value = read(stream)
            if value is None:
                return missing
            assert isinstance(value, bytes)
            if hexadecimal:
                return value.hex().upper().encode()
            text = ip.text(value).encode()
            return b'"%b"' % text if quote else text

        return address
    vanishes = item.name in _VANISH

    def text(stream: Stream) -> bytes:
        value = read(stream)
        if value is None or (vanishes and not value):
            return b"" if vanishes else missing
        assert isinstance(value, bytes)
        if escape:
            value = structured_escape(value)
        return b'"%b"' % value if quote else value

    return text


def _list(read: Reader, quote: bool, escape: bool, missing: bytes) -> Writer:
    def write(stream: Stream) -> bytes:
        values = read(stream)
        assert isinstance(values, list)
        words = []
        for value in values:
            if value is None:
                words.append(missing)
                continue
            if escape:
                value = structured_escape(value)
            words.append(b'"%b"' % value if quote else value)
        return b" ".join(words)

    return write


# -- expressions ---------------------------------------------------------------------------------------------------


def _sample(item: Sample, resolver: Resolver, process: ProcessState, style: Style) -> Writer:
    flags = item.flags
    encoding = _encoding_of(flags)
    if encoding:
        return _alone(encoding, _typed_sample(item, resolver), flags)
    run = build.text(item.expr, resolver)
    quote, escape = "Q" in flags and style != "http", "E" in flags
    missing = b'""' if quote else b"-" if "M" in flags and style != "http" else b""
    if "bin" in flags:
        return lambda stream: run(stream) or b""
    http = style == "http"

    def write(stream: Stream) -> bytes:
        value = run(stream)
        if value is None:
            return missing
        value = until_nul(value)
        if escape:
            value = structured_escape(value)
        if http:
            return http_escape(value)
        return b'"%b"' % value if quote else value

    return write


# -- encodings -----------------------------------------------------------------------------------------------------

Typed = Callable[[Stream], encode.Plain]


def _encoding_of(flags: frozenset[str]) -> str:
    return "cbor" if "cbor" in flags else "json" if "json" in flags else ""


def _forced(read: Typed, kind: str) -> Typed:
    """The value as the type that the item's name asks for."""
    if kind == "str":

        def text(stream: Stream) -> encode.Plain:
            value = read(stream)
            return value if value is None or isinstance(value, bytes) else any_text(value)

        return text
    if kind in ("sint", "bool"):

        def number(stream: Stream) -> encode.Plain:
            value = read(stream)
            found = None if value is None else to_int(value)
            return found if found is None or kind == "sint" else bool(found)

        return number
    return read


def _typed_variable(item: Variable, process: ProcessState) -> Typed:
    entry = variables.entries[item.name]
    read, kind = entry.factory(process), str(entry.facts["kind"])
    if "X" in item.flags and (kind in ("addr", "port") or entry.facts.get("hex")):
        plain = _variable(Variable(item.name, frozenset("X")), process, "plain", False)
        return _forced(lambda stream: plain(stream) or None, item.kind)
    if kind == "addr":

        def address(stream: Stream) -> encode.Plain:
            value = read(stream)
            return ip.text(value).encode() if isinstance(value, bytes) else None

        return _forced(address, item.kind)
    if kind == "list":
        return _forced(_list(read, False, False, b"-"), item.kind)
    # A number that may carry a `+` is one all the same.
    return _forced(cast(Typed, read), item.kind or ("sint" if item.name == "rc" else ""))


def _typed_sample(item: Sample, resolver: Resolver) -> Typed:
    run, gives = build.expression(item.expr, resolver), build.gives(item.expr)

    def typed(stream: Stream) -> encode.Plain:
        value: Value | None = run(stream)
        if isinstance(value, bytes) and (gives == "addr" or isinstance(value, Addr)):
            return ip.text(value).encode()
        return value

    return _forced(typed, item.kind)


def _encoder(encoding: str, flags: frozenset[str]) -> Callable[[encode.Plain], bytes]:
    if encoding == "json":
        return encode.json
    if "bin" in flags:
        return encode.cbor
    return lambda value: encode.cbor(value).hex().upper().encode()


def _alone(encoding: str, read: Typed, flags: frozenset[str]) -> Writer:
    """An item with an encoding of its own: its value, without a name."""
    make = _encoder(encoding, flags)
    return lambda stream: make(read(stream))


def _encoded(whole: Encoding, items: Format, resolver: Resolver, process: ProcessState) -> Writer:
    """A format that is one object: each named item is a member."""
    members: list[tuple[bytes, Typed]] = []
    for item in items:
        if isinstance(item, (Variable, Sample)) and item.label:
            read = _typed_variable(item, process) if isinstance(item, Variable) else _typed_sample(item, resolver)
            members.append((item.label.encode("latin-1"), read))
    fixed = tuple(members)
    if whole.name == "json":
        named = tuple((encode.json(name) + b": ", read) for name, read in fixed)
        make = encode.json
        return lambda stream: b"{%b}" % b", ".join([name + make(read(stream)) for name, read in named])
    begin = encode.cbor_map(len(fixed))
    keyed = tuple((encode.cbor(name), read) for name, read in fixed)

    def packed(stream: Stream) -> bytes:
        return begin + b"".join([name + encode.cbor(read(stream)) for name, read in keyed])

    if whole.binary:
        return packed
    return lambda stream: packed(stream).hex().upper().encode()
