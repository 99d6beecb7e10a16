"""The payload of a chunked body that lies in a buffer, as far as it has come (RFC 9112, section 7.1)."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[^\r\n]*\r\n")


def dechunk(data: bytes) -> tuple[bytes, bool]:
    """The payload and whether it is whole. What is malformed ends it: the relay will refuse it in its turn."""
    pieces: list[bytes] = []
    at = 0
    while True:
        match = _SIZE.match(data, at)
        if match is None:
            return b"".join(pieces), False
        size = int(match[1], 16)
        if not size:
            end = data.find(b"\r\n\r\n", match.end() - 2)
            return b"".join(pieces), end >= 0
        pieces.append(data[match.end() : match.end() + size])
        at = match.end() + size + 2
        if at > len(data):
            return b"".join(pieces), False
