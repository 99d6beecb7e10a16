"""Requests that go past the library: whatever a client does, they look as if it had kept them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hpack import Decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2wire import PREFACE, SETTINGS, frame
from trilb.http.h2encode import encode
from trilb.http.h2events import Event, Tuning
from trilb.http.h2server import ServerConnection
from trilb.http.policy import Limits

DATA, HEADERS, PRIORITY, RST, SET, PING, WINDOW = 0, 1, 2, 3, 4, 6, 8
BLOCK = encode([(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")])
BROKEN = encode([(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"UPPER", b"a")])

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

_token = st.binary(min_size=1, max_size=12).map(lambda raw: raw.hex().encode())
_name = st.one_of(st.sampled_from([b":status", b"server", b"set-cookie", b"authorization", b"date"]), _token)


@given(st.lists(st.tuples(_name, st.one_of(st.binary(max_size=40), st.just(b"x" * 5000), st.just(b"200")))))
def test_fields(fields: list[tuple[bytes, bytes]]) -> None:
    """Any decoder reads what is written, whether a field was written before or not."""
    decoder = Decoder(max_header_list_size=1 << 24)
    for _ in range(2):
        assert [(bytes(n), bytes(v)) for n, v in decoder.decode(encode(fields), raw=True)] == fields


def _increment(number: int) -> bytes:
    return number.to_bytes(4, "big")


_stream = st.sampled_from([1, 3, 5, 7])
_moves = st.one_of(
    st.tuples(st.just("new"), st.sampled_from([BLOCK, BROKEN, BLOCK + b"\xff"]), st.sampled_from([5, 0x25])),
    st.tuples(st.just("new"), st.just(BLOCK), st.just(4)),
    st.tuples(st.just("window"), _stream, st.sampled_from([0, 1, 70000, (1 << 31) - 1])),
    st.tuples(st.just("rst"), _stream, st.sampled_from([0, 8])),
    st.tuples(st.just("data"), _stream, st.sampled_from([0, 1])),
    st.tuples(st.just("headers"), _stream, st.just(5)),
    st.tuples(st.just("priority"), _stream, st.sampled_from([0, 9])),
    st.tuples(st.just("short"), _stream, st.sampled_from([RST, WINDOW])),
    st.tuples(st.just("initial"), st.sampled_from([0, 100, 65535, (1 << 31) - 1]), st.just(0)),
    st.tuples(st.just("ping"), st.sampled_from([0, 1]), st.just(0)),
    st.tuples(st.just("answer"), _stream, st.booleans()),
    st.tuples(st.just("body"), _stream, st.sampled_from([0, 10, 20000])),
    st.tuples(st.just("end"), _stream, st.just(0)),
    st.tuples(st.just("reset"), _stream, st.just(2)),
    st.tuples(st.just("drain"), st.just(0), st.just(0)),
)


class _Run:
    """A connection, and what was heard and said on it; `past` lets requests go past the library."""

    def __init__(self, *, past: bool) -> None:
        self.conn = ServerConnection(Tuning(max_streams=3), Limits())
        self.past = past
        self.next = 1
        self.said: list[object] = []
        self.answered: set[int] = set()
        self.take(PREFACE + SETTINGS + frame(HEADERS, 5, 1, BLOCK))

    def take(self, raw: bytes) -> None:
        """Bytes come."""
        if not self.past:
            self.conn._warm = False
        events: list[Event] = self.conn.receive(raw, 1.0)
        self.said.append([_ADDRESS.sub("", repr(event)) for event in events] if not self.conn.failed else "failed")

    def do(self, move: tuple[Any, Any, Any]) -> None:
        """One move of the client or of ours."""
        what, one, two = move
        conn = self.conn
        if what == "new":
            self.next += 2
            self.take(frame(HEADERS, two, self.next, (b"\0\0\0\0\x10" if two & 0x20 else b"") + one))
        elif what == "window":
            self.take(frame(WINDOW, 0, one, _increment(two)))
        elif what == "rst":
            self.take(frame(RST, 0, one, _increment(two)))
        elif what == "data":
            self.take(frame(DATA, two, one, b"abc"))
        elif what == "headers":
            self.take(frame(HEADERS, two, one, BLOCK))
        elif what == "priority":
            self.take(frame(PRIORITY, 0, one, _increment(two) + b"\x10"))
        elif what == "short":
            self.take(frame(two, 0, one, b"ab"))
        elif what == "initial":
            self.take(frame(SET, 0, 0, b"\0\4" + _increment(one)))
        elif what == "ping":
            self.take(frame(PING, one, 0, b"12345678"))
        elif what == "drain":
            conn.drain()
        elif one in conn.streams and not conn.failed:
            if what == "answer" and one not in self.answered:
                self.answered.add(one)
                conn.send_head(one, [(b":status", b"200"), (b"server", b"x")], ended=two)
            elif what == "body" and one in self.answered:
                conn.send_data(one, bytes(min(two, conn.room(one))), ended=False)
            elif what == "end" and one in self.answered:
                conn.send_data(one, b"", ended=True)
            elif what == "reset":
                conn.reset(one, two)

    def state(self) -> object:
        """All that shows."""
        conn = self.conn
        rooms = {number: conn.room(number) for number in conn.streams}
        return self.said, bytes(conn.out) if not conn.failed else b"", rooms, conn.failed, conn.glitches, conn.highest


@settings(max_examples=300, deadline=None)
@given(st.lists(_moves, max_size=14))
def test_as_the_library_does(moves: list[tuple[Any, Any, Any]]) -> None:
    """The same moves, once past it and once through it."""
    past, through = _Run(past=True), _Run(past=False)
    for move in moves:
        past.do(move)
        through.do(move)
        assert past.state() == through.state(), move
        if past.conn.failed:
            break


@pytest.mark.parametrize("size", [100, 16385, 70000])
def test_a_long_head(size: int) -> None:
    """It goes in as many frames as it needs."""
    run = _Run(past=True)
    run.do(("new", BLOCK, 5))
    run.conn.out.clear()
    run.conn.send_head(3, [(b":status", b"200"), (b"x", b"y" * size)], ended=True)
    out, block, kinds = bytes(run.conn.out), b"", []
    while out:
        length = int.from_bytes(out[:3], "big")
        kinds.append((out[3], out[4], int.from_bytes(out[5:9], "big")))
        block += out[9 : 9 + length]
        out = out[9 + length :]
    count = -(-len(block) // 16384)
    assert kinds[0] == (HEADERS, 1 | (4 if count == 1 else 0), 3)
    assert kinds[1:] == [(9, 4 if at == count - 1 else 0, 3) for at in range(1, count)]
    decoder = Decoder(max_header_list_size=1 << 24)
    assert [*decoder.decode(block, raw=True)] == [(b":status", b"200"), (b"x", b"y" * size)]
