"""Which certificate a client gets: by the name it asks for, exact before wildcard, else the default.

Certificates for one name that differ in the kind of their key go into one context, and OpenSSL takes the one that the
client can use, an ECDSA one where it may choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from OpenSSL import SSL

from trilb.config.lines import Tls
from trilb.tls.certificates import Certificate


@dataclass(slots=True)
class Use:
    """One certificate as one line uses it: with which settings, for which names instead of its own."""

    certificate: Certificate
    tls: Tls
    filters: tuple[str, ...] = ()
    given: str = ""
    """How the line names it: several have one name in a bundle."""

    def names(self) -> tuple[str, ...]:
        """What it is chosen for, without the excluded ones."""
        return tuple(name for name in self.filters if name[:1] != "!") or (
            () if self.filters else self.certificate.names
        )


@dataclass(frozen=True, slots=True)
class Made:
    """A context with what it was made of; they are kept, so that their ids stay theirs."""

    context: SSL.Context
    tls: Tls
    group: list[Certificate]


Make = Callable[[Tls, list[Certificate]], SSL.Context]
Contexts = Mapping[tuple[int, ...], Made]


class Selector:
    """The certificates of a bind line, ready to be chosen from."""

    def __init__(self, uses: list[Use], strict: bool, make: Make, before: Contexts | None = None) -> None:
        """`before` has contexts to be used again; sessions that clients took up with them stay good."""
        self.strict = strict
        self.uses = uses
        self.made: dict[tuple[int, ...], Made] = {}

        def context(group: list[Use]) -> SSL.Context:
            tls, files = group[0].tls, [use.certificate for use in group]
            key = (id(tls), *map(id, files))
            if key not in self.made:
                known = before.get(key) if before is not None else None
                self.made[key] = known or Made(make(tls, files), tls, files)
            return self.made[key].context

        exact: dict[str, list[Use]] = {}
        wild: dict[str, list[Use]] = {}
        excluded: set[str] = set()
        for use in uses:
            for name in use.names():
                if name.startswith("*"):
                    _join(wild.setdefault(name[1:].lower(), []), use)
                else:
                    _join(exact.setdefault(name.lower(), []), use)
            excluded.update(name[1:].lower() for name in use.filters if name[:1] == "!")
        # What a wildcard has for a name counts behind what is there for the name itself; names that some line does
        # not want get a group of their own, which may be empty.
        for name in {*exact, *excluded}:
            group = exact.setdefault(name, [])
            for use in wild.get(_parent(name), ()):
                if not any(each[:1] == "!" and each[1:].lower() == name for each in use.filters):
                    _join(group, use)
        self._exact = {name: context(group) if group else None for name, group in exact.items()}
        self._wild = {tail: context(group) for tail, group in wild.items()}
        siblings: list[Use] = []
        for use in uses:
            same = not siblings or (use.given and use.given == siblings[0].given)
            if same and all(other.certificate.kind != use.certificate.kind for other in siblings):
                siblings.append(use)
        self.defaults = siblings
        self.default = context(siblings) if siblings else None

    def choose(self, name: bytes | None) -> SSL.Context | None:
        """The context for the name a client asks for; None to refuse it (`strict-sni`)."""
        if name:
            host = name.decode("latin-1").lower()
            found = self._exact[host] if host in self._exact else self._wild.get(_parent(host))
            if found is not None:
                return found
        return None if self.strict else self.default


def _join(group: list[Use], use: Use) -> None:
    """The first of a kind has the name; another one of that kind brings nothing."""
    if all(other.certificate.kind != use.certificate.kind for other in group):
        group.append(use)


def _parent(name: str) -> str:
    """What follows the first label, with its dot."""
    label, dot, rest = name.partition(".")
    return dot + rest if label else ""
