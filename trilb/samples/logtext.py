"""How values look in log lines: dates, escapes, quotes (configuration.txt, sections 8.2.6 and 8.6). HOT."""

from __future__ import annotations

import re
import time
from typing import Final

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_URL_UNSAFE: Final = re.compile(rb'[\x00-\x1f"#\x7f-\xff]')
_HEADER_UNSAFE: Final = re.compile(rb'[\x00-\x1f"#{|}\x7f-\xff]')
_HTTP_UNSAFE: Final = re.compile(rb"[\x01-\x08\x0a-\x1f\x7f]")
_STRUCTURED: Final = re.compile(rb'["\\\]]')


def _hex(match: re.Match[bytes]) -> bytes:
    return b"#%02X" % match[0][0]


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def url_escape(value: bytes) -> bytes:
    """Escape what must not stand in a log line, `"` as `#22`."""
    return _URL_UNSAFE.sub(_hex, value)


def header_escape(value: bytes) -> bytes:
    """The same for captured headers, which also delimit by braces and bars."""
    return _HEADER_UNSAFE.sub(_hex, value)


def http_escape(value: bytes) -> bytes:
    """Escape what must not stand in a header field, as `%0A`."""
    return _HTTP_UNSAFE.sub(_percent, value)


def structured_escape(value: bytes) -> bytes:
    """Escape what ends a value of RFC 5424's structured data: the flag E."""
    return _STRUCTURED.sub(rb"\\\g<0>", value)


def until_nul(value: bytes) -> bytes:
    """A sample as text ends where a NUL byte is."""
    return value if b"\0" not in value else value[: value.index(b"\0")]


_MILLISECONDS: Final = tuple([f".{number:03d}" for number in range(1000)])


class DateCache:
    """Log dates, formatted once a second: `20/Nov/2026:22:30:01` in local time."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def get(self, wall: float) -> str:
        """The date of `wall` (seconds since the epoch) with milliseconds."""
        second = int(wall)
        if second != self._second:
            self._text = _date(time.localtime(second))
            self._second = second
        return self._text + _MILLISECONDS[int((wall - second) * 1000)]


def _date(t: time.struct_time) -> str:
    return f"{t.tm_mday:02d}/{MONTHS[t.tm_mon - 1]}/{t.tm_year}:{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"


def local_date(wall: float) -> str:
    """`20/Nov/2026:22:30:01 +0100`, local time."""
    t = time.localtime(int(wall))
    return f"{_date(t)} {time.strftime('%z', t)}"


def utc_date(wall: float) -> str:
    """`20/Nov/2026:21:30:01 +0000`."""
    return f"{_date(time.gmtime(int(wall)))} +0000"
