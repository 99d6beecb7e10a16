"""The fast lane: heads in their plainest form, recognised by one expression each. HOT.

Rules of this module: a lane answers a Head, or None for "not mine" - then the record (h11) decides. It may only
accept what the record accepts with the same result; tests/http/test_lane.py holds it to that. Quantifiers are
possessive, so hostile input costs linear time. What headers mean is policy's business, for both.
"""

from __future__ import annotations

import re

from trilb.http.head import Field, Head

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# A value without outer blanks and without controls: what h11 would neither trim nor refuse.
_FIELDS = rb"((?:" + _TOKEN + rb":(?: [!-~]++(?: ++[!-~]++)*+)?+\r\n)*+)\r\n"
# Uppercase methods only; CONNECT has no origin-form target, so it cannot get in.
_REQUEST = re.compile(rb"([A-Z]++) (/[!\"$-~]*+) HTTP/1\.1\r\n" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ((?:[!-~]++(?: [!-~]++)*+)?+)\r\n" + _FIELDS)
_SPLIT = re.compile(rb"([^:]++):(?: ([^\r]++))?+\r\n").findall

_LOWER: dict[bytes, bytes] = {}
_LOWER_MOST = 1024
"""Distinct spellings kept. Arbitrary; past it names are lowered one by one, so strangers cannot grow it."""


def lower(name: bytes) -> bytes:
    """The name in lower case, interned while there is room."""
    low = name.lower()
    if len(_LOWER) < _LOWER_MOST and len(name) <= 64:
        _LOWER[name] = low
    return low


def request(data: bytes) -> tuple[Head, int] | None:
    """A request's head at the beginning of `data` and its length, or None."""
    match = _REQUEST.match(data)
    if match is None:
        return None
    known = _LOWER.get
    fields: list[Field] = [(known(name) or lower(name), value) for name, value in _SPLIT(match[3])]
    return Head(match[1], match[2], 11, fields), match.end()


def response(data: bytes) -> tuple[Head, int] | None:
    """A response's head at the beginning of `data` and its length, or None."""
    match = _RESPONSE.match(data)
    if match is None:
        return None
    known = _LOWER.get
    fields: list[Field] = [(known(name) or lower(name), value) for name, value in _SPLIT(match[3])]
    head = Head(b"", b"", 11, fields)
    head.status = int(match[1])
    head.reason = match[2]
    return head, match.end()
