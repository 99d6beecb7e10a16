"""Fetches about cookies (configuration.txt, section 7.3.6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trilb.base.registry import optional
from trilb.http.cookies import scan
from trilb.live.stream import Stream
from trilb.samples.types import Every, Fetch, fetch

_Named = Callable[[Stream], list[tuple[bytes, bytes]]]


def _sent(stream: Stream) -> list[tuple[bytes, bytes]]:
    """Names and values of a request's cookies, in order."""
    if stream.request is None:
        return []
    return [
        (header[c.name_start : c.name_end], header[c.value_start : c.value_end])
        for header in stream.request.all(b"cookie")
        for c in scan(header)
        if c.equal >= 0
    ]


def _given(stream: Stream) -> list[tuple[bytes, bytes]]:
    """Names and values of the cookies a response sets: the first of each Set-Cookie, attributes aside."""
    if stream.response is None:
        return []
    found: list[tuple[bytes, bytes]] = []
    for header in stream.response.all(b"set-cookie"):
        c = next(scan(header), None)
        if c is not None and c.equal >= 0:
            found.append((header[c.name_start : c.name_end], header[c.value_start : c.value_end]))
    return found


def _values(source: _Named, name: str) -> Callable[[Stream], list[bytes]]:
    key = name.encode("latin-1")
    return lambda stream: [value for found, value in source(stream) if not key or found == key]


def _family(source: _Named, prefix: str, short: str, at: str) -> None:
    whose = "request" if prefix == "req" else "response"

    def every(name: str) -> Every:
        return _values(source, name)

    def cook(name: str) -> Fetch:
        values = _values(source, name)
        # A name means its last cookie, no name the first of all.
        index = -1 if name else 0

        def run(stream: Stream) -> bytes | None:
            found = values(stream)
            return found[index] if found else None

        return run

    def cook_cnt(name: str) -> Fetch:
        values = _values(source, name)
        return lambda stream: len(values(stream))

    def cook_val(name: str) -> Fetch:
        one = cook(name)

        def run(stream: Stream) -> int | None:
            value = one(stream)
            if not isinstance(value, bytes):
                return None
            match = re.match(rb"-?[0-9]+", value)
            return int(match[0]) if match is not None else 0

        return run

    def cook_names(delimiter: str) -> Fetch:
        cut = (delimiter or ",").encode("latin-1")[:1]
        return lambda stream: cut.join(dict.fromkeys(name for name, _ in source(stream)))

    cook.__doc__ = f"The value of a cookie of the {whose}."
    cook_cnt.__doc__ = f"How often a cookie occurs in the {whose}."
    cook_val.__doc__ = f"The value of a cookie of the {whose} as an integer."
    cook_names.__doc__ = f"The names of the {whose}'s cookies, each once, joined by a delimiter."
    args = (optional("name", default=""),)
    facts: dict[str, Any] = {"at": at, "source": "7.3.6"}
    fetch(f"{prefix}.cook", short, args=args, gives="str", every=every, **facts)(cook)
    fetch(f"{prefix}.cook_cnt", f"{short}_cnt", args=args, gives="sint", **facts)(cook_cnt)
    fetch(f"{prefix}.cook_val", f"{short}_val", args=args, gives="sint", **facts)(cook_val)
    fetch(f"{prefix}.cook_names", args=(optional("delimiter", default=","),), gives="str", **facts)(cook_names)


_family(_sent, "req", "cook", "request")
_family(_given, "res", "scook", "response")
