"""What sticky counters learn from a stream, and its end."""

from __future__ import annotations

from trilb.live.stream import Stream


def count_head(stream: Stream) -> None:
    """Sticky counters count a request's head in HAProxy's internal form, before rules change it (observed)."""
    head = stream.request
    assert head is not None
    size = 29 + len(head.method) + len(head.target)
    for name, value in head.fields:
        if name != b"connection":
            size += len(name) + len(value)
    stream.inner_bytes = size - stream.head_size


def leave(stream: Stream, now: float) -> None:
    """A stream ends: its bytes are counted, and what it alone tracked is let go."""
    for each in stream.session.tracks(stream.tracked):
        each.bytes_moved(stream.bytes_in + stream.inner_bytes, stream.bytes_out, now)
    for mine in stream.tracked or ():
        if mine is not None:
            mine.end(now)
    stream.tracked = None


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
