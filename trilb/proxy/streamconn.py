"""One stream of an HTTP/2 connection, as a connection that speaks HTTP/1: what both directions have in common. HOT.

So that rules, retries, cookies, counters and logs know nothing of HTTP/2: a `ClientStream` is a client to them, a
`ServerStream` a server. Rules: nothing in here waits; a stream puts frames into its connection's output, and has that
written.
"""

from __future__ import annotations

from trilb.base.ip import Packed
from trilb.http.head import Field
from trilb.net.conn import Conn
from trilb.net.poller import Watch

OUT_MOST = 131072
"""Bytes waiting in a connection's output from which streams must wait, and a client is not read. Arbitrary: some round
trips."""


class StreamConn(Conn):
    """One stream of the connection `carrier`."""

    plain = False
    multiplexed = True

    __slots__ = ("_arrived", "_chunked", "_ended", "carrier", "number")

    def __init__(self, carrier: Conn, number: int) -> None:
        # There is no socket of its own: nothing of Conn's is set up but what others look at.
        self.carrier = carrier
        self.number = number
        self.sock = carrier.sock
        self.fd = -1
        self.watch = Watch(-1)
        self.bound = None
        self.inbox = b""
        self.reused = self.closed = self.failed = False
        self.requests = 0
        self.error = 0
        self.key = None
        self.since = 0.0
        self.gone = self.tasklet = None
        self._arrived = bytearray()
        self._chunked = False
        """What is read is framed in chunks."""
        self._ended = False
        """The other side said all it had to say."""

    def touch(self) -> None:
        """Something happened: whoever waits shall look."""
        watch = self.watch
        watch.ready = True
        if watch.waiter is not None:
            watch.waiter.wake()
        else:
            watch.edge = True

    def break_off(self) -> None:
        """The stream is gone, or the whole connection."""
        self.failed = True
        self.watch.hangup = self.watch.broken = True
        self.touch()

    def addresses(self) -> tuple[Packed, int, Packed, int] | None:
        """The connection's."""
        return self.carrier.addresses()

    def tcp_info(self) -> bytes | None:
        """The connection's."""
        return self.carrier.tcp_info()

    def set_option(self, name: str, value: int) -> None:
        """Options are the connection's."""
        self.carrier.set_option(name, value)


def last_chunk(trailers: list[Field]) -> bytes:
    """The end of a chunked body, with fields behind it."""
    return b"0\r\n" + b"".join([b"%b: %b\r\n" % field for field in trailers]) + b"\r\n"
