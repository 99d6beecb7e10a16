"""Frames: four bytes of length, then one msgpack array `[kind, ...]`. What comes in is bounded before it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgpack

MAGIC: Final = "trilb-peers"
VERSION: Final = 1

HELLO: Final = 1
"""[magic, version, cluster, name, wanted name, incarnation, stopping, {table: [description, entries]}]"""
ERROR: Final = 2
"""[code, text]: the last thing a side says before it closes."""
UPDATE: Final = 3
"""[number, table, whole, batch]"""
ACK: Final = 4
"""[number]: all updates up to it were merged."""
RESYNC: Final = 5
"""[]: teach me everything."""
TAUGHT: Final = 6
"""[complete]: that was everything; not complete when the teacher itself still learns."""
DIGEST: Final = 7
"""[table, horizon, first bucket, [digest, ...]]"""
REPAIR: Final = 8
"""[table, [bucket, ...]]: these differ; send me yours, mine are on their way."""
HEARTBEAT: Final = 9
"""[]: still here."""
STOPPING: Final = 10
"""[]: this process takes no new connections any more."""

FIRST_FRAME: Final = 1 << 18
"""Bytes of a frame before both sides know each other."""
LARGEST_FRAME: Final = 1 << 22
_MOST_ITEMS: Final = 1 << 17


class ProtocolError(Exception):
    """The other side sent what makes no sense; the text says it in plain words."""


def encode(kind: int, *values: Any) -> bytes:
    """A frame."""
    body: bytes = msgpack.packb((kind, *values))
    return len(body).to_bytes(4, "big") + body


class Decoder:
    """Bytes in, messages out. Keeps no more than one frame."""

    __slots__ = ("_buffer", "limit")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.limit = FIRST_FRAME

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """The messages that are complete now. Raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            size = int.from_bytes(buffer[:4], "big")
            if size > self.limit:
                raise ProtocolError(f"a frame of {size} bytes, where {self.limit} are the most: is this a trilb peer?")
            if len(buffer) < 4 + size:
                return
            body = bytes(buffer[4 : 4 + size])
            del buffer[: 4 + size]
            yield _decode(body)


def _decode(body: bytes) -> list[Any]:
    try:
        message = msgpack.unpackb(
            body,
            strict_map_key=False,
            max_array_len=min(len(body), _MOST_ITEMS),
            max_map_len=min(len(body), _MOST_ITEMS),
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a frame is not msgpack: {type(error).__name__}") from None
    if not isinstance(message, list) or not message or type(message[0]) is not int:
        raise ProtocolError("a frame holds no message")
    return message
