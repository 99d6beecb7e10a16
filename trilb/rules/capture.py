"""Captured headers: kept for the log and for `capture.*` fetches (configuration.txt, sections 4.2 and 8.8)."""

from __future__ import annotations

from trilb.http.head import Head
from trilb.live.plan import Step
from trilb.live.stream import Stream


def header_step(headers: list[tuple[str, int]], slots: list[int], side: str) -> tuple[Step, ...]:
    """The step that fills the slots of captured headers with the last field of each name; none without slots."""
    if not slots:
        return ()
    count = len(slots)
    wanted = tuple((name.encode("latin-1"), index, slots[index]) for name, index in headers)

    def request(stream: Stream) -> None:
        assert stream.request is not None
        stream.captures_in = [None] * count
        _fill(stream.request, stream.captures_in, wanted)

    def response(stream: Stream) -> None:
        assert stream.response is not None
        stream.captures_out = [None] * count
        _fill(stream.response, stream.captures_out, wanted)

    return (request if side == "request" else response,)


def _fill(head: Head, found: list[bytes | None], wanted: tuple[tuple[bytes, int, int], ...]) -> None:
    for name, index, most in wanted:
        values = head.all(name)
        if values:
            found[index] = values[-1][:most]
