"""HTTP/1 response bytes, as trilb itself writes them, into the parts of an HTTP/2 answer, sans-IO. HOT.

What comes in was written by `write.response`, `replies` and the body readers, so it is well-formed; it comes in pieces
of any size. Framing is taken off: content-length, chunks, or the end of the connection. Bodies are taken only as far
as the caller has room for them, everything else at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from trilb.http.h2head import response_fields
from trilb.http.head import Field
from trilb.http.policy import NO_BODY

_LAST_CHUNK = b"\r\n0\r\n\r\n"
_NOTHING = b"0\r\n\r\n"


@dataclass(slots=True)
class Fields:
    """A head, an interim one, or trailers; `ended` when nothing follows."""

    fields: list[Field]
    ended: bool


@dataclass(slots=True)
class Content:
    """A piece of the body; `ended` when it was the last one."""

    data: bytes
    ended: bool


Part = Fields | Content

_HEAD, _LENGTH, _CLOSE, _SIZE, _CHUNK, _AFTER, _TRAILER, _DONE = range(8)
COUNTED, UNTIL_CLOSED, CHUNKS, DONE = _LENGTH, _CLOSE, _SIZE, _DONE
"""What follows a head: a body with a length, until the end, in chunks, none."""


class Answer:
    """One response on its way out. `begun` once a final head has been seen, `done` when it is complete."""

    __slots__ = ("_held", "_left", "_state", "_trailers", "begun", "method", "upgrade")

    def __init__(self, method: bytes, *, upgrade: bool = False) -> None:
        self.method = method
        self.upgrade = upgrade
        self.begun = False
        self._state = _HEAD
        self._left = 0
        self._held = b""
        self._trailers: list[Field] = []

    @property
    def done(self) -> bool:
        """Was the whole response seen?"""
        return self._state == _DONE

    @property
    def open_ended(self) -> bool:
        """Does the body run until the connection closes?"""
        return self._state == _CLOSE

    def feed(self, data: bytes, room: int) -> tuple[int, Part | None]:
        """Take the next part from the beginning of `data`, at most `room` bytes of it body.

        Returns how many bytes it took and the part, if there is one to send. 0 and None: nothing can be taken now.
        """
        state = self._state
        if state == _HEAD:
            return self._head(data)
        if state == _DONE:
            # An answer of ours with a body where none may be (HEAD): nobody will see it.
            return len(data), None
        if state in (_LENGTH, _CLOSE, _CHUNK):
            return self._content(data, room)
        if state == _AFTER:
            return self._after_chunk(data)
        return self._lines(data)

    def _head_lines(self, data: bytes) -> tuple[int, list[bytes]]:
        """The lines of a head, none before all of it came, and how many bytes were taken."""
        whole = self._held + data
        end = whole.find(b"\r\n\r\n")
        if end < 0:
            self._held = whole
            return len(data), []
        used = end + 4 - len(self._held)
        self._held = b""
        return used, whole[:end].split(b"\r\n")

    def _head(self, data: bytes) -> tuple[int, Part | None]:
        used, lines = self._head_lines(data)
        if not lines:
            return used, None
        status = int(lines[0][9:12])
        fields: list[Field] = []
        chunked, length = False, -1
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            if name == b"transfer-encoding":
                chunked = True
            elif name == b"content-length":
                length = int(value)
            fields.append((name, value))
        tunnel = (self.upgrade and status == 101) or (self.method == b"CONNECT" and 200 <= status < 300)
        upgraded = self.upgrade and status == 101
        if 100 <= status < 200 and not upgraded:
            return used, Fields(response_fields(status, fields, upgraded=False), ended=False)
        self.begun = True
        if tunnel:
            self._state = _CLOSE
        elif self.method == b"HEAD" or status in NO_BODY or (length == 0 and not chunked):
            self._state = _DONE
        elif chunked and data.startswith(_NOTHING, used):
            # An empty body ends with its head, as gRPC wants it.
            self._state = _DONE
            used += len(_NOTHING)
        elif chunked:
            self._state = _SIZE
        elif length > 0:
            self._state, self._left = _LENGTH, length
        else:
            self._state = _CLOSE
        return used, Fields(response_fields(200 if upgraded else status, fields, upgraded=upgraded), ended=self.done)

    def _content(self, data: bytes, room: int) -> tuple[int, Part | None]:
        size = min(len(data), room)
        if self._state == _CLOSE:
            return (size, Content(data[:size], ended=False)) if size else (0, None)
        size = min(size, self._left)
        if not size:
            return 0, None
        self._left -= size
        used = size
        if not self._left:
            if self._state == _LENGTH:
                self._state = _DONE
            elif data[size : size + len(_LAST_CHUNK)] == _LAST_CHUNK:
                # The last chunk is here already: the end goes with the data.
                self._state = _DONE
                used += len(_LAST_CHUNK)
            else:
                self._state = _AFTER
        return used, Content(data[:size], ended=self.done)

    def _after_chunk(self, data: bytes) -> tuple[int, Part | None]:
        """The line end behind a chunk, which may come in two halves."""
        used = min(2 - len(self._held), len(data))
        self._held += data[:used]
        if len(self._held) == 2:
            self._held, self._state = b"", _SIZE
        return used, None

    def _lines(self, data: bytes) -> tuple[int, Part | None]:
        """A line of chunk size, or of trailers."""
        whole = self._held + data
        end = whole.find(b"\r\n")
        if end < 0:
            self._held = whole
            return len(data), None
        used = end + 2 - len(self._held)
        line, self._held = whole[:end], b""
        if self._state == _SIZE:
            self._left = int(line.partition(b";")[0], 16)
            self._state = _CHUNK if self._left else _TRAILER
            return used, None
        if line:
            name, _, value = line.partition(b":")
            self._trailers.append((name.lower(), value.strip(b" \t")))
            return used, None
        self._state = _DONE
        return used, Fields(self._trailers, ended=True) if self._trailers else Content(b"", ended=True)

    def close(self) -> Part | None:
        """The sender closed: the end of a body that runs until then."""
        if self._state != _CLOSE:
            return None
        self._state = _DONE
        return Content(b"", ended=True)
