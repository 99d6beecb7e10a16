"""Lists of certificates with settings and filters: crt-list files (section 3.11), and directories of certificates."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field

from trilb.base.diagnostic import Refused
from trilb.config.keywords.secure import read_option
from trilb.config.lines import Tls
from trilb.tls import certificates


@dataclass(slots=True, eq=False)
class Listed:
    """A line of a list."""

    path: str
    tls: Tls
    filters: tuple[str, ...]
    number: int
    options: tuple[str, ...] | None = None
    """The words between brackets."""

    def text(self, *, numbered: bool = False) -> str:
        """The line as a crt-list has it."""
        number = f":{self.number}" if numbered else ""
        options = "" if self.options is None else f" [{' '.join(self.options)}]"
        return f"{self.path}{number}{options}{''.join(f' {each}' for each in self.filters)}"


@dataclass(slots=True)
class CrtList:
    """A list as it is in use."""

    name: str
    lines: list[Listed] = field(default_factory=list)
    length: int = 0
    """Lines of the file, and of what was added since."""
    directory: bool = False


def read_list(name: str, base: str) -> CrtList:
    """The lines of a crt-list: FILE [options] [filters]. Raises Refused with file and line."""
    made = CrtList(name)
    for number, line in enumerate(certificates.read_file(name).decode("latin-1").splitlines(), 1):
        made.length = number
        line = line.strip()
        if line and not line.startswith("#"):
            try:
                made.lines.append(read_line(line, number, base))
            except Refused as refused:
                raise Refused(f"crt-list '{name}' line {number}: {refused.text}") from None
    if not made.lines:
        raise Refused(f"crt-list '{name}' names no certificate")
    return made


def read_directory(path: str) -> CrtList:
    """The certificates of a directory, in the order of their names."""
    inside = [each for each in sorted(os.listdir(path)) if not certificates.is_part(each)]
    lines = [Listed(os.path.join(path, each), Tls(), (), 0) for each in inside]
    return CrtList(path.rstrip("/") or "/", lines, directory=True)


def read_line(line: str, number: int, base: str) -> Listed:
    """One line of a crt-list. Raises Refused."""
    path, *more = line.split(None, 1)
    rest = more[0] if more else ""
    tls = Tls()
    words: tuple[str, ...] | None = None
    if rest.startswith("["):
        options, closed, rest = rest[1:].partition("]")
        if not closed:
            raise Refused("the options begin with '[' and end nowhere")
        try:
            words = tuple(shlex.split(options))
        except ValueError as error:
            raise Refused(f"the options cannot be read: {str(error).lower()}") from None
        i = 0
        while i < len(words):
            if words[i] == "allow-0rtt":
                i += 1
                continue
            taken = read_option(tls, "crt-list", words, i)
            if not taken:
                raise Refused(f"unknown ssl keyword {words[i]}")
            i += taken
    return Listed(under(base, path), tls, tuple(rest.split()), number, words)


def under(base: str, name: str) -> str:
    """Where a file is that is named relative to a directory."""
    return name if not base or name.startswith(("/", "@")) else os.path.join(base, name)
