"""Fetches about the request and the response (configuration.txt, section 7.3.6)."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.base.registry import Arg, Kind, optional
from trilb.http.cookies import values_of
from trilb.http.head import Head
from trilb.live.stream import Stream
from trilb.samples.types import Every, Fetch, fetch

_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def path_of(target: bytes) -> bytes:
    """The path of a request target, without query; a `*` or an authority has none."""
    if not target.startswith(b"/"):
        match = _AUTHORITY.match(target)
        if match is None:
            return b""
        target = target[match.end() :] or b"/"
    return target.partition(b"?")[0]


def _request(stream: Stream) -> Head | None:
    return stream.request


def _response(stream: Stream) -> Head | None:
    return stream.response


@fetch("method", gives="meth", at="request", source="7.3.6")
def method() -> Fetch:
    """The request's method."""
    return lambda stream: stream.request.method if stream.request is not None else None


@fetch("path", gives="str", at="request", source="7.3.6")
def path() -> Fetch:
    """The path of the target, without query string."""
    return lambda stream: path_of(stream.request.target) or None if stream.request is not None else None


@fetch("query", gives="str", at="request", source="7.3.6")
def query() -> Fetch:
    """What follows the first question mark of the target."""

    def run(stream: Stream) -> bytes | None:
        if stream.request is None:
            return None
        return stream.request.target.partition(b"?")[2]

    return run


@fetch("url", gives="str", at="request", source="7.3.6")
def url() -> Fetch:
    """The whole target as received."""
    return lambda stream: stream.request.target if stream.request is not None else None


@fetch("req.ver", "req_ver", gives="str", at="request", source="7.3.6")
def req_ver() -> Fetch:
    """The request's HTTP version, `1.1`."""
    return lambda stream: b"1.0" if stream.request is not None and stream.request.version == 10 else b"1.1"


@fetch("req.proto_http", "req_proto_http", gives="bool", source="7.3.5")
def req_proto_http() -> Fetch:
    """True once a request was recognised as HTTP."""

    def run(stream: Stream) -> bool:
        if stream.request is not None:
            return True
        stream.may_change = True
        return False

    return run


@fetch("status", gives="sint", at="response", source="7.3.6")
def status() -> Fetch:
    """The response's status."""
    return lambda stream: stream.response.status if stream.response is not None else None


def _split(values: list[bytes]) -> list[bytes]:
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
                items.append(value[start:at].strip())
                start = at + 1
        items.append(value[start:].strip())
    return items


def _header(
    side: Callable[[Stream], Head | None], name: str, occurrence: int | None, whole: bool
) -> tuple[Fetch, Every]:
    key = name.lower().encode("latin-1")

    def every(stream: Stream) -> list[bytes]:
        head = side(stream)
        if head is None:
            return []
        found = head.all(key) if key else [value for _, value in head.fields]
        return found if whole else _split(found)

    index = -1 if occurrence is None else occurrence - 1 if occurrence > 0 else occurrence

    def one(stream: Stream) -> bytes | None:
        found = every(stream)
        try:
            return found[index]
        except IndexError:
            return None

    return one, every if occurrence is None else lambda stream: [v for v in (one(stream),) if v is not None]


_HDR_ARGS = (Arg("name"), optional("occurrence", Kind.INT))


def _every_req_hdr(name: str, occurrence: int | None) -> Every:
    return _header(_request, name, occurrence, False)[1]


def _every_req_fhdr(name: str, occurrence: int | None) -> Every:
    return _header(_request, name, occurrence, True)[1]


def _every_res_hdr(name: str, occurrence: int | None) -> Every:
    return _header(_response, name, occurrence, False)[1]


@fetch("req.hdr", "hdr", args=_HDR_ARGS, gives="str", at="request", source="7.3.6", every=_every_req_hdr)
def req_hdr(name: str, occurrence: int | None) -> Fetch:
    """A request header's value, split at commas; the last one unless an occurrence is given."""
    return _header(_request, name, occurrence, False)[0]


@fetch("req.fhdr", args=_HDR_ARGS, gives="str", at="request", source="7.3.6", every=_every_req_fhdr)
def req_fhdr(name: str, occurrence: int | None) -> Fetch:
    """A request header's whole line, commas kept."""
    return _header(_request, name, occurrence, True)[0]


@fetch("req.hdr_cnt", "hdr_cnt", args=(Arg("name"),), gives="sint", at="request", source="7.3.6")
def req_hdr_cnt(name: str) -> Fetch:
    """How many values a request header has."""
    every = _header(_request, name, None, False)[1]
    return lambda stream: len(list(every(stream)))


@fetch("req.hdr_val", "hdr_val", args=_HDR_ARGS, gives="sint", at="request", source="7.3.6")
def req_hdr_val(name: str, occurrence: int | None) -> Fetch:
    """A request header's value as an integer."""
    one = _header(_request, name, occurrence, False)[0]

    def run(stream: Stream) -> int | None:
        value = one(stream)
        return int(value) if isinstance(value, bytes) and value.isdigit() else None

    return run


@fetch("res.hdr", "shdr", args=_HDR_ARGS, gives="str", at="response", source="7.3.6", every=_every_res_hdr)
def res_hdr(name: str, occurrence: int | None) -> Fetch:
    """A response header's value, split at commas."""
    return _header(_response, name, occurrence, False)[0]


def _every_cookie(name: str) -> Every:
    key = name.encode("latin-1")
    return lambda stream: values_of(stream.request, key) if stream.request is not None else []


@fetch("req.cook", "cook", args=(Arg("name"),), gives="str", at="request", source="7.3.6", every=_every_cookie)
def req_cook(name: str) -> Fetch:
    """A request cookie's value, the last one of that name."""
    every = _every_cookie(name)

    def run(stream: Stream) -> bytes | None:
        found = list(every(stream))
        value = found[-1] if found else None
        return value if isinstance(value, bytes) else None

    return run
