"""Actions on header fields: set, add, del, replace (configuration.txt, section 4.4)."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.config.expressions import Scope, parse_format
from trilb.config.terms import Format, Literal
from trilb.http.head import Head
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import HTTP, REQUEST, Builder, action
from trilb.rules.rewrite import clean, guarded
from trilb.samples.regex import Regex, expand

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_METHODS = ("str", "beg", "end", "sub", "reg")


def header_name(text: str) -> bytes:
    """A header's name in lower case. Raises Refused."""
    if not _NAME.match(text):
        raise Refused(f"'{text}' is not a header name")
    return text.lower().encode()


def _parse_pair(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 2:
        raise Refused("expects exactly 2 arguments: <name> <format>")
    return header_name(words[0]), parse_format(words[1], scope)


def _parse_del(words: list[str], scope: Scope) -> tuple[object, ...]:
    method = "str"
    if len(words) == 3 and words[1] == "-m":
        method = words[2]
        words = words[:1]
    if len(words) != 1 or method not in _METHODS:
        raise Refused("expects <name> [ -m { str | beg | end | sub | reg } ]")
    return words[0].lower() if method != "reg" else words[0], method


def _parse_replace(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 3:
        raise Refused("expects exactly 3 arguments: <name> <match-regex> <replace-format>")
    return header_name(words[0]), Regex(words[1]), parse_format(words[2], scope)


def head_of(builder: Builder) -> Callable[[Stream], Head]:
    """The head that actions of this rule set edit."""

    def request(stream: Stream) -> Head:
        assert stream.request is not None
        return stream.request

    def response(stream: Stream) -> Head:
        assert stream.response is not None
        return stream.response

    return request if builder.family == REQUEST else response


_AUTHORITY = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*://)[^/?]*")


def _set_host(write: Callable[[Stream], bytes]) -> Step:
    """A new host also moves the authority of an absolute target, or the two would differ."""

    def act(stream: Stream) -> None:
        head = stream.request
        assert head is not None
        value = clean(write(stream))
        head.set(b"host", value)
        if not head.target.startswith(b"/"):
            head.target = _AUTHORITY.sub(lambda match: match[1] + value, head.target, count=1)

    return act


def _matcher(pattern: str, method: str) -> Callable[[bytes], bool]:
    text = pattern.encode("latin-1")
    if method == "reg":
        return Regex(pattern, ignore_case=True).search
    tests: dict[str, Callable[[bytes], bool]] = {
        "str": lambda name: name == text,
        "beg": lambda name: name.startswith(text),
        "end": lambda name: name.endswith(text),
        "sub": lambda name: text in name,
    }
    return tests[method]


@action("set-header", on=HTTP, source="4.4", parse=_parse_pair)
def set_header(name: bytes, text: Format, builder: Builder) -> Step:
    """Replace every field of that name by one at the end."""
    write, head = builder.writer(text), head_of(builder)
    if name == b"host" and builder.family == REQUEST:
        return _set_host(write)

    def act(stream: Stream) -> None:
        head(stream).set(name, clean(write(stream)))

    return guarded(act, builder)


@action("add-header", on=HTTP, source="4.4", parse=_parse_pair)
def add_header(name: bytes, text: Format, builder: Builder) -> Step:
    """Append a field."""
    write, head = builder.writer(text), head_of(builder)

    def act(stream: Stream) -> None:
        head(stream).fields.append((name, clean(write(stream))))

    if all(isinstance(item, Literal) for item in text):
        field = (name, "".join(item.text for item in text if isinstance(item, Literal)).encode("latin-1"))

        def act_fixed(stream: Stream) -> None:
            head(stream).fields.append(field)

        return guarded(act_fixed, builder)
    return guarded(act, builder)


@action("del-header", on=HTTP, source="4.4", parse=_parse_del)
def del_header(name: str, method: str, builder: Builder) -> Step:
    """Remove the fields whose name matches."""
    matches, head = _matcher(name, method), head_of(builder)

    def act(stream: Stream) -> None:
        found = head(stream)
        found.fields = [field for field in found.fields if not matches(field[0])]

    return act


@action("replace-header", on=HTTP, source="4.4", parse=_parse_replace)
def replace_header(name: bytes, regex: Regex, text: Format, builder: Builder) -> Step:
    """Rewrite the whole value of each field of that name that matches; the new value may refer to groups."""
    write, head = builder.writer(text), head_of(builder)

    def act(stream: Stream) -> None:
        found, template = head(stream), None
        for at, (key, value) in enumerate(found.fields):
            if key == name:
                match = regex.find(value)
                if match is not None:
                    template = write(stream) if template is None else template
                    found.fields[at] = (key, clean(expand(template, match)))

    return guarded(act, builder)


@action("replace-value", on=HTTP, source="4.4", parse=_parse_replace)
def replace_value(name: bytes, regex: Regex, text: Format, builder: Builder) -> Step:
    """Rewrite each matching item of a comma-separated field of that name."""
    write, head = builder.writer(text), head_of(builder)

    def act(stream: Stream) -> None:
        found, template = head(stream), b""
        for at, (key, value) in enumerate(found.fields):
            if key != name:
                continue
            pieces: list[bytes] = []
            changed = False
            for before, item, after in _items(value):
                match = regex.find(item)
                if match is not None:
                    template = template or write(stream)
                    # Observed: blanks in front of a rewritten item go with it.
                    before, item, changed = b"", clean(expand(template, match)), True
                pieces += (before, item, after)
            if changed:
                found.fields[at] = (key, b"".join(pieces))

    return guarded(act, builder)


_ITEM = re.compile(rb'([ \t]*)((?:"(?:[^"\\]|\\.)*"|[^,"])*?)([ \t]*(?:,|\Z))', re.DOTALL)


def _items(value: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """The items of a list field, each with the blanks before it and what ends it."""
    items: list[tuple[bytes, bytes, bytes]] = []
    at = 0
    while at < len(value):
        match = _ITEM.match(value, at)
        if match is None:
            items.append((b"", value[at:], b""))
            break
        items.append((match[1], match[2], match[3]))
        at = match.end()
    return items
