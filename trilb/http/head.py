"""A message head: what the lane and the record both produce, and what rules edit. HOT.

Names are lower case already, values are stripped; both are bytes. `fields` keeps the order of the wire.
"""

from __future__ import annotations

from typing import Final

Field = tuple[bytes, bytes]

NO_LENGTH: Final = -1


class Head:
    """A request's or a response's head.

    Framing: `chunked`, or `length` bytes (NO_LENGTH when the message says none). `upgrade` is the lower-cased
    protocol asked for or agreed to, when the connection header names it. `version` is 10 or 11;
    `spoken` is what the client wrote when that was neither (HTTP/1.2), for the log. `composed` says that the target was
    put together from HTTP/2's pseudo-headers, so that a server is sent only its path.
    """

    __slots__ = (
        "chunked",
        "composed",
        "connection",
        "fields",
        "length",
        "method",
        "reason",
        "spoken",
        "status",
        "target",
        "upgrade",
        "version",
    )

    def __init__(self, method: bytes, target: bytes, version: int, fields: list[Field]) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.status = 0
        self.reason = b""
        self.spoken = b""
        self.length = NO_LENGTH
        self.chunked = False
        self.connection = 0
        self.upgrade = b""
        self.composed = False

    def get(self, name: bytes) -> bytes | None:
        """The first value of that (lower-case) name."""
        for field in self.fields:
            if field[0] == name:
                return field[1]
        return None

    def all(self, name: bytes) -> list[bytes]:
        """Every value of that (lower-case) name, in order."""
        return [value for key, value in self.fields if key == name]

    def remove(self, name: bytes) -> None:
        """Drop every field of that name."""
        self.fields = [field for field in self.fields if field[0] != name]

    def set(self, name: bytes, value: bytes) -> None:
        """Replace every field of that name by one at the end, as `set-header` does."""
        self.remove(name)
        self.fields.append((name, value))

    def add(self, name: bytes, value: bytes) -> None:
        """Append a field."""
        self.fields.append((name, value))


CLOSE: Final = 1
KEEP_ALIVE: Final = 2
UPGRADE: Final = 4
"""Bits of Head.connection: what the connection header asked for."""


def asked_size(head: Head) -> int:
    """The size of a request's head in HAProxy's accounting, which `bin` and the log's %U show."""
    size = 29 + len(head.method) + len(head.target)
    for name, value in head.fields:
        if name != b"connection":
            size += len(name) + len(value)
    return size if not head.connection & UPGRADE else size + len(b"connection") + len(b"upgrade")


def answered_size(head: Head) -> int:
    """The size of a response's head in HAProxy's accounting, which the log's %B shows."""
    size = 32 + len(head.reason)
    for name, value in head.fields:
        size += len(name) + len(value)
    return size


class Refusal(Exception):
    """A message that cannot be passed on: the status to answer (0: close silently) and the reason for counters."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
