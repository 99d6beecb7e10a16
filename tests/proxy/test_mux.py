"""A connection of many requests without a socket: what the poller's call may meet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from tests.support.h2wire import SETTINGS, frame
from trilb.http.h2client import ClientConnection
from trilb.http.policy import Limits
from trilb.net.conn import Broken
from trilb.net.poller import Watch
from trilb.proxy.mux import Mux

pytestmark = pytest.mark.pure
POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n"


class Wire:
    """A connection whose other end is the test: `incoming` are reads, `room` is what may be sent."""

    bound = key = None
    alpn = b""

    def __init__(self, *incoming: bytes) -> None:
        self.watch = Watch(-1)
        self.sock = None
        self.incoming = list(incoming)
        self.room = 1 << 30
        self.sent = b""
        self.closed = False
        self.broken = False

    def receive(self, size: int = 0) -> bytes | None:
        """The next read."""
        if self.broken:
            raise Broken("gone")
        self.watch.ready = len(self.incoming) > 1
        return self.incoming.pop(0) if self.incoming else None

    def send(self, data: bytes) -> int:
        """As much as there is room for."""
        if self.broken:
            raise Broken("gone")
        size = min(len(data), self.room)
        self.room -= size
        self.sent += data[:size]
        return size

    def close(self) -> None:
        """The end."""
        self.closed = True


def made(wire: Wire, pool_max: int = -1) -> Mux:
    """A connection to a server that runs."""
    server = SimpleNamespace(muxes=[], running=True, line=SimpleNamespace(pool_max_conn=pool_max))
    h2 = ClientConnection(Limits(), 65535, 4096, 16384)
    mux = Mux(cast(Any, server), cast(Any, wire), h2, cast(Any, None))
    server.muxes.append(mux)
    return mux


def test_what_came_with_the_handshake() -> None:
    """It is read when the connection is made: no event will tell of it."""
    assert made(Wire(SETTINGS)).h2.settled


def test_many_reads() -> None:
    """After some reads others get their turn; the rest is read without another event."""

    async def main() -> None:
        wire = Wire(SETTINGS, *([frame(6, 1, 0, bytes(8))] * 100))
        mux = made(wire)
        assert wire.incoming
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert not wire.incoming
        assert mux.heard == 101

    trio.run(main)


def test_faults_stay_here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of ours is told, ends the connection and its streams, and goes no further."""
    wire = Wire(SETTINGS)
    mux = made(wire)
    stream = mux.stream(cast(Any, None))
    stream.send(POST)
    monkeypatch.setattr(mux.h2, "receive", lambda data, now: 1 / 0)
    wire.incoming, wire.watch.ready = [b"x"], True
    mux.run()
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert wire.closed
    assert mux.closed
    assert stream.failed
    with pytest.raises(Broken):
        stream.send(b"x")
    mux.run()


def test_broken_at_once() -> None:
    """A connection that is gone before its first request: who asks for a stream is told by it."""
    wire = Wire()
    wire.broken = True
    mux = made(wire)
    assert mux.closed
    with pytest.raises(Broken):
        mux.stream(cast(Any, None)).send(POST)


def test_streams_that_wait_for_the_output() -> None:
    """They are woken when it has drained, in as many steps as that takes."""
    wire = Wire(SETTINGS + frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff") + frame(8, 0, 0, b"\x70\0\0\0"))
    mux = made(wire)
    wire.room = 0
    stream = mux.stream(cast(Any, None))
    assert stream.send(POST) == len(POST)
    taken = 0
    while used := stream.send(b"x" * 60000):
        taken += used
    assert taken >= 100000
    stream.watch.edge = False
    for _ in range(100):
        wire.room = 5000
        mux.run()
    assert stream.watch.edge
    assert stream.send(b"x" * 100) == 100


def test_pool_max_conn() -> None:
    """Without a place in the pool it ends with its last request, and says so."""
    wire = Wire(SETTINGS)
    mux = made(wire, pool_max=0)
    mux.stream(cast(Any, None)).close()
    assert wire.closed
    assert frame(7, 0, 0, bytes(8)) in wire.sent
