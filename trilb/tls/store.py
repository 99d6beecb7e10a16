"""Every certificate and list of authorities in use, by file, and what is made of them.

Lines name files; the store reads each once, makes the contexts, and makes them anew when the runtime socket changes a
file's contents. Who accepts asks its Binding, which always holds the selector of the moment.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cryptography import x509
from OpenSSL import SSL

from trilb.base.diagnostic import Place, Refused
from trilb.config.keywords.secure import read_option
from trilb.config.model import Bind, Global, ServerLine, Tls
from trilb.tls import certificates, context
from trilb.tls.certificates import Certificate
from trilb.tls.selector import Selector, Use

SYSTEM = "@system-ca"


@dataclass(slots=True)
class Listed:
    """A line of a crt-list."""

    path: str
    tls: Tls
    filters: tuple[str, ...]
    number: int
    options: str = ""


@dataclass(slots=True)
class Binding:
    """A bind line's TLS at work."""

    tls: Tls
    uses: list[tuple[str, Tls, tuple[str, ...]]]
    """Files with their settings and filters, in order."""
    selector: Selector
    place: Place
    lists: tuple[str, ...] = ()
    record: int = 0
    """Bytes of a record (`tune.ssl.maxrecord`), 0 for as many as there may be."""


@dataclass(slots=True)
class Outgoing:
    """A server line's TLS at work."""

    tls: Tls
    context: SSL.Context
    crt: str
    record: int = 0
    """Bytes of a record (`tune.ssl.maxrecord`), 0 for as many as there may be."""
    sessions: dict[bytes | None, SSL.Session] = field(default_factory=dict)
    """The last session by the name asked for, to be taken up again."""


