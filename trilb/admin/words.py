"""Command lines of the runtime socket: `;` between commands, blanks between words, a backslash in front of either."""

from __future__ import annotations

import re
from functools import lru_cache

_COMMAND = re.compile(r"(?:[^\\;]|\\.|\\$)*")
_WORD = re.compile(r"(?:[^\\\s]|\\.|\\$)+")
_ESCAPED = re.compile(r"\\(.)")
_PAYLOAD = re.compile(r"(?:^|\s)<<(\S{0,64})\Z")


def split_commands(line: str) -> list[str]:
    """The commands of a line."""
    parts: list[str] = []
    at = 0
    while True:
        match = _COMMAND.match(line, at)
        assert match is not None
        parts.append(match[0])
        if match.end() >= len(line):
            return parts
        at = match.end() + 1


def split_words(command: str) -> list[str]:
    """The words of a command, without the backslashes that protect what follows them."""
    return [_ESCAPED.sub(r"\1", word) for word in _WORD.findall(command)]


def payload_end(line: str) -> tuple[str, str | None]:
    """A line without the mark that announces a payload, and the line that ends the payload (None: no payload)."""
    match = _PAYLOAD.search(line)
    return (line, None) if match is None else (line[: match.start()], match[1])


_COMPARED = 60
"""Letters of a wrong command that are looked at."""


def nearest_lines(names: list[str], words: list[str]) -> list[str]:
    """Which of some command names begin with all the words; else at most five that are like them, in their order.

    Of the words those in front that begin some name are taken as meant; the rest is compared by the pairs of letters
    that follow each other. (HAProxy's choice of five is close to this one and not always the same.)
    """
    meant = names
    for count, _ in enumerate(words, 1):
        begin = words[:count]
        found = [name for name in meant if name.split()[:count] == begin]
        if not found:
            break
        meant = found
    else:
        return meant
    asked = _pairs(" ".join(words)[:_COMPARED])
    scores = {name: len(asked ^ _pairs(name)) for name in meant}
    best = sorted(meant, key=lambda name: scores[name])[:5]
    return [name for name in meant if name in best and scores[name] <= 2 * scores[best[0]]]


@lru_cache(maxsize=512)
def _pairs(text: str) -> frozenset[str]:
    text = f" {text.lower()} "
    return frozenset(text[at : at + 2] for at in range(len(text) - 1))
