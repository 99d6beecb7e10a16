"""What a query string asks of the Prometheus exporter (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus

SCOPES = ("global", "frontend", "listener", "backend", "server", "sticktable", "resolver")
"""In the order they are written in."""


class Malformed(Exception):
    """The query string asks for what there is not."""


@dataclass(slots=True)
class Wanted:
    """What a query string asks for."""

    scopes: set[str]
    no_maint: bool = False
    described: bool = False
    modules: bool = False
    included: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    def takes(self, metric: str) -> bool:
        """Is that metric asked for?"""
        return metric in self.included if self.included else metric not in self.excluded


def wanted(query: str) -> Wanted:
    """Read a query string; scopes add up, and an empty one begins anew. Raises Malformed."""
    found = Wanted(set(SCOPES))
    named: set[str] | None = None
    included: set[str] = set()
    excluded: set[str] = set()
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        key, value = unquote_plus(key), unquote_plus(value)
        if key == "scope":
            if not equals or (value and value != "*" and value not in SCOPES):
                raise Malformed
            named = set() if named is None or not value else named
            named |= set(SCOPES) if value == "*" else {value} - {""}
        elif key == "no-maint":
            found.no_maint = True
        elif key == "desc-labels":
            found.described = True
        elif key == "extra-counters":
            found.modules = True
        elif key == "metrics":
            for name in value.split(","):
                (excluded if name.startswith("-") else included).add(name.lstrip("-"))
    if named is not None:
        found.scopes = named
    found.included, found.excluded = frozenset(included - {""}), frozenset(excluded)
    return found
