"""Changes of files that are not in force yet: one of a kind at a time, begun by `set`, ended by `commit` or `abort`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Change(Generic[T]):
    """What a file is to become."""

    path: str
    found: T
