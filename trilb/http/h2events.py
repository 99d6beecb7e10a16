"""What comes on an HTTP/2 connection, as `h2server` and `h2client` tell it, and what `tune.h2.*` says. HOT."""

from __future__ import annotations

from dataclasses import dataclass

from trilb.http.head import Field, Head, Refusal


@dataclass(slots=True)
class Tuning:
    """What `tune.h2.*` says: streams at once and in all (0: no end), windows and table in bytes, glitches (0: any).

    What begins with `be_` is about servers.
    """

    max_streams: int = 100
    total_streams: int = 0
    window: int = 16384
    header_table: int = 4096
    frame_size: int = 16384
    rxbuf: int = 1638400
    glitches: int = 0
    websockets: bool = True
    logs: str = "stream"
    """Which faults of clients are logged: those of a stream too, only those of a `connection`, or `none`."""
    be_streams: int = 100
    be_window: int = 65535


@dataclass(slots=True)
class Request:
    """A client's request began. `refusal` says that it is answered with an error instead of being served."""

    stream: int
    head: Head | None
    refusal: Refusal | None
    size: int
    ended: bool


@dataclass(slots=True)
class Rejected:
    """A client's request that was malformed; its stream has been reset and nobody serves it."""

    stream: int


@dataclass(slots=True)
class Leaving:
    """The client sent GOAWAY: it opens no more streams."""

    code: int


@dataclass(slots=True)
class Response:
    """A server's response head; an interim one when `status` is below 200."""

    stream: int
    status: int
    fields: list[Field]
    ended: bool


@dataclass(slots=True)
class Data:
    """Bytes of a body; `credit` is what to give back with `consumed` once they are used."""

    stream: int
    data: bytes
    credit: int
    ended: bool


@dataclass(slots=True)
class Trailers:
    """The end of a body, with fields behind it."""

    stream: int
    fields: list[Field]


@dataclass(slots=True)
class Reset:
    """The stream is over before its time: the other end gave it up (`by_peer`), or we did because of what it sent.

    `unserved` says that the other end did nothing of what was asked.
    """

    stream: int
    code: int
    by_peer: bool
    unserved: bool = False


@dataclass(slots=True)
class Opened:
    """More may be sent: on a stream, or (0) on all."""

    stream: int


@dataclass(slots=True)
class Failed:
    """The connection is beyond repair; GOAWAY is in `out`, if the other end ever spoke HTTP/2."""

    code: int
    reason: str


Event = Request | Rejected | Leaving | Response | Data | Trailers | Reset | Opened | Failed
