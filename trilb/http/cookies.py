"""Cookie headers as HAProxy reads them: scanning without changing a byte that need not change.

Observed rules: separators are `;` and `,`; blanks around names and values do not count; a quoted string hides
separators but stays part of the value; a cookie without `=` is none; names are compared with case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_BLANK = b" \t"
_SEPARATORS = b";,"


class Cookie(NamedTuple):
    """One cookie of a header value: offsets of its name, its `=` (-1 without) and its value, and where it ends.

    `end` is the offset of the separator after it, or the length of the header value.
    """

    name_start: int
    name_end: int
    equal: int
    value_start: int
    value_end: int
    end: int


def scan(header: bytes, start: int = 0) -> Iterator[Cookie]:
    """The cookies of one Cookie (or Set-Cookie) value from `start`, in order."""
    at, size = start, len(header)
    while at < size:
        while at < size and header[at] in b" \t;,":
            at += 1
        if at >= size:
            return
        name_start = at
        while at < size and header[at] not in b"=;,":
            at += 1
        name_end = at
        while name_end > name_start and header[name_end - 1] in _BLANK:
            name_end -= 1
        if at >= size or header[at] != 61:
            yield Cookie(name_start, name_end, -1, name_end, name_end, at)
            continue
        equal = at
        at += 1
        while at < size and header[at] in _BLANK:
            at += 1
        value_start = at
        quoted = False
        while at < size:
            c = header[at]
            if c == 34:
                quoted = not quoted
            elif quoted and c == 92:
                at += 1
            elif not quoted and c in _SEPARATORS:
                break
            at += 1
        at = min(at, size)
        value_end = at
        while value_end > value_start and header[value_end - 1] in _BLANK:
            value_end -= 1
        yield Cookie(name_start, name_end, equal, value_start, value_end, at)
