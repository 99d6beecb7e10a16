"""Configuration files from the disk: the one place of this room that opens anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trilb.base.diagnostic import Refused


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration file: the name messages use, and its text."""

    name: str
    text: str


def load(paths: list[str]) -> list[Source]:
    """Read the files of `-f` in order; of a directory, its `*.cfg` in lexical order, none hidden.

    Bytes become Latin-1 characters, so that every byte of the file survives. Raises Refused.
    """
    sources: list[Source] = []
    for path in paths:
        if os.path.isdir(path):
            names = sorted(n for n in os.listdir(path) if n.endswith(".cfg") and not n.startswith("."))
            files = [os.path.join(path, name) for name in names]
            files = [file for file in files if os.path.isfile(file)]
        else:
            files = [path]
        for file in files:
            sources.append(Source(file, read_text(file, "configuration file")))
    return sources


def read_text(path: str, what: str) -> str:
    """A whole file as Latin-1 text. Raises Refused with the system's reason."""
    return read_bytes(path, what).decode("latin-1")


def read_bytes(path: str, what: str) -> bytes:
    """A whole file. Raises Refused with the system's reason."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Refused(f"cannot open {what} '{path}' : {error.strerror}") from None
