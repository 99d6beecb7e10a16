"""What log lines say of a stream, as plain functions: times, names, the request line, captures (section 8.2.6). HOT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trilb.config.model import Mode
from trilb.live.stream import Stream
from trilb.samples.logtext import header_escape, url_escape

BAD: Final = b"<BADREQ>"
URI_LENGTH: Final = 1023
"""How many bytes of a request line are logged without `tune.http.logurilen` (observed)."""


def elapsed(start: float, end: float) -> int:
    """Milliseconds between two times of the loop; -1 when the end was not reached."""
    return int((end - start) * 1000 + 0.5) if end else -1


def wait_queue(stream: Stream) -> int:
    """%Tw."""
    return elapsed(stream.received or stream.accepted, stream.dispatched)


def wait_connect(stream: Stream) -> int:
    """%Tc."""
    return elapsed(stream.dispatched, stream.connected)


def wait_response(stream: Stream) -> int:
    """%Tr."""
    return elapsed(stream.connected, stream.responded)


def transport(stream: Stream) -> str:
    """The frontend's name as the log has it."""
    name = stream.frontend.name
    return name if stream.session.tls is None else f"{name}~"


def request_line(stream: Stream, most: int = URI_LENGTH) -> bytes:
    """`GET / HTTP/1.1` as received, or `<BADREQ>`."""
    return url_escape(line_of(stream, most)) if stream.request is not None else BAD


def line_of(stream: Stream, most: int) -> bytes:
    """The request line of a stream that has a request, cut at `most` bytes."""
    head = stream.request
    assert head is not None
    version = head.spoken or (b"1.1" if head.version == 11 else b"1.0")
    return (b"%b %b HTTP/%b" % (stream.method or head.method, stream.target, version))[:most]


def backend_name(stream: Stream) -> str:
    """The backend's name; the frontend's while none was chosen."""
    return stream.backend.name if stream.backend is not None else stream.frontend.name


def server_name(stream: Stream) -> str:
    """The server's name, `<NOSRV>` without one, `<STATS>` for the statistics page."""
    if stream.server is not None:
        return stream.server.name
    return "<STATS>" if stream.cause == "L" and stream.connected else "<NOSRV>"


def cookie_flags(stream: Stream) -> str:
    """The third and fourth letter; both `-` unless the backend's cookie sets flags (a passive one never does)."""
    backend = stream.backend
    if backend is None or backend.plan.persist is None or not backend.plan.cookie_flags:
        return "--"
    return stream.cookie_in + stream.cookie_out


def captured(stream: Stream, side: str) -> Sequence[bytes | None]:
    """The slots of a side, all of them empty while nothing was captured; none without an HTTP request in mode http."""
    config = stream.frontend.config
    declared, found = (
        (config.captures_in, stream.captures_in) if side == "request" else (config.captures_out, stream.captures_out)
    )
    if not declared or (found is None and stream.request is None and config.mode is Mode.HTTP):
        return ()
    return found if found is not None else [None] * len(declared)


def braces(stream: Stream, side: str) -> bytes:
    """Captured headers as `{one||three}`, or nothing at all."""
    slots = captured(stream, side)
    return b"{%b}" % b"|".join([header_escape(value or b"") for value in slots]) if slots else b""
