"""`capture cookie`: one cookie as the client sent it and as the server set it, for the log (section 8.7)."""

from __future__ import annotations

from trilb.http.cookies import scan
from trilb.http.head import Head
from trilb.live.plan import Step
from trilb.live.stream import Stream


def _find(head: Head, header: bytes, wanted: bytes, most: int, only_first: bool) -> bytes | None:
    """The first `name=value` that begins with `wanted`, cut; of a Set-Cookie only its first pair counts."""
    for line in head.all(header):
        for cookie in scan(line):
            if cookie.equal >= 0:
                pair = b"%b=%b" % (
                    line[cookie.name_start : cookie.name_end],
                    line[cookie.value_start : cookie.value_end],
                )
                if pair.startswith(wanted):
                    return pair[:most]
            if only_first:
                break
    return None


def request(name: str, most: int) -> Step:
    """The step that looks for the cookie in a request."""
    wanted = name.encode("latin-1")

    def step(stream: Stream) -> None:
        assert stream.request is not None
        stream.cookie_captured = _find(stream.request, b"cookie", wanted, most, False)

    return step


def response(name: str, most: int) -> Step:
    """The step that looks for it in a server's response."""
    wanted = name.encode("latin-1")

    def step(stream: Stream) -> None:
        assert stream.response is not None
        stream.cookie_captured_out = _find(stream.response, b"set-cookie", wanted, most, True)

    return step
