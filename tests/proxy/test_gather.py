"""How much of a body is enough to go on with."""

from __future__ import annotations

import pytest

from trilb.http.head import Head
from trilb.proxy.gather import arrived


def head(length: int, *, chunked: bool = False) -> Head:
    """A head that announces such a body."""
    made = Head(b"POST", b"/", 11, [])
    made.length, made.chunked = length, chunked
    return made


@pytest.mark.parametrize(
    ("length", "data", "least", "most", "found"),
    [
        (5, b"abc", 0, 100, (b"abc", False)),
        (5, b"abcdeNEXT", 0, 100, (b"abcde", True)),
        (5, b"abc", 3, 100, (b"abc", True)),
        (5, b"abc", 4, 100, (b"abc", False)),
        (500, b"abc", 0, 3, (b"abc", True)),
        (0, b"", 0, 100, (b"", True)),
        # Without a length it is never whole.
        (-1, b"abc", 0, 100, (b"abc", False)),
        (-1, b"abc", 2, 100, (b"abc", True)),
    ],
)
def test_a_body_of_some_length(length: int, data: bytes, least: int, most: int, found: tuple[bytes, bool]) -> None:
    assert arrived(head(length), data, least, most) == found


@pytest.mark.parametrize(
    ("data", "least", "found"),
    [
        (b"3\r\nabc\r\n", 0, (b"abc", False)),
        (b"3\r\nabc\r\n0\r\n\r\n", 0, (b"abc", True)),
        (b"3\r\nabc\r\n2\r\nd", 4, (b"abcd", True)),
        (b"3\r\nabc\r\n2\r\nd", 5, (b"abcd", False)),
    ],
)
def test_a_chunked_body(data: bytes, least: int, found: tuple[bytes, bool]) -> None:
    assert arrived(head(-1, chunked=True), data, least, 100) == found
