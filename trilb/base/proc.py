"""Files of /proc that are read while serving: opened before a chroot, in which there is no /proc."""

from __future__ import annotations

import os
from typing import Final

_LARGEST: Final = 1 << 20


class ProcFile:
    """One file, read anew each time. What it says is the kernel's, so it is never kept."""

    __slots__ = ("_held", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._held = -1
        _FILES.append(self)

    def hold(self) -> None:
        """Open it for good. One that cannot be opened is tried again by each `read`."""
        try:
            self._held = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._held = -1

    def read(self) -> str:
        """Its text, of a mebibyte at most. Raises OSError when it cannot be read."""
        if self._held >= 0:
            return os.pread(self._held, _LARGEST, 0).decode("latin-1")
        with open(self._path, encoding="latin-1") as file:
            return file.read(_LARGEST)


_FILES: Final[list[ProcFile]] = []


def hold() -> None:
    """Open all of them: what comes next is a chroot. A process that forks does so before."""
    for each in _FILES:
        each.hold()
