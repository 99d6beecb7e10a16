"""Actions on header fields: set-header, add-header, del-header (configuration.txt, section 4.4)."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.registry import Registry
from trilb.config.expressions import Scope, parse_format
from trilb.config.model import Format, Literal
from trilb.http.head import Head
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import Builder, http_request, http_response

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


def _parse_pair(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 2:
        raise Refused("expects exactly 2 arguments: <name> <format>")
    if not _NAME.match(words[0]):
        raise Refused(f"'{words[0]}' is not a header name")
    return words[0].lower().encode(), parse_format(words[1], scope)


def _parse_del(words: list[str], scope: Scope) -> tuple[object, ...]:
    method = "str"
    if len(words) == 3 and words[1] == "-m":
        method = words[2]
        words = words[:1]
    if len(words) != 1 or method not in ("str", "beg", "end", "sub", "reg"):
        raise Refused("expects <name> [ -m { str | beg | end | sub | reg } ]")
    return words[0].lower() if method != "reg" else words[0], method


def _request(stream: Stream) -> Head:
    assert stream.request is not None
    return stream.request


def _response(stream: Stream) -> Head:
    assert stream.response is not None
    return stream.response


def _clean(value: bytes) -> bytes:
    """A computed value may hold what a client sent: line ends and NUL must not reach the wire."""
    if b"\r" in value or b"\n" in value or b"\0" in value:
        return re.sub(rb"[\r\n\0]+", b" ", value)
    return value


def _set_host(write: Callable[[Stream], bytes]) -> Step:
    """A new host also moves the authority of an absolute target, or the two would differ."""
    authority = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*://)[^/?]*")

    def act(stream: Stream) -> None:
        head = _request(stream)
        value = _clean(write(stream))
        head.set(b"host", value)
        if not head.target.startswith(b"/"):
            head.target = authority.sub(lambda match: match[1] + value, head.target, count=1)

    return act


def _matcher(pattern: str, method: str) -> Callable[[bytes], bool]:
    text = pattern.encode("latin-1")
    if method == "reg":
        try:
            found = re.compile(text, re.IGNORECASE).search
        except re.error as error:
            raise Refused(f"regular expression '{pattern}' is invalid: {error.msg}") from None
        return lambda name: found(name) is not None
    tests: dict[str, Callable[[bytes], bool]] = {
        "str": lambda name: name == text,
        "beg": lambda name: name.startswith(text),
        "end": lambda name: name.endswith(text),
        "sub": lambda name: text in name,
    }
    return tests[method]


def _register(registry: Registry[Callable[..., Step]], head_of: Callable[[Stream], Head]) -> None:
    @registry.register("set-header", source="4.4", parse=_parse_pair)
    def set_header(name: bytes, text: Format, builder: Builder) -> Step:
        """Replace every field of that name by one at the end."""
        write = builder.writer(text)
        if name == b"host" and registry is http_request:
            return _set_host(write)

        def act(stream: Stream) -> None:
            head_of(stream).set(name, _clean(write(stream)))

        return act

    @registry.register("add-header", source="4.4", parse=_parse_pair)
    def add_header(name: bytes, text: Format, builder: Builder) -> Step:
        """Append a field."""
        if all(isinstance(item, Literal) for item in text):
            field = (name, "".join(item.text for item in text if isinstance(item, Literal)).encode("latin-1"))
        write = builder.writer(text)

        def act(stream: Stream) -> None:
            head_of(stream).fields.append((name, _clean(write(stream))))

        def act_fixed(stream: Stream) -> None:
            head_of(stream).fields.append(field)

        return act_fixed if all(isinstance(item, Literal) for item in text) else act

    @registry.register("del-header", source="4.4", parse=_parse_del)
    def del_header(name: str, method: str, builder: Builder) -> Step:
        """Remove the fields whose name matches."""
        matches = _matcher(name, method)

        def act(stream: Stream) -> None:
            head = head_of(stream)
            head.fields = [field for field in head.fields if not matches(field[0])]

        return act


_register(http_request, _request)
_register(http_response, _response)
