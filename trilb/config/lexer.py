"""Lines into words: quoting, escapes, comments and environment variables.

What lives here: the tokenizer of configuration.txt sections 2.2 and 2.3, and the argument splitter that is used
inside parentheses. What does not: the meaning of any word. Variables expand inside double quotes only; the
environment is handed in, because `setenv` and `presetenv` change it while the file is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from trilb.base.diagnostic import Place, Refused

MAX_LINE = 65536
"""Characters; a longer line is refused. Arbitrary, well above what generators write."""

MAX_WORDS = 64
"""Words of a line, the keyword included, as HAProxy has it."""

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", " ": " ", "#": "#", "\\": "\\", "'": "'", '"': '"'}
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_.][A-Za-z0-9_.]*)(\[\*\])?(?:-([^}]*))?\}|([A-Za-z_][A-Za-z0-9_]*))")
_HEX = re.compile(r"[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Line:
    """One configuration line: its words and the column (from 1) at which each begins."""

    place: Place
    words: tuple[str, ...]
    columns: tuple[int, ...]

    def at(self, index: int) -> Place:
        """The place of a word; of the line's end when there is no such word."""
        if index < len(self.columns):
            return Place(self.place.file, self.place.line, self.columns[index])
        return self.place

    def shifted(self, count: int) -> Line:
        """The same line without its first `count` words."""
        return Line(self.place, self.words[count:], self.columns[count:])


def _expand(text: str, at: int, env: Mapping[str, str]) -> tuple[list[str], int]:
    """Expand the variable at `at`; returns the words it stands for (one, unless `[*]`) and where it ends."""
    match = _VARIABLE.match(text, at)
    if match is None:
        if text.startswith("${", at):
            raise Refused("syntax error in variable expression; write ${NAME} or ${NAME-default}", column=at + 3)
        raise Refused("'$' in double quotes must begin a variable name, or be escaped as \\$", column=at + 2)
    name, many, default, bare = match[1], match[2], match[3], match[4]
    value = env.get(name or bare)
    if value is None:
        value = default or ""
    return (value.split() or [""]) if many else [value], match.end()


def tokenize(text: str, place: Place, env: Mapping[str, str]) -> Line:
    """Cut one line into words. Raises Refused with the column of what is wrong."""
    if len(text) > MAX_LINE:
        raise Refused(f"line is longer than {MAX_LINE} characters", column=MAX_LINE)
    words: list[str] = []
    columns: list[int] = []
    i, end = 0, len(text)
    while True:
        while i < end and text[i] in " \t":
            i += 1
        if i >= end or text[i] == "#":
            return Line(place, tuple(words), tuple(columns))
        start, parts, quote, quoted_at = i, [""], "", 0
        while i < end:
            c = text[i]
            if quote == "'":
                if c == "'":
                    quote = ""
                else:
                    parts[-1] += c
                i += 1
            elif c == "\\":
                char, i = _escape(text, i, quote)
                parts[-1] += char
            elif c == '"':
                quote, quoted_at = ("", 0) if quote else ('"', i)
                i += 1
            elif quote:
                if c == "$":
                    values, i = _expand(text, i, env)
                    parts[-1] += values[0]
                    parts.extend(values[1:])
                else:
                    parts[-1] += c
                    i += 1
            elif c == "'":
                quote, quoted_at = "'", i
                i += 1
            elif c in " \t" or c == "#":
                break
            else:
                parts[-1] += c
                i += 1
        if quote:
            kind = "double" if quote == '"' else "single"
            raise Refused(f"unmatched {kind} quote; close it on the same line", column=quoted_at + 1)
        if len(words) + len(parts) >= MAX_WORDS:
            raise Refused(f"too many words, a line may have {MAX_WORDS}", column=start + 1)
        words.extend(parts)
        columns.extend([start + 1] * len(parts))


def _escape(text: str, i: int, quote: str) -> tuple[str, int]:
    """Resolve the backslash at `i`; an unknown escape keeps its backslash, so that regular expressions survive.

    `\\$` means something only inside double quotes, where `$` does. A backslash at the end stays one: there is
    no line continuation.
    """
    following = text[i + 1 : i + 2]
    if following == "x":
        match = _HEX.match(text, i + 2)
        if match is None:
            raise Refused("invalid or incomplete '\\x' sequence; write two hexadecimal digits", column=i + 1)
        # Latin-1: one character per byte, so that any byte can be written.
        return chr(int(match[0], 16)), i + 4
    if following and quote and following == "$":
        return "$", i + 2
    if following in _ESCAPES:
        return _ESCAPES[following], i + 2
    return "\\", i + 1


def expand_address(text: str, env: Mapping[str, str]) -> str:
    """Expand variables of an address, where HAProxy allows them unquoted (section 2.3)."""
    while "$" in text:
        at = text.index("$")
        values, end = _expand(text, at, env)
        text = text[:at] + values[0] + text[end:]
    return text


_QUOTED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\", " ": " "}
"""Escapes inside double quotes of arguments."""


def split_arguments(text: str, at: int) -> tuple[list[str], int]:
    """Cut `(a,b,"c")` whose opening parenthesis stands at `at`; returns the arguments and where `)` ends.

    Same quoting as a line, without \\#, \\$ and \\xNN (section 2.2, second level). `()` has no argument.
    """
    arguments, current, quote, i, seen = [], "", "", at + 1, False
    while i < len(text):
        c = text[i]
        if quote:
            if c == quote:
                quote = ""
            elif quote == '"' and c == "\\" and i + 1 < len(text):
                i += 1
                # Anything else keeps its backslash: regular expressions and their `\1` live here.
                current += _QUOTED.get(text[i], "\\" + text[i])
            else:
                current += c
        elif c in "'\"":
            quote, seen = c, True
        elif c == "\\" and i + 1 < len(text):
            i += 1
            if text[i] in "nrt":
                current += {"n": "\n", "r": "\r", "t": "\t"}[text[i]]
            elif text[i] in " ,()\\'\"":
                current += text[i]
            else:
                current += "\\" + text[i]
        elif c == ",":
            arguments.append(current)
            current, seen = "", True
        elif c == ")":
            if current or seen or arguments:
                arguments.append(current)
            return arguments, i + 1
        else:
            current += c
        i += 1
    if quote:
        raise Refused(f"unmatched quote in '{text[at:]}'")
    raise Refused(f"missing closing parenthesis in '{text}'")
