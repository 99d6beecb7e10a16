"""Fetches about the raw bytes of a connection (configuration.txt, section 7.3.5).

While a connection is inspected more bytes may come: what is not there yet is then unknown rather than missing.
"""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.live.stream import Stream
from trilb.samples.fetch_body import request_body, response_body
from trilb.samples.types import Fetch, fetch, plain


def _client(stream: Stream) -> bytes:
    if stream.body is not None or stream.inspected is None:
        return request_body(stream)
    return stream.inspected


def _server(stream: Stream) -> bytes:
    if stream.res_body is not None or stream.inspected_server is None:
        return response_body(stream)
    return stream.inspected_server


def _length(read: Callable[[Stream], bytes]) -> Fetch:
    def run(stream: Stream) -> int:
        stream.may_change = True
        return len(read(stream))

    return run


plain("req.len", "req_len", gives="sint", at="request", source="7.3.5", doc="How many bytes of the client wait.")(
    _length(_client)
)
plain("res.len", gives="sint", at="response", source="7.3.5", doc="How many bytes of the server wait.")(
    _length(_server)
)


@plain("wait_end", gives="bool", source="7.3.2", doc="True once the inspection's delay is over.")
def _wait_end(stream: Stream) -> bool:
    stream.may_change = True
    return stream.inspect_done


def _payload(read: Callable[[Stream], bytes], offset: int, length: int) -> Fetch:
    if offset < 0 or length < 0:
        raise Refused("offset and length of a payload cannot be negative")

    def run(stream: Stream) -> bytes | None:
        data = read(stream)
        if len(data) < offset + max(length, 1):
            stream.may_change = True
            return None if length or len(data) < offset else b""
        if not length:
            stream.may_change = True
            return data[offset:]
        return data[offset : offset + length]

    return run


def _payload_lv(read: Callable[[Stream], bytes], at: int, size: int, content: str) -> Fetch:
    if not 1 <= size <= 8:
        raise Refused(f"the length field of a payload_lv has 1 to 8 bytes, not {size}")
    if content:
        try:
            relative, number = content[0] in "+-", int(content)
        except ValueError:
            raise Refused(
                f"'{content}' is no offset; write a number, with a sign when it counts from the length"
            ) from None
        begin = at + size + number if relative else number
    else:
        begin = at + size

    def run(stream: Stream) -> bytes | None:
        data = read(stream)
        if len(data) < at + size:
            stream.may_change = True
            return None
        length = int.from_bytes(data[at : at + size], "big")
        if len(data) < begin + length:
            stream.may_change = True
            return None
        return data[begin : begin + length] or None

    return run


_ARGS = (Arg("offset", Kind.INT), Arg("length", Kind.INT))
_LV = (Arg("offset1", Kind.INT), Arg("length", Kind.INT), optional("offset2", default=""))


@fetch("req.payload", "payload", args=_ARGS, gives="bin", at="request", source="7.3.5")
def req_payload(offset: int, length: int) -> Fetch:
    """Bytes the client sent; a length of 0 takes all that is there."""
    return _payload(_client, offset, length)


@fetch("res.payload", args=_ARGS, gives="bin", at="response", source="7.3.5")
def res_payload(offset: int, length: int) -> Fetch:
    """Bytes the server sent; a length of 0 takes all that is there."""
    return _payload(_server, offset, length)


@fetch("req.payload_lv", "payload_lv", args=_LV, gives="bin", at="request", source="7.3.5")
def req_payload_lv(at: int, size: int, content: str) -> Fetch:
    """Bytes the client sent whose length stands in front of them."""
    return _payload_lv(_client, at, size, content)


@fetch("res.payload_lv", args=_LV, gives="bin", at="response", source="7.3.5")
def res_payload_lv(at: int, size: int, content: str) -> Fetch:
    """Bytes the server sent whose length stands in front of them."""
    return _payload_lv(_server, at, size, content)
