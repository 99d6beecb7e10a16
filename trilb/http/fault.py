"""Where in its bytes an HTTP/1 message went wrong, for `show errors`. Cold: asked once a message has been refused."""

from __future__ import annotations

import re

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_METHOD = re.compile(_TOKEN + rb"*")
_TARGET = re.compile(rb"[!-~]*")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_NAME = re.compile(_TOKEN + rb"+")
_VALUE = re.compile(rb"[^\0\r\n]*")
_FRAMING = re.compile(rb"(?im)^(?:content-length|transfer-encoding|host)[ \t]*:[ \t]*")


def position(raw: bytes, *, request: bool) -> int:
    """The first byte that breaks the grammar; that of the first field about framing when only the meaning is wrong."""
    at = 0
    while raw.startswith((b"\r\n", b"\n"), at):
        at += 2 if raw.startswith(b"\r", at) else 1
    at, good = _request_line(raw, at) if request else _status_line(raw, at)
    while good and at < len(raw):
        if raw.startswith((b"\r\n", b"\n"), at):
            break
        at, good = _field(raw, at)
    if not good:
        return min(at, max(0, len(raw) - 1))
    framing = _FRAMING.search(raw)
    return framing.end() if framing is not None else 0


def _line_end(raw: bytes, at: int) -> tuple[int, bool]:
    if raw.startswith(b"\r\n", at):
        return at + 2, True
    if raw.startswith(b"\n", at):
        return at + 1, True
    # A carriage return without its line feed: the byte behind it is the wrong one.
    return (at + 1 if raw.startswith(b"\r", at) else at), False


def _blank(raw: bytes, at: int) -> int:
    while raw.startswith((b" ", b"\t"), at):
        at += 1
    return at


def _request_line(raw: bytes, at: int) -> tuple[int, bool]:
    for part in (_METHOD, _TARGET):
        match = part.match(raw, at)
        if match is None or match.end() == at or not raw.startswith((b" ", b"\t"), match.end()):
            return (match.end() if match is not None else at), False
        at = _blank(raw, match.end())
    match = _VERSION.match(raw, at)
    if match is None:
        return at, False
    return _line_end(raw, match.end())


def _status_line(raw: bytes, at: int) -> tuple[int, bool]:
    match = _VERSION.match(raw, at)
    if match is None or not raw.startswith(b" ", match.end()):
        return (at if match is None else match.end()), False
    at = _blank(raw, match.end())
    for _ in range(3):
        if not raw[at : at + 1].isdigit():
            return at, False
        at += 1
    reason = _VALUE.match(raw, at)
    return _line_end(raw, reason.end() if reason is not None else at)


def _field(raw: bytes, at: int) -> tuple[int, bool]:
    name = _NAME.match(raw, at)
    if name is None:
        return at, False
    if not raw.startswith(b":", name.end()):
        return name.end(), False
    value = _VALUE.match(raw, name.end() + 1)
    return _line_end(raw, value.end() if value is not None else name.end() + 1)
