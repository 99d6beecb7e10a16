"""How a request's head is read: h11, one possessive expression, or lines that were seen before.

1 us
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
