"""HTTP/1 request bytes, as trilb itself writes them, into the parts of an HTTP/2 request, sans-IO. HOT.

The other direction of `h2answer`, whose framing it shares.
"""

from __future__ import annotations

from trilb.http.h2answer import CHUNKS, COUNTED, DONE, UNTIL_CLOSED, Answer, Fields, Part
from trilb.http.h2head import ask_fields
from trilb.http.head import Field


class Ask(Answer):
    """One request on its way out. `scheme` is said where the target does not say one."""

    __slots__ = ("absolute", "key", "scheme", "upgraded")

    def __init__(self, scheme: bytes = b"https") -> None:
        super().__init__(b"")
        self.scheme = scheme
        self.upgraded = b""
        """The protocol asked for."""
        self.key = b""
        """What a websocket server has to answer to."""
        self.absolute = b""
        """The target as it is to be said, where the request line has only its path."""

    def _head(self, data: bytes) -> tuple[int, Part | None]:
        used, lines = self._head_lines(data)
        if not lines:
            return used, None
        self.method, target, _ = lines[0].split(b" ", 2)
        fields: list[Field] = []
        chunked, length = False, 0
        asked, protocol = False, b""
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            if name == b"transfer-encoding":
                chunked = True
            elif name == b"content-length":
                length = int(value)
            elif name == b"upgrade":
                protocol = value.lower()
            elif name == b"connection":
                asked = asked or b"upgrade" in value.lower()
            elif name == b"sec-websocket-key":
                self.key = value
            fields.append((name, value))
        self.begun = True
        if asked:
            # Without `connection` it is a field like any other, and one that HTTP/2 does not have.
            self.upgraded = protocol
        if self.upgraded or self.method == b"CONNECT":
            self._state = UNTIL_CLOSED
        elif chunked:
            self._state = CHUNKS
        elif length:
            self._state, self._left = COUNTED, length
        else:
            self._state = DONE
        out = ask_fields(self.method, self.absolute or target, fields, scheme=self.scheme, upgrade=self.upgraded)
        return used, Fields(out, ended=self.done)
