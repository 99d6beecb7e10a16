"""In which address families names are looked up (configuration.txt, `dns-accept-family`)."""

from __future__ import annotations

from trilb.base.proc import ProcFile
from trilb.resolve.wire import Kind

_KINDS = {"ipv4": Kind.A, "ipv6": Kind.AAAA}
_ROUTES = ProcFile("/proc/net/ipv6_route")
_REMEMBERED = 30.0
"""Seconds for which it is remembered whether there is a default route; the manual's number."""


class Families:
    """What `said` means, which is "auto" or the names of families."""

    __slots__ = ("_routed", "_until", "said")

    def __init__(self, said: str) -> None:
        self.said = said
        self._routed = False
        self._until = float("-inf")

    def now(self, now: float) -> tuple[Kind, ...]:
        """The kinds of addresses that are asked for; with "auto" those of IPv6 only where they lead somewhere."""
        if self.said != "auto":
            return tuple(kind for name, kind in _KINDS.items() if name in self.said)
        if now >= self._until:
            self._until = now + _REMEMBERED
            try:
                self._routed = has_default_route(_ROUTES.read())
            except OSError:
                self._routed = False
        return (Kind.A, Kind.AAAA) if self._routed else (Kind.A,)


def has_default_route(routes: str) -> bool:
    """Whether /proc/net/ipv6_route has a route to everywhere that leads out: not over the loopback interface."""
    fields = [line.split() for line in routes.splitlines()]
    return any(len(each) > 9 and each[0] == "0" * 32 and each[1] == "00" and each[9] != "lo" for each in fields)
