"""Command lines of the runtime socket: `;` between commands, blanks between words, a backslash in front of either."""

from __future__ import annotations

import re

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
