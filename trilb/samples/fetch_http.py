"""Fetches about header fields and statuses (configuration.txt, section 7.3.6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trilb.base import ip
from trilb.base.registry import Kind, optional
from trilb.http.head import Head
from trilb.live.stream import Stream
from trilb.samples.types import Every, Fetch, Value, fetch, plain

_INTEGER = re.compile(rb"-?[0-9]+")


def request_head(stream: Stream) -> Head | None:
    """The request's head."""
    return stream.request


def response_head(stream: Stream) -> Head | None:
    """The response's head."""
    return stream.response


@plain("req.proto_http", "req_proto_http", gives="bool", source="7.3.5", doc="Whether the request is HTTP.")
def _proto_http(stream: Stream) -> bool:
    if stream.request is not None:
        return True
    stream.may_change = not stream.not_http
    return False


plain("status", gives="sint", at="response", source="7.3.6", doc="The response's status.")(
    lambda stream: stream.response.status if stream.response is not None else None
)
plain("server_status", gives="sint", at="response", source="7.3.6", doc="The status the server answered.")(
    lambda stream: stream.response.status if stream.response is not None else None
)


def _version(head: Head) -> bytes:
    return b"2.0" if head.spoken == b"2.0" else b"1.0" if head.version == 10 else b"1.1"


plain("res.ver", "resp_ver", gives="str", at="response", source="7.3.6", doc="Its HTTP version, `1.1` or `2.0`.")(
    lambda stream: None if stream.response is None else _version(stream.response)
)
plain("capture.res.ver", gives="str", source="7.3.6", doc="The response's version: HTTP/1.0 or HTTP/1.1.")(
    lambda stream: None if stream.response is None else b"HTTP/1.0" if stream.response.version == 10 else b"HTTP/1.1"
)


def split_list(values: list[bytes]) -> list[bytes]:
    """Cut at commas outside quotes, blanks stripped: each item of a list header is one value."""
    items: list[bytes] = []
    for value in values:
        if b"," not in value:
            items.append(value)
            continue
        quoted, start = False, 0
        for at, c in enumerate(value):
            if c == 34:
                quoted = not quoted
            elif c == 44 and not quoted:
                items.append(value[start:at].strip(b" \t"))
                start = at + 1
        items.append(value[start:].strip(b" \t"))
    return items


def _all(side: Callable[[Stream], Head | None], name: str, whole: bool) -> Callable[[Stream], list[bytes]]:
    key = name.lower().encode("latin-1")

    def every(stream: Stream) -> list[bytes]:
        head = side(stream)
        if head is None:
            return []
        found = head.all(key) if key else [value for _, value in head.fields]
        # A rule may have left blanks around a value.
        return [value.strip(b" \t") for value in found] if whole else split_list(found)

    return every


def _one(every: Callable[[Stream], list[bytes]], occurrence: int | None) -> Callable[[Stream], bytes | None]:
    # 1 is the first, -1 the last; without a number the last counts.
    index = -1 if not occurrence else occurrence - 1 if occurrence > 0 else occurrence

    def one(stream: Stream) -> bytes | None:
        found = every(stream)
        return found[index] if -len(found) <= index < len(found) else None

    return one


def _values(
    side: Callable[[Stream], Head | None], whole: bool, convert: Callable[[bytes], Value | None] | None = None
) -> Callable[[str, int | None], Every]:
    """What ACLs look at: every value, or the one of the given occurrence."""

    def make(name: str, occurrence: int | None) -> Every:
        every = _all(side, name, whole)
        chosen = _one(every, occurrence)

        def values(stream: Stream) -> list[bytes]:
            if not occurrence:
                return every(stream)
            value = chosen(stream)
            return [] if value is None else [value]

        if convert is None:
            return values
        cast = convert
        return lambda stream: [made for made in (cast(value) for value in values(stream)) if made is not None]

    return make


def _number(value: bytes) -> int | None:
    match = _INTEGER.match(value)
    return int(match[0]) if match is not None else 0


def _address(value: bytes) -> bytes | None:
    """An address, perhaps followed by a port, or an IPv6 address in brackets."""
    text = value.decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return ip.packed(text)
    except ValueError:
        return None


_HDR = (optional("name", default=""), optional("occurrence", Kind.INT))


