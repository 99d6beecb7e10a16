"""The fast lane: heads in their plainest form, taken apart line by line. HOT.

Rules of this module: a lane answers a Head, or None for "not mine" - then the record (h11) decides. It may only
accept what the record accepts with the same result; tests/http/test_lane.py holds it to that. Quantifiers are
possessive, so hostile input costs linear time. What headers mean is policy's business, for both.

Most lines of a head were seen before, from this client or another: what they said is remembered, so that only those
that are new are looked at (bench/micro/lane.py). What identifies somebody is not remembered.
"""

from __future__ import annotations

import re
from typing import Final

from trilb.http.head import UPGRADE, Field, Head

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# Uppercase methods only; CONNECT has no origin-form target, so it cannot get in.
_REQUEST: Final = re.compile(rb"(?!CONNECT )([A-Z]++) (/[!\"$-~]*+) HTTP/1\.1").fullmatch
_RESPONSE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ((?:[!-~]++(?: [!-~]++)*+)?+)").fullmatch
# A value without outer blanks and without controls: what h11 would neither trim nor refuse.
_LINE: Final = re.compile(rb"(" + _TOKEN + rb"):(?: ([!-~]++(?: ++[!-~]++)*+))?+").fullmatch

_LOWER: dict[bytes, bytes] = {}
_LOWER_MOST: Final = 1024
"""Distinct spellings kept. Arbitrary; past it names are lowered one by one, so strangers cannot grow it."""

_PRIVATE: Final = frozenset((b"cookie", b"set-cookie", b"authorization", b"proxy-authorization"))
_MOST_LINES: Final = 2048
_LONGEST: Final = 160
_LONGEST_BLOCK: Final = 2048
"""Lines remembered, and how long they may be. Arbitrary: half a megabyte at the most."""


class _Lines:
    """What lines said: two generations, of which the older one goes when the younger one is full."""

    __slots__ = ("old", "young")

    def __init__(self) -> None:
        self.young: dict[bytes, Field] = {}
        self.old: dict[bytes, Field] = {}

    def learn(self, line: bytes) -> Field | None:
        """A line that is not among the young ones; None when it is not for the lane."""
        field = self.old.get(line)
        if field is None:
            match = _LINE(line)
            if match is None:
                return None
            name, value = match[1], match[2]
            field = (_LOWER.get(name) or lower(name), value or b"")
            if len(line) > _LONGEST or field[0] in _PRIVATE:
                return field
        if len(self.young) >= _MOST_LINES:
            self.old, self.young = self.young, {}
        self.young[line] = field
        return field


_lines = _Lines()
_statuses: dict[bytes, tuple[int, bytes]] = {}


def lower(name: bytes) -> bytes:
    """The name in lower case, interned while there is room."""
    low = name.lower()
    if len(_LOWER) < _LOWER_MOST and len(name) <= 64:
        _LOWER[name] = low
    return low


def request(data: bytes) -> tuple[Head, int] | None:
    """A request's head at the beginning of `data` and its length, or None."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    match = _REQUEST(lines[0])
    if match is None:
        return None
    fields = _fields(lines)
    if fields is None:
        return None
    return Head(match[1], match[2], 11, fields), end + 4


class Previous:
    """What a session's last request was but for its first line: the next one, from a browser above all, says the same.

    Only a request that was nothing but a plain head is kept.
    """

    __slots__ = ("_block", "_connection", "_fields")

    def __init__(self) -> None:
        self._block = b""
        self._fields: list[Field] = []
        self._connection = 0

    def request(self, data: bytes, most: int) -> tuple[Head, int] | None:
        """The head that `data` is, policy's part done, and its length; None when it differs from the one before.

        It is no longer than `most` bytes, up to which policy measures nothing.
        """
        begin = data.find(b"\r\n")
        block = self._block
        if len(data) - begin != len(block) or data[begin:] != block or len(data) > most:
            return None
        match = _REQUEST(data, 0, begin)
        if match is None or match[1] == b"PRI":
            return None
        head = Head(match[1], match[2], 11, self._fields.copy())
        head.length = 0
        head.connection = self._connection
        return head, len(data)

    def keep(self, data: bytes, head: Head, size: int) -> None:
        """Remember a head that policy has passed, of `size` bytes at the beginning of `data`."""
        if size != len(data) or size > _LONGEST_BLOCK or head.length or head.chunked or head.connection & UPGRADE:
            return
        self._block = data[data.find(b"\r\n") :]
        self._fields = head.fields.copy()
        self._connection = head.connection


def response(data: bytes) -> tuple[Head, int] | None:
    """A response's head at the beginning of `data` and its length, or None."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    first = lines[0]
    known = _statuses.get(first)
    if known is None:
        match = _RESPONSE(first)
        if match is None:
            return None
        known = (int(match[1]), match[2])
        if len(_statuses) < 256 and len(first) <= 64:
            _statuses[first] = known
    fields = _fields(lines)
    if fields is None:
        return None
    head = Head(b"", b"", 11, fields)
    head.status, head.reason = known
    return head, end + 4


def _fields(lines: list[bytes]) -> list[Field] | None:
    """The fields of all lines but the first; None when one is not for the lane."""
    known = _lines.young
    fields: list[Field] = []
    for at in range(1, len(lines)):
        line = lines[at]
        field = known.get(line)
        if field is None:
            field = _lines.learn(line)
            if field is None:
                return None
        fields.append(field)
    return fields
