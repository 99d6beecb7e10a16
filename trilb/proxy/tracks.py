"""What sticky counters learn from a stream, and its end. HOT."""

from __future__ import annotations

from trilb.live.stream import Stream


def leave(stream: Stream, now: float) -> None:
    """A stream ends: its bytes are counted, and what it alone tracked is let go."""
    for each in stream.session.tracks(stream.tracked):
        each.bytes_moved(stream.bytes_in + stream.inner_bytes, stream.bytes_out, now)
    for mine in stream.tracked or ():
        if mine is not None:
            mine.end(now)
    stream.tracked = None


def asked(stream: Stream, now: float) -> None:
    """A request came."""
    for each in stream.session.tracks(stream.tracked):
        each.count(each.table.on_request, now)


def erred(stream: Stream, now: float) -> None:
    """The client made an error, or was denied."""
    for each in stream.session.tracks(stream.tracked):
        each.count(each.table.on_error, now)


def judge(stream: Stream, status: int, errors: frozenset[int], failures: frozenset[int], now: float) -> None:
    """A server's status is an error of the client, a failure of the server, or neither."""
    for each in stream.session.tracks(stream.tracked):
        if status in errors:
            each.count(each.table.on_error, now)
        elif status in failures:
            each.count(each.table.on_failure, now)


def failed(stream: Stream, now: float) -> None:
    """A server gave no usable response."""
    for each in stream.session.tracks(stream.tracked):
        each.count(each.table.on_failure, now)
