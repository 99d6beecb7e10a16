"""An HTTP request of a check and what is answered to it, sans-IO: HTTP/1 and HTTP/2 with one face. HOT.

`take` gives what is to be sent, `receive` takes what came. Whatever comes, nothing is raised: what is no answer makes
the exchange `failed`.
"""

from __future__ import annotations

from trilb.http import lane, policy, record
from trilb.http.dechunk import dechunk
from trilb.http.framing import ChunkedBody
from trilb.http.h2client import ClientConnection
from trilb.http.h2events import Data, Failed, Reset, Response, Trailers
from trilb.http.h2head import ask_fields
from trilb.http.head import Head, Refusal
from trilb.http.policy import Limits

_WINDOW = 65535
_SPARE = 4
"""How many times the size of a buffer a server may send over HTTP/2 until it has answered. Arbitrary: what is no part
of the answer (pings, settings, interim responses) has no end of its own, and is not kept."""


class Exchange:
    """One request over HTTP/1."""

    def __init__(self, limits: Limits, method: bytes, request: bytes) -> None:
        self.head: Head | None = None
        self.body: bytes = b""
        self.data = b""
        """All that came."""
        self.done = self.failed = False
        self._limits = limits
        self._method = method
        self._out = request
        self._begins = 0
        self._chunks: ChunkedBody | None = None
        self._checked = 0

    def take(self) -> bytes:
        """What is to be sent now."""
        out, self._out = self._out, b""
        return out

    def receive(self, data: bytes) -> None:
        """Take bytes, b"" for the end."""
        if data:
            self.data += data
        try:
            self._read(ended=not data)
        except Refusal:
            self.failed = True

    def _read(self, *, ended: bool) -> None:
        if self.head is None:
            found = lane.response(self.data) or record.response(self.data, self._limits.raw)
            if found is None:
                return
            self.head, self._begins = found
            policy.response(self.head, self._begins, self._limits, self._method)
            self._chunks = ChunkedBody(502) if self.head.chunked else None
            self._checked = self._begins
        head, body = self.head, self.data[self._begins :]
        if self._chunks is not None:
            self._checked += self._chunks.feed(self.data[self._checked :])[1]
            self.body, self.done = dechunk(body)[0], self._chunks.done
        elif head.length >= 0:
            self.body, self.done = body[: head.length], len(body) >= head.length
        else:
            self.body = body
        self.done = self.done or ended


class Multiplexed(Exchange):
    """One request over HTTP/2, the only one of its connection."""

    def __init__(
        self,
        limits: Limits,
        scheme: bytes,
        method: bytes,
        target: bytes,
        fields: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        super().__init__(limits, method, b"")
        self._engine = ClientConnection(limits, _WINDOW, 4096, 16384)
        asked = ask_fields(method, target, fields, scheme=scheme, upgrade=b"")
        self._number = self._engine.open(asked, ended=not body)
        self._rest = body
        self._left = _SPARE * limits.raw

    def take(self) -> bytes:
        """What is to be sent now: as much of the request's body as the windows allow, too."""
        engine = self._engine
        if self._rest and (room := engine.room(self._number)):
            piece, self._rest = self._rest[:room], self._rest[room:]
            engine.send_data(self._number, piece, ended=not self._rest)
        out = bytes(engine.out)
        engine.out.clear()
        return out

    def receive(self, data: bytes) -> None:
        """Take bytes, b"" for the end."""
        if not data:
            self.failed = self.failed or self.head is None
            self.done = True
            return
        self._left -= len(data)
        self.failed = self.failed or self._left < 0
        for event in self._engine.receive(data):
            if isinstance(event, Response):
                head = Head(b"", b"", 20, event.fields)
                head.status = event.status
                self.head, self.done = head, event.ended
                self.data = self.data or b"HTTP/2.0"
            elif isinstance(event, Data):
                self.body += event.data
                self.data += event.data
                self._engine.consumed(event.stream, event.credit)
                self.done = self.done or event.ended
            elif isinstance(event, Trailers):
                self.done = True
            elif isinstance(event, Failed) or (isinstance(event, Reset) and not self.done):
                self.failed = True
