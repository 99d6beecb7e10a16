"""Waiting for a body before it is passed on (`wait-for-body`, `option http-buffer-request`). HOT where asked for."""

from __future__ import annotations

from enum import Enum, auto

from trilb.http.dechunk import dechunk
from trilb.http.head import Head
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired, Waiter


class Came(Enum):
    """How the wait for a body ended."""

    ENOUGH = auto()
    LATE = auto()
    ENDED = auto()
    """The sender closed before the body was whole; so it is with a body that has no length."""
    BROKEN = auto()


def arrived(head: Head, data: bytes, least: int, most: int) -> tuple[bytes, bool]:
    """The payload that lies in a buffer, and whether that will do: all of it, `least` bytes of it, or a full buffer."""
    if head.chunked:
        payload, whole = dechunk(data)
    elif head.length >= 0:
        payload, whole = data[: head.length], len(data) >= head.length
    else:
        payload, whole = data, False
    return payload, whole or 0 < least <= len(payload) or len(data) >= most


async def gather(waiter: Waiter, conn: Conn, head: Head, least: int, most: int) -> tuple[bytes, Came]:
    """Wait in `conn.inbox` for the body of `head`, as long as the waiter is armed: the payload, and how it ended.

    The bytes stay in the inbox, from where they are passed on.
    """
    while True:
        payload, enough = arrived(head, conn.inbox, least, most)
        if enough:
            return payload, Came.ENOUGH
        try:
            data = conn.receive() if conn.watch.ready else None
            if data is None:
                await waiter.park(conn.watch)
            elif data:
                conn.inbox += data
            else:
                return payload, Came.ENDED
        except Expired:
            return payload, Came.LATE
        except Broken:
            return payload, Came.BROKEN
