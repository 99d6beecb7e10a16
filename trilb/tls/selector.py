"""Which certificate a client gets: by the name it asks for, exact before wildcard, else the default.

Certificates for one name that differ in the kind of their key go into one context, and OpenSSL takes the one that the
client can use, an ECDSA one where it may choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from OpenSSL import SSL

from trilb.config.model import Tls
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
        self._exact: dict[str, SSL.Context] = {}
        self._wild: dict[str, SSL.Context] = {}
        self._excluded: dict[str, set[str]] = {}

        def context(group: list[Use]) -> SSL.Context:
            tls, files = group[0].tls, [use.certificate for use in group]
            key = (id(tls), *map(id, files))
            if key not in self.made:
                known = before.get(key) if before is not None else None
                self.made[key] = known or Made(make(tls, files), tls, files)
            return self.made[key].context

        groups: dict[str, list[Use]] = {}
        for use in uses:
            for name in use.names():
                group = groups.setdefault(name.lower(), [])
                # The first of a kind has the name; the same file twice brings nothing.
                if all(other.certificate.kind != use.certificate.kind for other in group):
                    group.append(use)
        for name, group in groups.items():
            if name.startswith("*"):
                self._wild[name[1:]] = context(group)
                for use in group:
                    self._excluded.setdefault(name[1:], set()).update(
                        each[1:].lower() for each in use.filters if each[:1] == "!"
                    )
            else:
                self._exact[name] = context(group)
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
            found = self._exact.get(host)
            if found is None:
                label, dot, rest = host.partition(".")
                tail = dot + rest
                if label and tail in self._wild and host not in self._excluded[tail]:
                    found = self._wild[tail]
            if found is not None:
                return found
        return None if self.strict else self.default
