"""Who keeps a connection, and who is told so: the `connection` header (RFC 9112, section 9). HOT.

What a message's own header said was read by `policy` into `Head.connection` and taken out; these are the lines that
we write instead. Each version has its default, which is not said.
"""

from __future__ import annotations

from typing import Final

from trilb.http.head import CLOSE, KEEP_ALIVE, UPGRADE, Head

_CLOSE: Final = b"connection: close\r\n"
_KEEP_ALIVE: Final = b"connection: keep-alive\r\n"


def persists(head: Head) -> bool:
    """Does its sender let the connection live on after this message?"""
    if head.connection & CLOSE:
        return False
    return head.version == 11 or bool(head.connection & KEEP_ALIVE)


def ruled_close(head: Head) -> bool:
    """Did a rule write `connection: close`? Only rules can have: the message's own is gone."""
    return b"close" in (head.get(b"connection") or b"").lower()


def to_server(head: Head, close: bool) -> bytes:
    """The line for a request; `close` says that the server shall close after its answer.

    A server of HTTP/1.0 closes without being told: what a rule wrote to tell it so is taken out.
    """
    if head.connection & UPGRADE and head.upgrade:
        return b""
    if close:
        return b"" if head.version == 10 else _CLOSE
    if head.version == 11:
        return b""
    if ruled_close(head):
        head.remove(b"connection")
        return b""
    return b"" if head.chunked else _KEEP_ALIVE


def to_client(head: Head, asked: int, keep: bool) -> bytes:
    """The line for a response to a request of the version `asked`; `keep` says that another one may follow."""
    if keep:
        return _KEEP_ALIVE if asked == 10 or head.version == 10 else b""
    if head.version == 10 or (asked == 11 and head.connection & UPGRADE):
        return b""
    return _CLOSE
