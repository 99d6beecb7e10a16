"""Bytes as lines of text, as `show errors` writes them (management.txt, section 9.3; pure)."""

from __future__ import annotations

from collections.abc import Iterator

_WIDEST = 70
"""Characters of a line before it is broken, with the position in front: never beyond 79 columns."""
_LETTERS = {9: "\\t", 10: "\\n", 13: "\\r", 27: "\\e", 92: "\\\\"}


def text_lines(raw: bytes) -> Iterator[str]:
    """One line of the bytes a line, broken where it is long; each with the position of its first byte."""
    at, continued = 0, False
    while at < len(raw):
        line, start = "", at
        while at < len(raw):
            shown = _shown(raw[at])
            if len(line) + len(shown) > _WIDEST:
                break
            line += shown
            at += 1
            if raw[at - 1] == 10:
                break
        yield f"  {start:05d}{'+' if continued else ' '} {line}\n"
        continued = raw[at - 1] != 10


def _shown(byte: int) -> str:
    known = _LETTERS.get(byte)
    if known is not None:
        return known
    return chr(byte) if 32 <= byte < 127 else f"\\x{byte:02X}"
