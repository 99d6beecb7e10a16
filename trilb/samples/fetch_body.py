"""Fetches about message bodies (configuration.txt, section 7.3.6)."""

from __future__ import annotations

import re

from trilb.base.registry import optional
from trilb.http.dechunk import dechunk
from trilb.http.head import Head
from trilb.live.session import Side
from trilb.live.stream import Stream
from trilb.samples.fetch_uri import parameters
from trilb.samples.types import Every, Fetch, fetch, plain


def _there(head: Head | None, side: Side | None) -> bytes:
    """As much of a body as lies in the connection's buffer."""
    if head is None or side is None:
        return b""
    if head.chunked:
        return dechunk(side.inbox)[0]
    return side.inbox[: head.length] if head.length > 0 else side.inbox if head.status and head.length < 0 else b""


def request_body(stream: Stream) -> bytes:
    """The request's body as far as it has come; whole after `wait-for-body` or `option http-buffer-request`."""
    return stream.body if stream.body is not None else _there(stream.request, stream.session.side)


def response_body(stream: Stream) -> bytes:
    """The response's body as far as it has come."""
    return stream.res_body if stream.res_body is not None else _there(stream.response, stream.server_side)


def _size(head: Head | None, body: bytes) -> int:
    return head.length if head is not None and head.length >= 0 and not head.chunked else len(body)


plain("req.body", gives="bin", at="request", source="7.3.6", doc="The request's body, as far as it has come.")(
    request_body
)
plain("req.body_len", gives="sint", at="request", source="7.3.6", doc="How much of the request's body has come.")(
    lambda stream: len(request_body(stream))
)
plain("req.body_size", gives="sint", at="request", source="7.3.6", doc="The announced size of the request's body.")(
    lambda stream: _size(stream.request, request_body(stream))
)
plain("res.body", gives="bin", at="response", source="7.3.6", doc="The response's body, as far as it has come.")(
    response_body
)
plain("res.body_len", gives="sint", at="response", source="7.3.6", doc="How much of the response's body has come.")(
    lambda stream: len(response_body(stream))
)
plain("res.body_size", gives="sint", at="response", source="7.3.6", doc="The announced size of the response's body.")(
    lambda stream: _size(stream.response, response_body(stream))
)


def _form(name: str, flag: str) -> Every:
    key, ignore = name.encode("latin-1"), flag == "i"
    return lambda stream: list(parameters(request_body(stream), key, ignore))


_FORM = (optional("name", default=""), optional("i", default=""))


@fetch("req.body_param", args=_FORM, gives="str", at="request", source="7.3.6", every=_form)
def req_body_param(name: str, flag: str) -> Fetch:
    """The first value of a parameter of a form in the request's body."""
    every = _form(name, flag)
    return lambda stream: next(iter(every(stream)), None)


_RDP = re.compile(rb"\x03\0..\S\xe0.....Cookie: ([^=\r\n]+)=([^\r\n]*)\r\n", re.DOTALL | re.IGNORECASE)


def _rdp(name: str) -> Every:
    key = name.lower().encode("latin-1")

    def every(stream: Stream) -> list[bytes]:
        match = _RDP.match(stream.inspected or stream.target)
        if match is None:
            stream.may_change = True
            return []
        return [match[2]] if not key or match[1].lower() == key else []

    return every


@fetch(
    "req.rdp_cookie", "req_rdp_cookie", "rdp_cookie", args=_FORM[:1], gives="str", at="request", source="7.3.5",
    every=_rdp,
)  # fmt: skip
def req_rdp_cookie(name: str) -> Fetch:
    """The value of an RDP cookie, msts for instance."""
    every = _rdp(name)
    return lambda stream: next(iter(every(stream)), None)


@fetch(
    "req.rdp_cookie_cnt", "req_rdp_cookie_cnt", "rdp_cookie_cnt", args=_FORM[:1], gives="sint", at="request",
    source="7.3.5",
)  # fmt: skip
def req_rdp_cookie_cnt(name: str) -> Fetch:
    """Whether an RDP cookie is there: 1 or 0."""
    every = _rdp(name)
    return lambda stream: len(list(every(stream)))
