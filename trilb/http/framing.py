"""Message bodies, sans-IO: what of the bytes at hand is body, and where it ends. HOT.

A reader is fed bytes and returns (payload, used): the body bytes as they should be sent on and how many bytes of
the input they took; `done` tells that the body is complete. The chunked reader checks every chunk and writes it
anew, so that nothing but plain chunks ever reaches the other side.
"""

from __future__ import annotations

import re

from trilb.http.head import Head, Refusal

_SIZE = re.compile(rb"([0-9A-Fa-f]++)[ \t]*+(;[^\r\n\0]*+)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[^\r\n\0]*+\Z")
_FORBIDDEN_TRAILERS = frozenset((b"content-length", b"transfer-encoding", b"host", b"connection"))
MAX_SIZE_LINE = 1024
"""Bytes of a chunk-size line with its extensions; longer ones are refused. Arbitrary, as h11's own."""
MAX_TRAILER = 8192
MAX_TRAILERS = 100


class LengthBody:
    """A body of a known length."""

    __slots__ = ("done", "left", "payload_bytes")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0
        self.payload_bytes = 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take what belongs to the body."""
        size = len(data)
        if size >= self.left:
            size = self.left
            self.done = True
            if size != len(data):
                data = data[:size]
        self.left -= size
        self.payload_bytes += size
        return data, size

    def end(self) -> bool:
        """The sender closed: was the body complete?"""
        return self.done


class CloseBody:
    """A body that runs until the sender closes."""

    __slots__ = ("done", "payload_bytes")

    def __init__(self) -> None:
        self.done = False
        self.payload_bytes = 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take everything."""
        self.payload_bytes += len(data)
        return data, len(data)

    def end(self) -> bool:
        """The end of the connection is the end of the body."""
        self.done = True
        return True


class ChunkedBody:
    """A chunked body (RFC 9112, section 7.1): checked, and written anew without extensions.

    Raises Refusal(`status`) from feed when a chunk is malformed.
    """

    __slots__ = ("_left", "_state", "_trailer", "_trailers", "done", "payload_bytes", "status")

    def __init__(self, status: int = 400) -> None:
        self.status = status
        self.done = False
        self.payload_bytes = 0
        self._left = 0
        self._state = 0  # 0 size line, 1 data, 2 CRLF after data, 3 trailers
        self._trailer = 0
        self._trailers = 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take whole elements; what is incomplete stays with the caller."""
        at, size = 0, len(data)
        pieces: list[bytes] = []
        tail = b""
        while not self.done:
            if self._state == 1:
                take = min(self._left, size - at)
                if not take:
                    break
                pieces.append(data[at : at + take])
                at += take
                self._left -= take
                if self._left:
                    break
                self._state = 2
            elif self._state == 2:
                if size - at < 2:
                    if data[at:] not in (b"", b"\r"):
                        raise Refusal(self.status, "chunk not ended by CRLF")
                    break
                if data[at : at + 2] != b"\r\n":
                    raise Refusal(self.status, "chunk not ended by CRLF")
                at += 2
                self._state = 0
            elif self._state == 0:
                match = _SIZE.match(data, at)
                if match is None:
                    self._check_partial(data, at)
                    break
                digits = match[1].lstrip(b"0")
                if len(digits) > 13:
                    raise Refusal(self.status, "chunk size too large")
                at = match.end()
                self._left = int(digits or b"0", 16)
                self._state = 1 if self._left else 3
            else:
                end = data.find(b"\r\n", at)
                if end < 0:
                    if size - at > MAX_TRAILER or b"\n" in data[at:] or b"\0" in data[at:]:
                        raise Refusal(self.status, "malformed trailer")
                    break
                line = data[at:end]
                at = end + 2
                if not line:
                    self.done = True
                    tail += b"\r\n"
                    break
                self._trailers += 1
                if self._trailers > MAX_TRAILERS:
                    raise Refusal(self.status, "too many trailers")
                tail += self._trailer_line(line)
        out = b""
        if pieces:
            payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.payload_bytes += len(payload)
            out = b"%X\r\n%b\r\n" % (len(payload), payload)
        if tail:
            # The last chunk is written with the first byte that follows it.
            out += tail if self._trailer < 0 else b"0\r\n" + tail
            self._trailer = -1
        return out, at

    def _trailer_line(self, line: bytes) -> bytes:
        if not _TRAILER.match(line) or b"\r" in line:
            raise Refusal(self.status, "malformed trailer")
        name, _, value = line.partition(b":")
        if name.lower() in _FORBIDDEN_TRAILERS:
            return b""
        value = value.strip(b" \t")
        self.payload_bytes += len(name) + len(value)
        return name.lower() + b": " + value + b"\r\n"

    def _check_partial(self, data: bytes, at: int) -> None:
        """An incomplete size line may wait for more, a wrong one may not."""
        rest = data[at:]
        if not rest:
            return
        line = rest.partition(b"\r")[0]
        if (
            len(rest) > MAX_SIZE_LINE
            or not re.match(rb"[0-9A-Fa-f]++[ \t]*+(?:;[^\n\0]*+)?\Z", line)
            or b"\n" in rest
            or (b"\r" in rest and not rest.endswith(b"\r"))
            or len(re.match(rb"0*([0-9A-Fa-f]*)", line)[1]) > 13  # type: ignore[index]
        ):
            raise Refusal(self.status, "malformed chunk size")

    def end(self) -> bool:
        """The sender closed: was the last chunk seen?"""
        return self.done


class UnwantedBody:
    """A body that the client did not ask for (HEAD made GET by a rule): read to its end, and not passed on."""

    __slots__ = ("inner",)

    def __init__(self, inner: LengthBody | CloseBody | ChunkedBody) -> None:
        self.inner = inner

    @property
    def done(self) -> bool:
        """Was all of it seen?"""
        return self.inner.done

    @property
    def payload_bytes(self) -> int:
        """Nothing of it goes on."""
        return 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take what belongs to the body."""
        return b"", self.inner.feed(data)[1]

    def end(self) -> bool:
        """The sender closed: was the body complete?"""
        return self.inner.end()


Body = LengthBody | CloseBody | ChunkedBody | UnwantedBody


def of_request(head: Head) -> Body | None:
    """The body a request's head announces, None for none."""
    if head.chunked:
        return ChunkedBody(400)
    return LengthBody(head.length) if head.length else None


def of_response(head: Head) -> LengthBody | CloseBody | ChunkedBody:
    """The body a response's head announces; one without framing runs until the server closes."""
    if head.chunked:
        return ChunkedBody(502)
    return LengthBody(head.length) if head.length >= 0 else CloseBody()
