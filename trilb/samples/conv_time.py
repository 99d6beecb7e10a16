"""Converters of dates (configuration.txt, section 7.3.1)."""

from __future__ import annotations

import re
import time
from calendar import timegm
from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.samples.types import Convert, Value, as_bytes, converter

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS = {"s": 1, "ms": 1000, "us": 1_000_000}
_WHEN = (optional("offset", Kind.INT, 0), optional("unit", default="s"))


@converter("http_date", args=_WHEN, takes="sint", gives="str", source="7.3.1")
def http_date(offset: int, unit: str) -> Convert:
    """Seconds (or ms, us) since the epoch as headers write dates."""
    per = _UNITS.get(unit or "s")
    if per is None:
        raise Refused(f"unknown unit '{unit}'; known are s, ms and us")

    def run(value: Value) -> bytes | None:
        seconds, rest = divmod(int(value) + offset, per)
        try:
            t = time.gmtime(seconds)
        except (OverflowError, OSError, ValueError):
            return None
        # The fraction is not padded: 20 ms are `.20`, and HAProxy writes so.
        fraction = f".{rest}" if per > 1 else ""
        return (
            f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04d}"
            f" {t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}{fraction} GMT"
        ).encode()

    return run


_NANO = re.compile(r"%%|%([0-9]*)N|%Z")
_FORMAT = (Arg("format"), optional("offset", Kind.INT, 0))


def _formatted(text: str, offset: int, per: int, broken_down: Callable[[float], time.struct_time]) -> Convert:
    """A date by strftime. `%N` is the part of a second where the input has one; `%Z` of UTC is GMT, as in C."""
    utc = broken_down is time.gmtime
    pieces: list[tuple[str, int]] = []
    at = 0
    for found in _NANO.finditer(text):
        if found[0] == "%Z" and utc:
            pieces.append((text[at : found.start()] + "GMT", 0))
        elif found[1] is not None and per > 1:
            width = int(found[1] or 9)
            pieces.append((text[at : found.start()], min(width, 9) or 9))
        else:
            continue
        at = found.end()
    pieces.append((text[at:], 0))
    fixed = tuple(pieces)
    scale = 1_000_000_000 // per

    def run(value: Value) -> bytes | None:
        seconds, rest = divmod(int(value) + offset, per)
        digits = f"{rest * scale:09d}"
        try:
            made = time.strftime("".join([piece + digits[:width] for piece, width in fixed]), broken_down(seconds))
        except (OverflowError, OSError, ValueError):
            return None
        return made.encode("latin-1", "replace")

    return run


def _register(name: str, doc: str, per: int, broken_down: Callable[[float], time.struct_time]) -> None:
    def factory(format: str, offset: int) -> Convert:
        return _formatted(format, offset, per, broken_down)

    factory.__doc__ = doc
    converter(name, args=_FORMAT, takes="sint", gives="str", source="7.3.1")(factory)


_register("ltime", "Seconds since the epoch as local time, by strftime.", 1, time.localtime)
_register("utime", "Seconds since the epoch as UTC, by strftime.", 1, time.gmtime)
_register("ms_ltime", "Milliseconds since the epoch as local time, by strftime and %N.", 1000, time.localtime)
_register("ms_utime", "Milliseconds since the epoch as UTC, by strftime and %N.", 1000, time.gmtime)
_register("us_ltime", "Microseconds since the epoch as local time, by strftime and %N.", 1_000_000, time.localtime)
_register("us_utime", "Microseconds since the epoch as UTC, by strftime and %N.", 1_000_000, time.gmtime)

_CLOCK = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTH = rb"(?P<month>" + "|".join(_MONTHS).encode() + rb")"
_DATES = (
    re.compile(rb"[A-Z][a-z]{2}, (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _CLOCK + rb" GMT"),
    re.compile(rb"[A-Z][a-z]{5,8}, (?P<day>[0-9]{2})-" + _MONTH + rb"-(?P<year>[0-9]{2}) " + _CLOCK + rb" GMT"),
    re.compile(rb"[A-Z][a-z]{2} " + _MONTH + rb" (?P<day>[ 0-9][0-9]) " + _CLOCK + rb" (?P<year>[0-9]{4})"),
)
"""RFC 9110, section 5.6.7: the usual form, RFC 850's and asctime's."""


@converter("date", takes="str", gives="sint", source="7.3.1")
def date() -> Convert:
    """A header's date as seconds since the epoch."""

    def run(value: Value) -> int | None:
        text = as_bytes(value)
        for form in _DATES:
            found = form.fullmatch(text)
            if found is not None:
                break
        else:
            return None
        year, day = int(found["year"]), int(found["day"])
        hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
        if len(found["year"]) == 2:
            year += 1900 if year >= 70 else 2000
        if not (1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60 and year):
            return None
        return timegm((year, _MONTHS.index(found["month"].decode()) + 1, day, hour, minute, second))

    return run