def _family(side: Callable[[Stream], Head | None], prefix: str, at: str, *short: str) -> None:
    """The whole family of one side: hdr, fhdr, and their _cnt, _val, _ip; _names and hdrs."""
    whose = "request" if prefix == "req" else "response"
    alias = {suffix: tuple(f"{name}{suffix}" for name in short) for suffix in ("", "_cnt", "_val", "_ip")}

    def hdr(name: str, occurrence: int | None) -> Fetch:
        return _one(_all(side, name, False), occurrence)

    def fhdr(name: str, occurrence: int | None) -> Fetch:
        return _one(_all(side, name, True), occurrence)

    def hdr_cnt(name: str) -> Fetch:
        every = _all(side, name, False)
        return lambda stream: len(every(stream))

    def fhdr_cnt(name: str) -> Fetch:
        every = _all(side, name, True)
        return lambda stream: len(every(stream))

    def hdr_val(name: str, occurrence: int | None) -> Fetch:
        one = _one(_all(side, name, False), occurrence)

        def run(stream: Stream) -> int | None:
            value = one(stream)
            return None if value is None else _number(value)

        return run

    def hdr_ip(name: str, occurrence: int | None) -> Fetch:
        one = _one(_all(side, name, False), occurrence)

        def run(stream: Stream) -> bytes | None:
            value = one(stream)
            return None if value is None else _address(value)

        return run

    def hdr_names(delimiter: str) -> Fetch:
        cut = (delimiter or ",").encode("latin-1")[:1]

        def run(stream: Stream) -> bytes | None:
            head = side(stream)
            return None if head is None else cut.join([name for name, _ in head.fields])

        return run

    def hdrs() -> Fetch:
        def run(stream: Stream) -> bytes | None:
            head = side(stream)
            if head is None:
                return None
            return b"".join([b"%b: %b\r\n" % field for field in head.fields]) + b"\r\n"

        return run

    def hdrs_bin() -> Fetch:
        def run(stream: Stream) -> bytes | None:
            head = side(stream)
            if head is None:
                return None
            return b"".join([_varint(name) + _varint(value) for name, value in head.fields]) + b"\0\0"

        return run

    hdr.__doc__ = f"A {whose} header's value, cut at commas; the last one unless an occurrence is given."
    fhdr.__doc__ = f"A {whose} header's whole line, commas kept; the last one unless an occurrence is given."
    hdr_cnt.__doc__ = f"How many values a {whose} header has, cut at commas."
    fhdr_cnt.__doc__ = f"How many lines a {whose} header has."
    hdr_val.__doc__ = f"A {whose} header's value as an integer."
    hdr_ip.__doc__ = f"A {whose} header's value as an address."
    hdr_names.__doc__ = f"The names of the {whose}'s headers, joined by a delimiter."
    hdrs.__doc__ = f"All headers of the {whose}, as lines."
    hdrs_bin.__doc__ = f"All headers of the {whose}, each name and value preceded by its length as a varint."
    facts: dict[str, Any] = {"at": at, "source": "7.3.6"}
    cut, full = _values(side, False), _values(side, True)
    fetch(f"{prefix}.hdr", *alias[""], args=_HDR, gives="str", every=cut, **facts)(hdr)
    fetch(f"{prefix}.fhdr", args=_HDR, gives="str", every=full, **facts)(fhdr)
    fetch(f"{prefix}.hdr_cnt", *alias["_cnt"], args=_HDR[:1], gives="sint", **facts)(hdr_cnt)
    fetch(f"{prefix}.fhdr_cnt", args=_HDR[:1], gives="sint", **facts)(fhdr_cnt)
    numbers, addresses = _values(side, False, _number), _values(side, False, _address)
    fetch(f"{prefix}.hdr_val", *alias["_val"], args=_HDR, gives="sint", every=numbers, **facts)(hdr_val)
    fetch(f"{prefix}.hdr_ip", *alias["_ip"], args=_HDR, gives="addr", every=addresses, **facts)(hdr_ip)
    fetch(f"{prefix}.hdr_names", args=(optional("delimiter", default=","),), gives="str", **facts)(hdr_names)
    fetch(f"{prefix}.hdrs", gives="str", **facts)(hdrs)
    fetch(f"{prefix}.hdrs_bin", gives="bin", **facts)(hdrs_bin)


def _varint(data: bytes) -> bytes:
    """Data behind its length, in the variable-length integers of HAProxy's peers and SPOP protocols."""
    value = len(data)
    if value < 240:
        return bytes([value]) + data
    out = bytearray([value & 255 | 240])
    value = (value - 240) >> 4
    while value >= 128:
        out.append(value & 255 | 128)
        value = (value - 128) >> 7
    out.append(value)
    return bytes(out) + data


_family(request_head, "req", "request", "hdr")
_family(response_head, "res", "response", "shdr")
