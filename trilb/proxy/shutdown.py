"""Ending streams from outside: by an administrator, or because their server went down or a better one came up. Cold.

A stream is ended as its server would end it, so every phase knows what to do: who waits for a response is told 502,
a body breaks off, a tunnel closes. Nothing is tried again, and the log tells whose doing it was: D (server is down),
U (an active server is up), K (an administrator) (configuration.txt, section 8.5; the second letter as observed).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from trilb.live.server import Server
from trilb.live.stream import Stream
from trilb.net.conn import Conn
from trilb.net.poller import Waiter


class Served(Protocol):
    """A session as `ProcessState.sessions` keeps them."""

    def under_way(self) -> Iterator[tuple[Stream, Waiter]]:
        """The streams being served, and by what each waits."""


def shutdown_sessions(sessions: Iterable[Served], server: Server, cause: str) -> None:
    """End every stream that holds a slot on the server; `cause` is the letter for the log."""
    for session in list(sessions):
        for stream, waiter in list(session.under_way()):
            if stream.picked is server:
                shutdown_stream(stream, waiter, cause)


def shutdown_stream(stream: Stream, waiter: Waiter, cause: str) -> None:
    """End a stream that has a server, unless it is ending already."""
    if stream.cause != "-":
        return
    stream.cause = cause
    if isinstance(stream.server_side, Conn):
        stream.server_side.cut()
    # One that waits before it tries again has no connection to be told by.
    waiter.wake()
