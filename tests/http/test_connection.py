"""The `connection` header that we write, for each pair of versions (RFC 9112, section 9)."""

from __future__ import annotations

import pytest

from trilb.http.connection import persists, ruled_close, to_client, to_server
from trilb.http.head import CLOSE, KEEP_ALIVE, UPGRADE, Field, Head

CLOSES, STAYS = b"connection: close\r\n", b"connection: keep-alive\r\n"


def head(version: int, said: int = 0, fields: list[Field] | None = None) -> Head:
    """A head of a version whose own connection header said this."""
    made = Head(b"GET", b"/", version, fields or [])
    made.connection = said
    return made


@pytest.mark.parametrize(
    ("version", "said", "lives"),
    [(11, 0, True), (11, CLOSE, False), (11, CLOSE | KEEP_ALIVE, False), (10, 0, False), (10, KEEP_ALIVE, True)],
)
def test_who_lets_it_live(version: int, said: int, lives: bool) -> None:
    assert persists(head(version, said)) is lives


@pytest.mark.parametrize(
    ("version", "asked", "keep", "line"),
    [
        (11, 11, True, b""),
        (11, 11, False, CLOSES),
        (10, 11, True, STAYS),
        (10, 11, False, b""),
        (11, 10, True, STAYS),
        (11, 10, False, CLOSES),
        (10, 10, True, STAYS),
        (10, 10, False, b""),
    ],
)
def test_what_a_client_is_told(version: int, asked: int, keep: bool, line: bytes) -> None:
    assert to_client(head(version), asked, keep) == line


def test_an_upgrade_says_it_all() -> None:
    assert to_client(head(11, UPGRADE), 11, False) == b""
    asked = head(11, UPGRADE)
    asked.upgrade = b"websocket"
    assert to_server(asked, True) == b""


@pytest.mark.parametrize(
    ("version", "close", "line"), [(11, False, b""), (11, True, CLOSES), (10, False, STAYS), (10, True, b"")]
)
def test_what_a_server_is_told(version: int, close: bool, line: bytes) -> None:
    assert to_server(head(version), close) == line


def test_a_server_of_1_0_is_not_told_to_close() -> None:
    ruled = head(10, fields=[(b"connection", b"Close")])
    assert ruled_close(ruled)
    assert to_server(ruled, False) == b""
    assert not ruled.fields


def test_a_chunked_request_of_1_0_ends_the_connection() -> None:
    asked = head(10)
    asked.chunked = True
    assert to_server(asked, False) == b""