class Store:
    """Files of TLS and what depends on them. Raises Refused naming the file, from every method that reads one."""

    def __init__(self, settings: Global, warn: Callable[[Place, str], None] = lambda place, text: None) -> None:
        self.settings = settings
        self.warn = warn
        self.certificates: dict[str, list[Certificate]] = {}
        self.authorities: dict[str, list[x509.Certificate]] = {}
        self.revocations: dict[str, list[x509.CertificateRevocationList]] = {}
        self.lists: dict[str, list[Listed]] = {}
        self.bindings: list[Binding] = []
        self.outgoing: list[Outgoing] = []

    # -- files -------------------------------------------------------------------------------------------------

    def certificate(self, name: str, place: Place) -> list[Certificate]:
        """A `crt` by its name; several for a bundle."""
        path = _under(self.settings.crt_base, name)
        if path not in self.certificates:
            found = certificates.load(path, self.settings.tls_extra)
            for each in found:
                for text in each.warnings:
                    self.warn(place, text)
            self.certificates[path] = found
        return self.certificates[path]

    def trusted(self, name: str) -> list[x509.Certificate] | None:
        """A `ca-file` by its name: a file, a directory of them, or None for the system's own."""
        if name == SYSTEM:
            return None
        path = _under(self.settings.ca_base, name)
        if path not in self.authorities:
            files = sorted(os.path.join(path, each) for each in os.listdir(path)) if os.path.isdir(path) else [path]
            found: list[x509.Certificate] = []
            for file in files:
                found += certificates.authorities(file, certificates.read_file(file))
            self.authorities[path] = found
        return self.authorities[path]

    def revoked(self, name: str) -> list[x509.CertificateRevocationList]:
        """A `crl-file` by its name."""
        if not name:
            return []
        path = _under(self.settings.ca_base, name)
        if path not in self.revocations:
            self.revocations[path] = certificates.revocations(path, certificates.read_file(path))
        return self.revocations[path]

    def listed(self, name: str) -> list[Listed]:
        """A `crt-list` by its name."""
        if name not in self.lists:
            text = certificates.read_file(name).decode("latin-1")
            self.lists[name] = read_list(name, text)
        return self.lists[name]

    # -- who accepts -------------------------------------------------------------------------------------------

    def bind(self, line: Bind, alpn: tuple[bytes, ...]) -> Binding:
        """The certificates and settings of a bind line; `alpn` is offered where nothing else is said."""
        settings = self.settings
        tls = context.over(line.tls, settings.tls_bind)
        if tls.alpn is None:
            tls.alpn = alpn
        uses: list[tuple[str, Tls, tuple[str, ...]]] = []
        for name in line.tls.crt:
            path = _under(self.settings.crt_base, name)
            if os.path.isdir(path):
                inside = [each for each in sorted(os.listdir(path)) if not certificates.is_part(each)]
                uses += [(os.path.join(path, each), tls, ()) for each in inside]
            else:
                uses.append((path, tls, ()))
        for name in line.tls.crt_list:
            for each in self.listed(name):
                uses.append((each.path, context.over(each.tls, tls), each.filters))
        if not uses:
            raise Refused("'bind ... ssl' needs a certificate: give 'crt' or 'crt-list'", place=line.place)
        try:
            made = Binding(
                tls, uses, self._selector(uses, tls, line.place), line.place, line.tls.crt_list, settings.tls_record
            )
        except Refused as refused:
            raise Refused(f"'bind ... ssl' : {refused.text}", place=line.place) from None
        self.bindings.append(made)
        return made

    def _selector(self, uses: list[tuple[str, Tls, tuple[str, ...]]], tls: Tls, place: Place) -> Selector:
        ready = [
            Use(certificate, settings, filters)
            for path, settings, filters in uses
            for certificate in self.certificate(path, place)
        ]
        return Selector(ready, bool(tls.strict_sni), self._accepting)

    def _accepting(self, tls: Tls, group: list[Certificate]) -> SSL.Context:
        if tls.verify in ("optional", "required") and not tls.ca_file:
            raise Refused(f"'verify {tls.verify}' needs a 'ca-file'")
        settings = self.settings
        return context.server_side(
            tls,
            group,
            self.trusted(tls.ca_file) if tls.ca_file else [],
            self.revoked(tls.crl_file),
            lifetime=settings.tls_lifetime,
            cache=settings.tls_cache > 0,
            dh=settings.tls_dh,
        )

    # -- who connects ------------------------------------------------------------------------------------------

    def server(self, line: ServerLine) -> Outgoing:
        """The context of a server line."""
        tls = context.over(line.tls, self.settings.tls_server)
        tls.verify = tls.verify or self.settings.server_verify
        made = Outgoing(tls, self._connecting(tls, line), tls.crt[0] if tls.crt else "", self.settings.tls_record)
        self.outgoing.append(made)
        return made

    def _connecting(self, tls: Tls, line: ServerLine) -> SSL.Context:
        if tls.verify != "none" and not tls.ca_file:
            raise Refused(
                f"'server {line.name}' : its certificate is to be verified but there is no 'ca-file'; name one, use"
                f" 'ca-file {SYSTEM}', or say 'verify none' where the network can be trusted",
                place=line.place,
            )
        try:
            own = self.certificate(tls.crt[0], line.place)[0] if tls.crt else None
            trusted = self.trusted(tls.ca_file) if tls.ca_file else []
            return context.client_side(tls, own, trusted, self.revoked(tls.crl_file))
        except Refused as refused:
            raise Refused(f"'server {line.name}' : {refused.text}", place=line.place) from None

    # -- changes -----------------------------------------------------------------------------------------------

    def replace(self, path: str, found: list[Certificate]) -> int:
        """Put other certificates under a name, and make anew what uses it; how many lines do. All or nothing."""
        before = self.certificates.get(path)
        self.certificates[path] = found
        try:
            bindings = [b for b in self.bindings if any(use[0] == path for use in b.uses)]
            selectors = [self._selector(b.uses, b.tls, b.place) for b in bindings]
            outgoing = [o for o in self.outgoing if o.crt and _under(self.settings.crt_base, o.crt) == path]
            trusted = [self.trusted(o.tls.ca_file) if o.tls.ca_file else [] for o in outgoing]
            contexts = [
                context.client_side(o.tls, found[0], ca, self.revoked(o.tls.crl_file))
                for o, ca in zip(outgoing, trusted, strict=True)
            ]
        except Refused:
            if before is None:
                del self.certificates[path]
            else:
                self.certificates[path] = before
            raise
        for binding, selector in zip(bindings, selectors, strict=True):
            binding.selector = selector
        for each, made in zip(outgoing, contexts, strict=True):
            each.context = made
            each.sessions.clear()
        return len(bindings) + len(outgoing)

    def extend(self, name: str, line: Listed) -> None:
        """Add a line to a crt-list that is in use."""
        bindings = [b for b in self.bindings if name in b.lists]
        made = []
        for binding in bindings:
            uses = [*binding.uses, (line.path, context.over(line.tls, binding.tls), line.filters)]
            made.append((uses, self._selector(uses, binding.tls, binding.place)))
        self.lists[name].append(line)
        for binding, (uses, selector) in zip(bindings, made, strict=True):
            binding.uses, binding.selector = uses, selector

    def shorten(self, name: str, line: Listed) -> None:
        """Take a line out of a crt-list that is in use. Raises Refused when it is the last one."""
        made = []
        for binding in [b for b in self.bindings if name in b.lists]:
            uses = list(binding.uses)
            for use in uses:
                if use[0] == line.path and use[2] == line.filters:
                    uses.remove(use)
                    break
            if not uses:
                raise Refused("it is the only certificate of a bind line")
            made.append((binding, uses, self._selector(uses, binding.tls, binding.place)))
        self.lists[name].remove(line)
        for binding, uses, selector in made:
            binding.uses, binding.selector = uses, selector

    def used(self, path: str) -> int:
        """How many lines use a certificate."""
        return sum(any(use[0] == path for use in b.uses) for b in self.bindings) + sum(
            bool(o.crt) and _under(self.settings.crt_base, o.crt) == path for o in self.outgoing
        )


def _under(base: str, name: str) -> str:
    return name if not base or name.startswith(("/", "@")) else os.path.join(base, name)


def read_list(name: str, text: str) -> list[Listed]:
    """The lines of a crt-list: FILE [options] [filters]. Raises Refused with file and line."""
    found: list[Listed] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            try:
                found.append(read_listed(line, number))
            except Refused as refused:
                raise Refused(f"crt-list '{name}' line {number}: {refused.text}") from None
    if not found:
        raise Refused(f"crt-list '{name}' names no certificate")
    return found


def read_listed(line: str, number: int) -> Listed:
    """One line of a crt-list. Raises Refused."""
    path, *more = line.split(None, 1)
    rest = more[0] if more else ""
    tls = Tls()
    options = ""
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
                raise Refused(f"unknown option '{words[i]}'")
            i += taken
    return Listed(path, replace(tls), tuple(rest.split()), number, options.strip())
