"""Names and lines of pattern lists (configuration.txt, sections 2.7, 7.1 and 7.3.1, `map`).

What lives here: what an ACL or a map converter says about its patterns, and the lines of their files. What patterns
mean, and the live lists, are samples' business.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from trilb.base.diagnostic import NOWHERE, Place, Refused
from trilb.config.sources import read_bytes

Line = tuple[int, bytes, bytes]
"""Its number, the pattern, and the value (empty without one)."""


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """One use of a pattern list: which list, and how this user reads it.

    Two uses are the same only when they are one object, so that an ACL finds its own list again.
    """

    file: str = ""
    """The name of the list as messages and commands call it, empty for the patterns of one ACL."""
    words: tuple[str, ...] = ()
    method: str = "str"
    ignore_case: bool = False
    columns: bool = False
    """Whether lines hold a value after their pattern."""
    resolves: bool = False
    output: str = ""
    """What values become: `str`, `int`, `ip`, `key`, or nothing for an ACL."""
    optional: bool = False
    base: str = ""
    """The directory relative names start from."""
    criterion: str = ""
    number: int | None = None
    """The identifier asked for by `-u`."""
    place: Place = NOWHERE


def list_name(text: str) -> tuple[str, bool]:
    """The name of a list without its prefix, and whether its file may be missing. Raises Refused."""
    prefix, at, rest = text.partition("@")
    if at and prefix in ("file", "opt"):
        text = rest
    if not text:
        raise Refused("expects the name of a pattern file")
    return text, bool(at) and prefix == "opt"


def is_virtual(name: str) -> bool:
    """Whether a list has no file at all."""
    return name.startswith("virt@")


def lines(name: str, base: str, optional: bool, columns: bool) -> Iterator[Line]:
    """The lines of a list's file that hold a pattern. Raises Refused when it cannot be read."""
    path = os.path.join(base, name)
    if is_virtual(name) or (optional and not os.path.exists(path)):
        return
    for number, line in enumerate(read_bytes(path, "pattern file").split(b"\n"), 1):
        # Only a sharp in the first column makes a comment: with a blank in front it is a pattern.
        if line.startswith(b"#"):
            continue
        line = line.removesuffix(b"\r").lstrip(b" \t")
        if not line:
            continue
        if columns:
            key, value = split_line(line)
            yield number, key, value
        else:
            yield number, line, b""


def split_line(line: bytes) -> tuple[bytes, bytes]:
    """A line of a map: the first word, and what follows it without the blanks on both sides."""
    cut = min((at for at in (line.find(b" "), line.find(b"\t")) if at >= 0), default=-1)
    return (line, b"") if cut < 0 else (line[:cut], line[cut:].strip(b" \t"))
