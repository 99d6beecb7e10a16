"""A request on a server's HTTP/2 connection, as a connection that speaks HTTP/1. HOT.

Rules: see `streamconn`. What is written as an HTTP/1 request is taken apart again (`h2ask`); a response is put into
HTTP/1's words as it comes, and the window given back when all of it was read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from trilb.http.h2answer import Content, Part
from trilb.http.h2ask import Ask
from trilb.http.h2events import Data, Reset, Response, Trailers
from trilb.http.h2head import accept_of, origin_form
from trilb.http.head import Head, Refusal
from trilb.http.policy import NO_BODY
from trilb.net.conn import Broken
from trilb.proxy.streamconn import StreamConn, last_chunk

if TYPE_CHECKING:
    from trilb.proxy.mux import Mux

_INTERIM_MOST = 262144
"""Bytes of interim responses nobody has read yet, which no window bounds. Arbitrary."""
_UPGRADE = re.compile(rb"\r\nconnection: [^\r\n]*upgrade")


class ServerStream(StreamConn):
    """A server's stream; it has no number before its head is sent."""

    __slots__ = ("_ask", "_credit", "_junk", "_said", "_since", "mux", "trailed", "unserved")

    def __init__(self, mux: Mux) -> None:
        super().__init__(mux.conn, 0)
        self.mux = mux
        self.bound = mux.conn.bound
        self.key = mux.conn.key
        self.unserved = self.trailed = False
        self._ask = Ask()
        self._credit = 0
        self._said = False
        """The head of the final response was read."""
        self._since = 0
        """How often the connection had heard something when the head was sent."""
        self._junk = False
        """The response was malformed."""

    @property
    def secured(self) -> object:
        """OpenSSL's connection, where it is secured."""
        return getattr(self.carrier, "secured", None)

    def __getattr__(self, name: str) -> object:
        # What rules ask of a connection with TLS is the real connection's to tell.
        if name in ("sni", "hello", "verdict", "resumed", "tls_error"):
            return getattr(self.carrier, name)
        raise AttributeError(name)

    @property
    def alpn(self) -> bytes:
        """What the connection agreed to speak."""
        return self.carrier.alpn

    def prepare(self, head: Head, target: bytes, *, secured: bool) -> None:
        """Hear whose request comes: `target` is the one received, of which HTTP/1 may only write the path.

        A client of HTTP/2 always said a scheme, which is not kept without an authority: `secured` tells.
        """
        host = head.get(b"host")
        scheme, colon, rest = target.partition(b"://")
        if not colon or b"/" in scheme:
            if head.spoken == b"2.0" and not secured:
                self._ask.scheme = b"http"
            return
        if head.spoken == b"2.0":
            self._ask.scheme = scheme
            if head.composed and not head.target.startswith(b"/"):
                scheme, _, rest = head.target.partition(b"://")
                path = origin_form(head)
                authority = host or rest.partition(b"/")[0]
                self._ask.absolute = scheme + b"://" + authority + (b"" if path == b"*" else path)
        elif host and head.target.startswith(b"/"):
            self._ask.absolute = scheme + b"://" + host + head.target

    # -- what the connection tells ---------------------------------------------------------------------------------

    def take(self, event: Response | Data | Trailers | Reset) -> None:
        """Something came for this stream: in HTTP/1's words it goes to who reads."""
        if isinstance(event, Response):
            if event.status < 200 and len(self._arrived) > _INTERIM_MOST:
                self.mux.h2.reset(self.number, ErrorCodes.ENHANCE_YOUR_CALM)
                self.break_off()
                return
            self._head(event)
        elif isinstance(event, Data):
            self._credit += len(event.data)
            # Padding is not kept.
            self.mux.h2.consumed(self.number, event.credit - len(event.data))
            self._body(event.data, event.ended)
        elif isinstance(event, Trailers):
            if self._chunked:
                self._arrived += last_chunk(event.fields)
                self.trailed = True
            self._ended = True
        else:
            self.unserved, self._junk = event.unserved, not event.by_peer
            self.break_off()
            return
        self.touch()

    def _head(self, event: Response) -> None:
        ask, status, fields = self._ask, event.status, event.fields
        if status >= 200:
            if ask.upgraded and 200 <= status < 300:
                status = 101
                fields = [field for field in fields if field[0] not in (b"content-length", b"sec-websocket-accept")]
                fields += [(b"connection", b"upgrade"), (b"upgrade", ask.upgraded)]
                if ask.key:
                    fields.append((b"sec-websocket-accept", accept_of(ask.key)))
            elif not (
                ask.method == b"HEAD"
                or status in NO_BODY
                or ask.method == b"CONNECT"
                or any(name == b"content-length" for name, _ in fields)
            ):
                self._chunked = True
                fields = [*fields, (b"transfer-encoding", b"chunked")]
            self._said = True
        self._arrived += b"HTTP/1.1 %d \r\n%b\r\n" % (status, b"".join([b"%b: %b\r\n" % field for field in fields]))
        if event.ended and status >= 200:
            self._body(b"", True)

    def _body(self, data: bytes, ended: bool) -> None:
        if not self._chunked:
            self._arrived += data
        elif data:
            self._arrived += b"%X\r\n%b\r\n" % (len(data), data)
        if ended:
            if self._chunked:
                self._arrived += b"0\r\n\r\n"
            self._ended = True

    def _end(self) -> Exception:
        """What to raise where nothing more comes."""
        if self._junk and not self._said:
            return Refusal(502, "malformed response")
        return Broken("stream reset")

    # -- what a connection does ------------------------------------------------------------------------------------

    def receive(self, size: int = 16384) -> bytes | None:
        """Read of the response what is there, in HTTP/1's framing."""
        watch = self.watch
        watch.ready = False
        arrived = self._arrived
        if not arrived:
            if self._ended:
                return b""
            if self.failed:
                raise self._end()
            return None
        data = bytes(arrived[:size])
        del arrived[:size]
        if arrived or self._ended or self.failed:
            watch.ready = True
        elif self._credit:
            # All of it was read: the server may send as much again.
            self.mux.h2.consumed(self.number, self._credit)
            self._credit = 0
            self.mux.push()
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Take of an HTTP/1 request what windows and output have room for."""
        if self.failed or self.closed:
            if self._arrived and not self.closed:
                return 0  # what the server said before it gave up comes first
            self.failed = True
            raise self._end()
        mux, ask = self.mux, self._ask
        raw = bytes(data) if isinstance(data, memoryview) else data
        if not ask.begun and not self._may_begin(raw):
            return 0
        used = 0
        while used < len(raw):
            room = mux.room(self.number) if self.number else 0
            took, part = ask.feed(raw[used:], room)
            if part is not None:
                self._emit(part)
            elif not took:
                break
            used += took
        if used < len(raw):
            mux.waiting.add(self)
        elif self.number:
            mux.waiting.discard(self)
        mux.push()
        if self.failed:
            raise Broken("stream reset")
        return used

    def _may_begin(self, raw: bytes) -> bool:
        """An upgrade waits until the server has said whether it knows what that is. Raises Broken when it does not."""
        head = raw.partition(b"\r\n\r\n")[0].lower()
        if b"\r\nupgrade: " not in head or not _UPGRADE.search(head):
            return True
        if not head.startswith(b"get ") or b"\r\ncontent-length: " in head or b"\r\ntransfer-encoding: " in head:
            self.failed = True
            raise Broken("an upgrade with a body has no counterpart in HTTP/2")
        h2 = self.mux.h2
        if not h2.settled:
            self.mux.waiting.add(self)
            return False
        if not h2.websockets:
            self.failed = True
            raise Broken("the server does not know extended CONNECT")
        return True

    def _emit(self, part: Part) -> None:
        h2 = self.mux.h2
        if isinstance(part, Content):
            h2.send_data(self.number, part.data, ended=part.ended)
        elif not self.number:
            if not h2.room_for_one():
                self.failed = True
                self.unserved = True
                raise Broken("no room for another stream")
            self._since = self.mux.heard
            self.number = h2.open(part.fields, ended=part.ended)
            self.mux.streams[self.number] = self
        else:
            h2.send_trailers(self.number, part.fields)

    def shutdown(self) -> None:
        """Tell the server that no more will come: the end of a tunnel."""
        part = self._ask.close()
        if part is not None and isinstance(part, Content) and self.number and not self.failed:
            self.mux.h2.send_data(self.number, b"", ended=True)
            self.mux.push()

    def cut(self) -> None:
        """Whoever reads the stream finds it broken off, and resets it by closing it."""
        if not self.closed:
            self.break_off()

    def close(self, *, reset: bool = False) -> None:
        """End the stream; one whose response is not complete is reset."""
        if self.closed:
            return
        self.closed = True
        if self.number and not self.mux.closed:
            if self._credit:
                self.mux.h2.consumed(self.number, self._credit)
            self.mux.h2.reset(self.number)
            if not self._said:
                self.mux.doubt(self._since)
            self.mux.push()
        self.mux.leave(self)
        self._arrived.clear()
