"""Where a message went wrong (beside HAProxy: tests/duel/test_runtime_errors.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilb.admin.dumps import text_lines
from trilb.http.fault import position


@pytest.mark.parametrize(
    ("raw", "request_", "at"),
    [
        (b"GET /x\0y HTTP/1.1\r\n\r\n", True, 6),
        (b"\r\nGET / HTTP/1.1\r\nb d: x\r\n\r\n", True, 19),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", True, 32),
        (b"GET / HTTP/1.1\r\n\r\n", True, 0),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", False, 10),
        (b"", True, 0),
    ],
)
def test_the_first_byte_that_is_wrong(raw: bytes, request_: bool, at: int) -> None:
    assert position(raw, request=request_) == at


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_have_a_place_inside_them(raw: bytes, request_: bool) -> None:
    assert 0 <= position(raw, request=request_) <= max(0, len(raw) - 1) or not raw


@given(st.binary(max_size=600))
def test_every_byte_is_shown_once_in_lines_that_fit(raw: bytes) -> None:
    lines = list(text_lines(raw))
    assert all((len(line.rstrip("\n")) <= 79 and line.isprintable()) or line.endswith("\n") for line in lines)
    shown = "".join(line[9:-1] for line in lines)
    for name, byte in (("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\e", "\x1b")):
        assert shown.replace("\\\\", "").count(name) == raw.decode("latin-1").count(byte)
