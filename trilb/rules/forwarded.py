"""Header fields that tell a server about the client. HOT.

Sources: configuration.txt, `option forwardfor`, `originalto`, `forwarded`; RFC 7239.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from trilb.base import ip
from trilb.base.ip import Packed
from trilb.config.model import Forwarded, ForwardFor
from trilb.config.terms import Expr
from trilb.live.plan import Edit
from trilb.live.stream import Stream
from trilb.rules.registry import Builder
from trilb.samples import build, casts
from trilb.samples.types import Addr, Fetch, Value

_OBFUSCATED: Final = re.compile(rb"[A-Za-z0-9._-]+")
_PORT: Final = re.compile(rb"[0-9]{1,5}")
_SPELLINGS: Final = 4096
"""Addresses whose spelling is remembered, per option."""


def _address(front: ForwardFor | None, back: ForwardFor | None, address: Callable[[Stream], Packed]) -> Edit | None:
    """One header at the most: the backend's name wins, an exception of either side counts, if-none needs both."""
    chosen = back or front
    if chosen is None:
        return None
    sides = [side for side in (front, back) if side is not None]
    name = chosen.header.encode("latin-1")
    excluded = [side.exclude for side in sides if side.exclude is not None]
    if_none = all(side.if_none for side in sides)
    spelled: dict[bytes, bytes] = {}

    def edit(stream: Stream) -> None:
        packed = address(stream)
        for network in excluded:
            if packed in network:
                return
        head = stream.request
        assert head is not None
        if if_none and head.get(name) is not None:
            return
        text = spelled.get(packed)
        if text is None:
            if len(spelled) > _SPELLINGS:
                spelled.clear()
            text = spelled[packed] = ip.text(packed).encode()
        head.fields.append((name, text))

    return edit


def forwardfor(front: ForwardFor | None, back: ForwardFor | None) -> Edit | None:
    """`option forwardfor`: the client's address."""
    return _address(front, back, lambda stream: stream.client)


def originalto(front: ForwardFor | None, back: ForwardFor | None) -> Edit | None:
    """`option originalto`: the address the client connected to."""
    return _address(front, back, lambda stream: stream.local)


def _wanted(value: Expr | bool, own: Fetch, builder: Builder) -> Fetch | None:
    if isinstance(value, Expr):
        return build.expression(value, builder, "any")
    return own if value else None


def _node(value: Value | None) -> tuple[bytes, bool]:
    """A nodename (RFC 7239, section 6) and whether it must be quoted."""
    if isinstance(value, Addr):
        text = ip.text(value).encode()
        return (text, False) if len(value) == 4 else (b"[%b]" % text, True)
    if isinstance(value, bytes):
        packed = casts.to_address(value)
        if packed is not None:
            return _node(packed)
        if value == b"unknown" or (value[:1] == b"_" and _OBFUSCATED.fullmatch(value)):
            return value, False
        if _OBFUSCATED.fullmatch(value):
            return b"_" + value, False
    return b"unknown", False


def _port(value: Value | None) -> bytes:
    """A nodeport: a number, or an obfuscated name; empty when there is none."""
    text = casts.any_text(value) if value is not None else None
    if not text:
        return b""
    if _PORT.fullmatch(text):
        return text
    if not _OBFUSCATED.fullmatch(text):
        return b""
    return text if text[:1] == b"_" else b"_" + text


def _pair(name: bytes, node: Fetch, port: Fetch | None) -> Callable[[Stream], bytes]:
    def write(stream: Stream) -> bytes:
        text, quoted = _node(node(stream))
        if port is not None:
            number = _port(port(stream))
            if number:
                text, quoted = b"%b:%b" % (text, number), True
        return b'%b="%b"' % (name, text) if quoted else b"%b=%b" % (name, text)

    return write


def _host(value: Fetch) -> Callable[[Stream], bytes]:
    def write(stream: Stream) -> bytes:
        found = value(stream)
        text = casts.any_text(found) if found is not None else None
        if not text:
            return b""
        return b'host="%b"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')

    return write


def _own_host(stream: Stream) -> Value | None:
    return stream.request.get(b"host") if stream.request is not None else None


def forwarded(option: Forwarded, builder: Builder) -> Edit:
    """`option forwarded`: a header of RFC 7239 with the wanted parameters, in the order proto, host, by, for."""
    writers: list[Callable[[Stream], bytes]] = []
    if option.proto:
        writers.append(lambda stream: b"proto=http")
    host = _wanted(option.host, _own_host, builder)
    if host is not None:
        writers.append(_host(host))
    by = _wanted(option.by, lambda stream: Addr(stream.local), builder)
    if by is not None:
        writers.append(_pair(b"by", by, _wanted(option.by_port, lambda stream: stream.local_port, builder)))
    client = _wanted(option.for_, lambda stream: Addr(stream.client), builder)
    if client is not None:
        writers.append(_pair(b"for", client, _wanted(option.for_port, lambda stream: stream.client_port, builder)))
    fixed = tuple(writers)

    def edit(stream: Stream) -> None:
        head = stream.request
        assert head is not None
        value = b";".join([part for part in (write(stream) for write in fixed) if part])
        if value:
            head.fields.append((b"forwarded", value))

    return edit


def unique_id_header(name: str, unique: Callable[[Stream], bytes]) -> Edit:
    """`unique-id-header`: the request's unique id, made now if nobody asked for it before."""
    key = name.encode("latin-1")

    def edit(stream: Stream) -> None:
        assert stream.request is not None
        stream.request.fields.append((key, unique(stream)))

    return edit
