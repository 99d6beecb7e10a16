"""Fetches about the request line (configuration.txt, section 7.3.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trilb.base import ip
from trilb.base.hashes import avalanche, sdbm
from trilb.base.registry import optional
from trilb.live.stream import Stream
from trilb.samples.types import Every, Fetch, Value, fetch, plain

_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")


def pathq_of(target: bytes) -> bytes:
    """The path and query of a request target; a `*` or an authority has none."""
    if target.startswith(b"/"):
        return target
    match = _AUTHORITY.match(target)
    if match is None:
        return b""
    rest = target[match.end() :]
    return rest if not rest or rest.startswith(b"/") else b"/" + rest


def _query(target: bytes) -> bytes | None:
    _, question, query = target.partition(b"?")
    return query if question else None


def _version(stream: Stream) -> bytes:
    assert stream.request is not None
    return b"2.0" if stream.session.major == 2 else b"1.0" if stream.request.version == 10 else b"1.1"


def path_of(target: bytes) -> bytes:
    """The path of a request target, without query; a `*` or an authority has none."""
    return pathq_of(target).partition(b"?")[0]


plain("method", gives="meth", at="request", source="7.3.6", doc="The request's method.")(
    lambda stream: stream.request.method if stream.request is not None else None
)
plain("path", gives="str", at="request", source="7.3.6", doc="The path of the target, without query string.")(
    lambda stream: path_of(stream.request.target) or None if stream.request is not None else None
)
plain("pathq", gives="str", at="request", source="7.3.6", doc="The path of the target with its query string.")(
    lambda stream: pathq_of(stream.request.target) or None if stream.request is not None else None
)
plain("query", gives="str", at="request", source="7.3.6", doc="What follows the target's first question mark.")(
    lambda stream: _query(stream.request.target) if stream.request is not None else None
)
plain("url", gives="str", at="request", source="7.3.6", doc="The whole target.")(
    lambda stream: stream.request.target if stream.request is not None else None
)
plain("req.ver", "req_ver", gives="str", at="request", source="7.3.6", doc="Its HTTP version, `1.1` or `2.0`.")(
    lambda stream: _version(stream) if stream.request is not None else None
)
plain("capture.req.method", gives="str", source="7.3.6", doc="The method as it was received.")(
    lambda stream: stream.method or None
)
plain("capture.req.uri", gives="str", source="7.3.6", doc="The target as it was received.")(
    lambda stream: pathq_of(stream.target) or None
)
plain("capture.req.ver", gives="str", source="7.3.6", doc="The request's version: HTTP/1.0 or HTTP/1.1.")(
    lambda stream: None if stream.request is None else b"HTTP/1.0" if stream.request.version == 10 else b"HTTP/1.1"
)


def _authority(stream: Stream) -> bytes:
    if stream.request is None:
        return b""
    match = _AUTHORITY.match(stream.request.target)
    return match[1].rpartition(b"@")[2] if match is not None else b""


@plain("url_ip", gives="addr", at="request", source="7.3.6", doc="The address in an absolute target.")
def _url_ip(stream: Stream) -> Value | None:
    host = _authority(stream)
    host = host[1 : host.find(b"]")] if host.startswith(b"[") else host.partition(b":")[0]
    try:
        return ip.packed(host.decode("latin-1"))
    except ValueError:
        return None


@plain("url_port", gives="sint", at="request", source="7.3.6", doc="The port in an absolute target, else 80.")
def _url_port(stream: Stream) -> int | None:
    authority = _authority(stream)
    if not authority:
        return None
    port = authority.rpartition(b"]")[2].rpartition(b":")[2] if b":" in authority.rpartition(b"]")[2] else b""
    return int(port) if port.isdigit() and len(port) < 19 else 80


def base_of(stream: Stream) -> bytes | None:
    """The first Host and the path, joined; None without either."""
    request = stream.request
    if request is None:
        return None
    return (request.get(b"host") or b"") + path_of(request.target) or None


plain("base", gives="str", at="request", source="7.3.6", doc="The Host header and the path, joined.")(base_of)
plain("baseq", gives="str", at="request", source="7.3.6", doc="The Host header and the path with its query, joined.")(
    lambda stream: (
        (stream.request.get(b"host") or b"") + pathq_of(stream.request.target) if stream.request is not None else None
    )
)


def _hash32(data: bytes | None) -> int | None:
    return None if data is None else avalanche(sdbm(data))


def _base32(stream: Stream) -> int | None:
    return _hash32(base_of(stream))


def _url32(stream: Stream) -> int | None:
    if stream.request is None:
        return None
    return _hash32((stream.request.get(b"host") or b"") + pathq_of(stream.request.target))


plain("base32", gives="sint", at="request", source="7.3.6", doc="A 32-bit hash of `base`.")(_base32)
plain("url32", gives="sint", at="request", source="7.3.6", doc="A 32-bit hash of Host and target.")(_url32)


@plain("base32+src", gives="bin", at="request", source="7.3.6", doc="`base32` followed by the client's address.")
def _base32_src(stream: Stream) -> bytes | None:
    value = _base32(stream)
    return None if value is None else value.to_bytes(4, "big") + stream.client


@plain("url32+src", gives="bin", at="request", source="7.3.6", doc="`url32` followed by the client's address.")
def _url32_src(stream: Stream) -> bytes | None:
    value = _url32(stream)
    return None if value is None else value.to_bytes(4, "big") + stream.client


_SEPARATORS = re.compile(rb"[&;]")


def parameters(
    query: bytes, name: bytes, ignore_case: bool, separators: re.Pattern[bytes] = _SEPARATORS
) -> Iterator[bytes]:
    """The values of a parameter in a query string or a form, undecoded; every one for an empty name."""
    wanted = name.lower() if ignore_case else name
    for part in separators.split(query):
        key, equal, value = part.partition(b"=")
        if equal and (not wanted or (key.lower() if ignore_case else key) == wanted):
            yield value


def _params(name: str, delimiter: str, flag: str) -> Every:
    key, cut, ignore = name.encode("latin-1"), (delimiter or "?").encode("latin-1")[:1], flag == "i"

    separators = re.compile(b"[&;" + re.escape(cut) + b"]")

    def every(stream: Stream) -> list[Value]:
        if stream.request is None:
            return []
        return list(parameters(stream.request.target.partition(cut)[2], key, ignore, separators))

    return every


_URLP = (optional("name", default=""), optional("delimiter", default="?"), optional("i", default=""))


@fetch("urlp", "url_param", args=_URLP, gives="str", at="request", source="7.3.6", every=_params)
def urlp(name: str, delimiter: str, flag: str) -> Fetch:
    """The first value of a parameter of the query string."""
    every = _params(name, delimiter, flag)
    return lambda stream: next(iter(every(stream)), None)


@fetch("urlp_val", args=_URLP, gives="sint", at="request", source="7.3.6")
def urlp_val(name: str, delimiter: str, flag: str) -> Fetch:
    """The first value of a parameter of the query string as an integer."""
    every = _params(name, delimiter, flag)

    def run(stream: Stream) -> int | None:
        value = next(iter(every(stream)), None)
        if not isinstance(value, bytes):
            return None
        match = re.match(rb"-?[0-9]+", value)
        return int(match[0]) if match is not None else 0

    return run
