"""How a request's head is read: h11, one possessive expression, or lines that were seen before.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio; compiled the lane is at 0.55, 0.60, 1.74):
- heads all alike: one expression 3.63 us (1.00), split, unchecked 2.34 us (0.64), the lane 2.55 us (0.70), h11 (the
  record) 43.2 us (11.90).
- paths and cookies that differ: one expression 3.62 us (1.00), split, unchecked 2.29 us (0.63), the lane 2.53 us
  (0.70), h11 (the record) 43.1 us (11.91).
- nothing was there before: one expression 3.72 us (1.00), split, unchecked 2.41 us (0.65), the lane 6.91 us (1.86),
  h11 (the record) 43.5 us (11.70).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bench.micro import Work, compare, count
from trilb.http import lane, record

HEAD = (
    b"GET /app/main.js?v=12 HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\n"
    b"Referer: http://example.com/\r\nCookie: SERVERID=app1; theme=dark\r\n\r\n"
)
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_FIELDS = rb"((?:" + _TOKEN + rb":(?: [!-~]++(?: ++[!-~]++)*+)?+\r\n)*+)\r\n"
_WHOLE = re.compile(rb"([A-Z]++) (/[!\"$-~]*+) HTTP/1\.1\r\n" + _FIELDS)
_PAIRS = re.compile(rb"([^:]++):(?: ([^\r]++))?+\r\n").findall
_lower: dict[bytes, bytes] = {}


def expression(data: bytes) -> object:
    """The whole head by one expression, its fields by a second; names lowered once."""
    match = _WHOLE.match(data)
    assert match is not None
    known = _lower.get
    return [(known(name) or _lower.setdefault(name, name.lower()), value) for name, value in _PAIRS(match[3])]


def split(data: bytes) -> object:
    """Lines by split, nothing checked: what a look at every line costs at the least."""
    lines = data[: data.find(b"\r\n\r\n")].split(b"\r\n")
    return [(name.lower(), value.strip()) for name, _, value in [line.partition(b":") for line in lines[1:]]]


WAYS: dict[str, Callable[[bytes], object]] = {
    "one expression": expression,
    "split, unchecked": split,
    "the lane": lane.request,
    "h11 (the record)": lambda data: record.request(data, 16384),
}


def over(read: Callable[[bytes], object], heads: list[bytes]) -> Work:
    """Read one after the other, again and again."""

    def work(often: int) -> None:
        for number in range(often):
            read(heads[number % len(heads)])

    return work


def main(often: int) -> None:
    """Print the figures."""
    compare("heads all alike", {name: over(read, [HEAD]) for name, read in WAYS.items()}, often)
    varied = [HEAD.replace(b"v=12", b"%d" % n).replace(b"dark", b"%d" % n) for n in range(5000)]
    compare("paths and cookies that differ", {name: over(read, varied) for name, read in WAYS.items()}, often)
    strange = [HEAD.replace(b": ", b": %d" % n) for n in range(5000)]
    compare("nothing was there before", {name: over(read, strange) for name, read in WAYS.items()}, often)


if __name__ == "__main__":
    main(count(20_000))
