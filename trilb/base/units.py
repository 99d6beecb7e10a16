"""Times and sizes as HAProxy writes them (configuration.txt, sections 2.5 and 2.6)."""

from __future__ import annotations

import re

from trilb.base.diagnostic import Refused

_TIME = re.compile(r"(\d+)(us|ms|s|m|h|d)?\Z")
_SIZE = re.compile(r"(\d+)([kKmMgG])?\Z")
_MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

LONGEST_TIME = 0x7FFFFFFF
"""Milliseconds; HAProxy keeps times in a signed 32-bit number, about 24.8 days."""


def milliseconds(text: str, unit: str = "ms") -> int:
    """Read a time such as `5s` into whole milliseconds; a bare number counts in `unit`.

    A time between 0 and 1 ms rounds up to 1 ms, as HAProxy does. Raises Refused on anything else.
    """
    match = _TIME.match(text)
    if match is None:
        raise Refused(f"'{text}' is not a time; write a whole number with one of the units us, ms, s, m, h, d")
    value = saturated(match[1]) * _MILLISECONDS[match[2] or unit]
    if value > LONGEST_TIME:
        raise Refused(f"time '{text}' is too large; the longest is {LONGEST_TIME} ms (about 24.8 days)")
    return int(value) if value == int(value) else int(value) + 1


def seconds(text: str, unit: str = "ms") -> float:
    """Read a time into seconds, for the event loop's clock."""
    return milliseconds(text, unit) / 1000


def size(text: str) -> int:
    """Read a size such as `16k` into bytes. Raises Refused."""
    match = _SIZE.match(text)
    if match is None:
        raise Refused(f"'{text}' is not a size; write a whole number with an optional k, m or g")
    return saturated(match[1]) * _BYTES[(match[2] or "").lower()]


_GUID = re.compile(r"[A-Za-z0-9.:_-]{1,127}\Z")


def guid(text: str) -> str:
    """Read a global unique id (configuration.txt, `guid`). Raises Refused."""
    if not _GUID.match(text):
        raise Refused(f"a guid has at most 127 letters, digits and '.', ':', '-', '_', unlike '{text}'")
    return text


_LARGEST = (1 << 63) - 1
_DIGITS = 300


def saturated(text: str) -> int:
    """What a stranger wrote as a number, all of it digits and perhaps a sign before them.

    One of more digits than Python cares to read is the largest that C's strtol knows, as it is for HAProxy.
    """
    if len(text) <= _DIGITS:
        return int(text)
    return -_LARGEST - 1 if text[0] == "-" else _LARGEST


def whole(text: str, low: int, high: int, what: str) -> int:
    """Read a whole number between `low` and `high`, both allowed. Raises Refused naming `what`."""
    try:
        value = int(text, 10)
    except ValueError:
        raise Refused(f"{what} expects a whole number between {low} and {high}, not '{text}'") from None
    if not low <= value <= high:
        raise Refused(f"{what} must be between {low} and {high}, not {value}")
    return value
