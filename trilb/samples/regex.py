"""Regular expressions: PCRE2 itself, so that a pattern means what it means to HAProxy.

A stranger's input must not buy exponential time: every expression carries a limit on the engine's steps, and a
match that runs into it counts as no match and is counted (docs/differences.md).
"""

from __future__ import annotations

import re

import pcre2

from trilb.base.diagnostic import Refused

_STEPS = b"(*LIMIT_MATCH=200000)"
"""About two milliseconds of the engine; patterns people write need some hundred steps."""


class Regex:
    """A compiled expression. `overruns` counts the matches given up."""

    __slots__ = ("_pattern", "text")

    def __init__(self, text: str, ignore_case: bool = False) -> None:
        """Compile Latin-1 text. Raises Refused with the engine's reason and position."""
        self.text = text
        try:
            self._pattern = pcre2.compile(_STEPS + text.encode("latin-1"), pcre2.IGNORECASE if ignore_case else 0)
        except pcre2.error as error:
            raise Refused(f"regular expression '{text}' is invalid: {error}") from None

    def search(self, value: bytes) -> bool:
        """Whether the expression matches anywhere in value."""
        return self.find(value) is not None

    def find(self, value: bytes, start: int = 0) -> pcre2.Match | None:
        """The first match at or after `start`, with its groups; None also when the engine gave up."""
        try:
            return self._pattern.search(value, start)
        except pcre2.LibraryError:
            global overruns
            overruns += 1
            return None

    def may_match(self, value: bytes) -> bool:
        """Whether the expression matches, or the engine gave up before it knew."""
        try:
            return self._pattern.search(value) is not None
        except pcre2.LibraryError:
            return True


_SELF_CONTAINED = re.compile(r"(?:[^\\(]|\\[^0-9gkQE]|\((?!\*|\?(?![:=!])))*")


def any_of(texts: list[str], ignore_case: bool) -> Regex | None:
    """One expression that matches wherever one of several does; None when some mean something else inside another.

    References, named groups, verbs and inline flags do.
    """
    if not all(_SELF_CONTAINED.fullmatch(text) for text in texts):
        return None
    try:
        return Regex("|".join(f"(?:{text})" for text in texts), ignore_case)
    except Refused:
        return None


overruns = 0
"""Matches given up at the limit of steps, since the start."""

_REFERENCE = re.compile(rb"\\(?:([0-9])|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)


def expand(template: bytes, match: pcre2.Match) -> bytes:
    r"""A replacement with `\0` to `\9`, `\xHH` and `\\` filled in; a group that took no part is empty."""
    if b"\\" not in template:
        return template

    def fill(found: re.Match[bytes]) -> bytes:
        digit, code, other = found.groups()
        if digit is not None:
            number = int(digit)
            return (match[number] or b"") if number <= match.re.groups else b""
        if code is not None:
            return bytes([int(code, 16)])
        return other or b""

    return _REFERENCE.sub(fill, template)
