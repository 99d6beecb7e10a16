"""Bodies fed whole, byte by byte and with bytes behind them say the same."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilb.http.framing import Body, ChunkedBody, LengthBody
from trilb.http.head import Refusal


def play(body: Body, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Feed the pieces; returns what came out and what was left over."""
    out, inbox = b"", b""
    for piece in pieces:
        inbox += piece
        payload, used = body.feed(inbox)
        out += payload
        inbox = inbox[used:]
    return out, inbox


def unchunk(raw: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """h11's reading of a chunked message: payload and trailers."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + raw)
    data, trailers = b"", []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            data += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            trailers = [(bytes(n), bytes(v)) for n, v in event.headers]
            return data, trailers
        elif event in (h11.NEED_DATA, h11.PAUSED):
            raise AssertionError("incomplete")


CHUNKED = b"5\r\nhello\r\n00a;x=y\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n"


def test_three_ways() -> None:
    whole = play(ChunkedBody(), [CHUNKED])
    single = ChunkedBody()
    out, rest = play(single, [bytes([c]) for c in CHUNKED])
    assert single.done
    assert not rest
    assert unchunk(out) == unchunk(whole[0]) == (b"hello0123456789", [(b"x-t", b"1")])
    assert play(ChunkedBody(), [CHUNKED + b"GET /"])[1] == b"GET /"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 17))
def test_what_leaves_is_what_came(chunks: list[bytes], step: int) -> None:
    raw = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    body = ChunkedBody()
    out, rest = play(body, [raw[i : i + step] for i in range(0, len(raw), step)])
    assert body.done
    assert not rest
    assert unchunk(out)[0] == b"".join(chunks)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_body_or_a_refusal(raw: bytes) -> None:
    body = ChunkedBody()
    try:
        play(body, [raw])
    except Refusal as refusal:
        assert refusal.status == 400


@pytest.mark.parametrize(
    "raw",
    [
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 2\r\n",
        b"\r\n",
        b"1\n",
        b"3\r\nabcd\r\n",
        b"1;a\nb\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"fffffffffffffff\r\n",
        b"0\r\n a: b\r\n\r\n",
        b"0\r\na\0: b\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(raw: bytes) -> None:
    with pytest.raises(Refusal):
        play(ChunkedBody(), [raw])


def test_length() -> None:
    body = LengthBody(5)
    assert play(body, [b"ab", b"cdeXY"]) == (b"abcde", b"XY")
    assert body.done
