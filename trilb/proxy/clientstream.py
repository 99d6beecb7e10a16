"""The client's end of one HTTP/2 stream, as a connection that speaks HTTP/1. HOT.

Rules: see `streamconn`. What is written as an HTTP/1 answer is taken apart again (`h2answer`); a request's body is
framed as it is read, and the window given back with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trilb.http.h2answer import Answer, Content, Part
from trilb.http.head import Field, Head
from trilb.net.conn import Broken
from trilb.proxy.streamconn import StreamConn, last_chunk

if TYPE_CHECKING:
    from trilb.proxy.http2 import Http2Session
    from trilb.proxy.streamsession import StreamSession


class ClientStream(StreamConn):
    """A client's stream; `link` is the session of its connection."""

    __slots__ = ("_answer", "_last", "link", "serving")

    def __init__(self, link: Http2Session, number: int, head: Head | None, *, ended: bool) -> None:
        super().__init__(link.client, number)
        self.link = link
        self.serving: StreamSession | None = None
        """Who serves the request, once somebody does."""
        self._chunked = head is not None and head.chunked
        self._ended = ended
        self._last = b"0\r\n\r\n"
        upgrade = head is not None and bool(head.upgrade)
        self._answer = Answer(head.method if head is not None else b"GET", upgrade=upgrade)

    # -- what the session tells ------------------------------------------------------------------------------------

    def arrive(self, data: bytes, credit: int, *, ended: bool) -> None:
        """A piece of the request's body."""
        self._arrived += data
        if credit > len(data):
            # Padding is not kept.
            self.link.h2.consumed(self.number, credit - len(data))
        self._ended = self._ended or ended
        self.touch()

    def end(self, trailers: list[Field]) -> None:
        """The request is complete, with fields behind its body."""
        self._last = last_chunk(trailers)
        self._ended = True
        self.touch()

    # -- what a connection does ------------------------------------------------------------------------------------

    def receive(self, size: int = 16384) -> bytes | None:
        """Read of the body what is there, in HTTP/1's framing."""
        watch = self.watch
        watch.ready = False
        if self.failed:
            raise Broken("stream reset")
        arrived = self._arrived
        if not arrived:
            if not self._ended:
                return None
            last, self._last = self._last if self._chunked else b"", b""
            return last
        payload = bytes(arrived[:size])
        del arrived[:size]
        self.link.h2.consumed(self.number, len(payload))
        self.link.kick()
        if arrived:
            watch.ready = True
        if not self._chunked:
            if self._ended:
                watch.ready = True
            return payload
        payload = b"%X\r\n%b\r\n" % (len(payload), payload)
        if self._ended and not arrived:
            last, self._last = self._last, b""
            payload += last
        return payload

    def send(self, data: bytes | memoryview) -> int:
        """Take of an HTTP/1 response what windows and output have room for."""
        if self.failed or self.closed:
            self.failed = True
            raise Broken("stream reset")
        link, answer = self.link, self._answer
        room = link.room(self.number)
        given = len(data)
        if not room and answer.begun and not answer.done:
            # No body will go: what frames it fits into this.
            data = data[:64]
        raw = bytes(data) if isinstance(data, memoryview) else data
        used, size = 0, len(raw)
        while used < size:
            took, part = answer.feed(raw[used:] if used else raw, room)
            if part is not None:
                self._emit(part)
                if isinstance(part, Content):
                    room = link.room(self.number)
            elif not took:
                break
            used += took
        if used < given:
            link.block(self)
        link.kick()
        return used

    def _emit(self, part: Part) -> None:
        h2 = self.link.h2
        if self.number not in h2.streams:
            self.failed = True
            raise Broken("stream reset")
        if isinstance(part, Content):
            h2.send_data(self.number, part.data, ended=part.ended)
        else:
            h2.send_head(self.number, part.fields, ended=part.ended)

    def shutdown(self) -> None:
        """Tell the client that no more will come: the end of a tunnel, or of a body without a length."""
        if not self.failed and not self.closed and self.number in self.link.h2.streams:
            part = self._answer.close()
            if part is not None:
                self._emit(part)
                self.link.kick()

    def close(self, *, reset: bool = False) -> None:
        """End the stream; one whose answer is not complete is reset."""
        if self.closed:
            return
        self.closed = True
        if not self.failed and not self._answer.done:
            self.link.h2.reset(self.number)
            self.link.kick()
        self._arrived.clear()

    def finish(self, *, cut: bool) -> None:
        """The request was served; `cut` says that its answer broke off before its end."""
        if not cut:
            self.shutdown()
        self.close()

    def vanish(self, ttl: int) -> None:
        """`silent-drop`: the connection goes, with all its streams."""
        self.carrier.vanish(ttl)
        self.link.kick()
