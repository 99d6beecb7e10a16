"""Every certificate and list of authorities in use, by file, and what is made of them.

Lines name files; the store reads each once, makes the contexts, and makes them anew when the runtime socket changes a
file's contents. Who accepts asks its Binding, which always holds the selector of the moment. Once loaded, nothing is
read from disk any more: a change names what is known, and changes everything that uses it or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from OpenSSL import SSL, crypto

from trilb.base.diagnostic import Place, Refused
from trilb.config.lines import Bind, ServerLine, Tls
from trilb.config.settings import Global
from trilb.tls import certificates, context
from trilb.tls.certificates import Certificate, Issuers, Parts
from trilb.tls.lists import CrtList, Listed, read_directory, read_list, under
from trilb.tls.pending import Change
from trilb.tls.selector import Contexts, Selector, Use

T = TypeVar("T")
SYSTEM = "@system-ca"
_OPENSSL = (SSL.Error, crypto.Error)


@dataclass(slots=True, eq=False)
class Line:
    """A `crt`, or a line of a list, as a bind line uses it."""

    path: str
    tls: Tls
    filters: tuple[str, ...] = ()
    listed: Listed | None = None


@dataclass(slots=True)
class Binding:
    """A bind line's TLS at work."""

    tls: Tls
    lines: list[Line]
    selector: Selector
    place: Place
    lists: tuple[str, ...] = ()
    record: int = 0
    """Bytes of a record at most, 0 for what TLS allows (`tune.ssl.maxrecord`)."""
    captures: bool = False
    """Are clients' hellos kept (`tune.ssl.capture-buffer-size`)?"""


@dataclass(slots=True)
class Outgoing:
    """A server line's TLS at work."""

    line: ServerLine
    tls: Tls
    context: SSL.Context
    crt: str
    """The file of its own certificate."""
    record: int = 0
    """Bytes of a record (`tune.ssl.maxrecord`), 0 for as many as there may be."""
    sessions: dict[bytes | None, SSL.Session] = field(default_factory=dict)
    """The last session by the name asked for, to be taken up again."""


class Store:
    """Files of TLS and what depends on them. Raises Refused naming the file, from every method that reads one."""

    def __init__(self, settings: Global, warn: Callable[[Place, str], None] = lambda place, text: None) -> None:
        self.settings = settings
        self.warn = warn
        self.certificates: dict[str, Certificate | None] = {}
        """None for one that was made while serving and is empty yet."""
        self.bundles: dict[str, tuple[str, ...]] = {}
        """The files that a name stands for."""
        self.authorities: dict[str, list[x509.Certificate]] = {}
        self.revocations: dict[str, list[x509.CertificateRevocationList]] = {}
        self.lists: dict[str, CrtList] = {}
        self.bindings: list[Binding] = []
        self.outgoing: list[Outgoing] = []
        self.changed_certificate: Change[Parts] | None = None
        self.changed_authorities: Change[list[x509.Certificate]] | None = None
        self.changed_revocations: Change[list[x509.CertificateRevocationList]] | None = None
        self._issuers: Issuers | None = None

    # -- files -------------------------------------------------------------------------------------------------

    def certificate(self, name: str, place: Place) -> list[Certificate]:
        """A `crt` by its name; several for a bundle."""
        path = under(self.settings.crt_base, name)
        if path in self.certificates and path not in self.bundles:
            self.bundles[path] = (path,)
        if path not in self.bundles:
            files = self.settings.tls_loads.get(path)
            if files is not None:
                found = [certificates.load_parts(path, files, key_wins=True)]
            else:
                found = certificates.load(path, self.settings.tls_extra, strip=self.settings.tls_strip)
            for each in found:
                for text in each.warnings:
                    self.warn(place, text)
                self.complete(each)
                self.certificates.setdefault(each.path, each)
            self.bundles[path] = tuple(each.path for each in found)
        return [each for each in map(self.certificates.get, self.bundles[path]) if each is not None]

    def load(self) -> None:
        """Read what crt-store sections name, used or not."""
        for name, files in self.settings.tls_loads.items():
            try:
                self.certificate(name, files.place)
            except Refused as refused:
                raise Refused(f"'load' : {refused.text}", place=files.place) from None

    def complete(self, certificate: Certificate) -> None:
        """Give a certificate without a chain the one that `issuers-chain-path` has for it."""
        if self.settings.tls_issuers:
            if self._issuers is None:
                self._issuers = Issuers(self.settings.tls_issuers)
            self._issuers.complete(certificate)

    def trusted(self, name: str) -> list[x509.Certificate] | None:
        """A `ca-file` by its name: a file, a directory of them, or None for the system's own."""
        path = self.authority_path(name)
        if path not in self.authorities:
            if path == SYSTEM:
                return None
            files = sorted(os.path.join(path, each) for each in os.listdir(path)) if os.path.isdir(path) else [path]
            found: list[x509.Certificate] = []
            for file in files:
                found += certificates.authorities(file, certificates.read_file(file))
            self.authorities[path] = found
        return self.authorities[path]

    def authority_path(self, name: str) -> str:
        """Under what name a CA or CRL file is kept."""
        return under(self.settings.ca_base, name) if name else ""

    def revoked(self, name: str) -> list[x509.CertificateRevocationList]:
        """A `crl-file` by its name."""
        if not name:
            return []
        path = self.authority_path(name)
        if path not in self.revocations:
            self.revocations[path] = certificates.revocations(path, certificates.read_file(path))
        return self.revocations[path]

    def listed(self, name: str) -> CrtList:
        """A `crt-list`, or a directory, by its name."""
        key = _trim(name)
        if key not in self.lists:
            directory = os.path.isdir(name)
            self.lists[key] = read_directory(name) if directory else read_list(name, self.settings.crt_base)
        return self.lists[key]

    def find_list(self, name: str) -> CrtList | None:
        """A list in use, with or without slashes behind its name."""
        return self.lists.get(_trim(name))

    # -- who accepts -------------------------------------------------------------------------------------------

    def bind(self, line: Bind, alpn: tuple[bytes, ...]) -> Binding:
        """The certificates and settings of a bind line; `alpn` is offered where nothing else is said."""
        tls = context.over(line.tls, line.tls_defaults)
        if tls.alpn is None:
            tls.alpn = alpn
        lines: list[Line] = []
        lists: list[CrtList] = []
        for name in line.tls.crt:
            path = under(self.settings.crt_base, name)
            if os.path.isdir(path):
                lists.append(self.listed(path))
                lines += [Line(each.path, tls, (), each) for each in lists[-1].lines]
            else:
                lines.append(Line(path, tls))
        for name in line.tls.crt_list:
            lists.append(self.listed(name))
            lines += [Line(each.path, context.over(each.tls, tls), each.filters, each) for each in lists[-1].lines]
        if not lines:
            raise Refused("'bind ... ssl' needs a certificate: give 'crt' or 'crt-list'", place=line.place)
        try:
            selector = self._selector(lines, tls, line.place)
        except Refused as refused:
            raise Refused(f"'bind ... ssl' : {refused.text}", place=line.place) from None
        made = Binding(tls, lines, selector, line.place, tuple(each.name for each in lists), self.settings.tls_record)
        made.captures = self.settings.tls_capture > 0
        self.bindings.append(made)
        return made

    def _selector(self, lines: list[Line], tls: Tls, place: Place, before: Contexts | None = None) -> Selector:
        ready = [
            Use(certificate, line.tls, line.filters, line.path)
            for line in lines
            for certificate in self.certificate(line.path, place)
        ]
        try:
            return Selector(ready, bool(tls.strict_sni), self._accepting, before)
        except _OPENSSL as error:
            raise Refused(f"OpenSSL does not take these settings: {error}") from None

    def _accepting(self, tls: Tls, group: list[Certificate]) -> SSL.Context:
        if tls.verify in ("optional", "required") and not tls.ca_file:
            raise Refused(f"'verify {tls.verify}' needs a 'ca-file'")
        settings = self.settings
        return context.server_side(
            tls,
            group,
            self.trusted(tls.ca_file) if tls.ca_file else [],
            self.revoked(tls.crl_file),
            more=(self.trusted(tls.ca_verify_file) or []) if tls.ca_verify_file else [],
            lifetime=settings.tls_lifetime,
            cache=settings.tls_cache > 0,
            dh=settings.tls_dh,
        )

    # -- who connects ------------------------------------------------------------------------------------------

    def server(self, line: ServerLine) -> Outgoing:
        """The context of a server line."""
        tls = context.over(line.tls, line.tls_defaults)
        tls.verify = tls.verify or self.settings.server_verify
        crt = under(self.settings.crt_base, tls.crt[0]) if tls.crt else ""
        made = Outgoing(line, tls, self._connecting(tls, line), crt)
        self.outgoing.append(made)
        return made

    def forget(self, line: ServerLine) -> None:
        """A server is gone, and with it what was made for its line, and for its checks."""
        self.outgoing = [one for one in self.outgoing if (one.line.name, one.line.place) != (line.name, line.place)]

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
        except _OPENSSL as error:
            raise Refused(
                f"'server {line.name}' : OpenSSL does not take these settings: {error}", place=line.place
            ) from None
        except Refused as refused:
            raise Refused(f"'server {line.name}' : {refused.text}", place=line.place) from None

    # -- changes -----------------------------------------------------------------------------------------------

    def replace(self, path: str, found: Certificate) -> int:
        """Put another certificate under a name, and make anew what uses it; how many uses there are."""

        def holds(name: str, tls: Tls) -> bool:
            return path in self.bundles.get(name, (name,))

        return self._change(self.certificates, path, found, holds, lambda tls: False)

    def replace_authorities(self, path: str, found: list[x509.Certificate]) -> int:
        """Put other authorities under a name, and make anew what believes them; how many uses there are."""

        def believes(tls: Tls) -> bool:
            return path in (self.authority_path(tls.ca_file), self.authority_path(tls.ca_verify_file))

        return self._change(self.authorities, path, found, lambda name, tls: believes(tls), believes)

    def replace_revocations(self, path: str, found: list[x509.CertificateRevocationList]) -> int:
        """Put other revocation lists under a name, and make anew what heeds them; how many uses there are."""

        def heeds(tls: Tls) -> bool:
            return self.authority_path(tls.crl_file) == path

        return self._change(self.revocations, path, found, lambda name, tls: heeds(tls), heeds)

    def _change(
        self,
        kept: dict[str, T],
        path: str,
        found: T,
        uses: Callable[[str, Tls], bool],
        stale: Callable[[Tls], bool],
    ) -> int:
        """Keep `found`, make anew the contexts that are stale, and let all who use it have them. All or nothing."""
        before = dict(kept)
        kept[path] = found
        count = 0
        try:
            selectors = []
            for binding in self.bindings:
                if lines := sum(uses(line.path, line.tls) for line in binding.lines):
                    count += lines
                    good = {key: made for key, made in binding.selector.made.items() if not stale(made.tls)}
                    selectors.append((binding, self._selector(binding.lines, binding.tls, binding.place, good)))
            contexts = [
                (each, self._connecting(each.tls, each.line)) for each in self.outgoing if uses(each.crt, each.tls)
            ]
        except BaseException:
            kept.clear()
            kept.update(before)
            raise
        for binding, selector in selectors:
            binding.selector = selector
        for each, made in contexts:
            each.context = made
            each.sessions.clear()
        return count + len(contexts)

    def extend(self, listed: CrtList, line: Listed) -> int:
        """Add a line to a list that is in use; how many bind lines have it. Raises Refused for unknown files."""
        for option, name, known in (
            ("ca-file", line.tls.ca_file, self.authorities),
            ("ca-verify-file", line.tls.ca_verify_file, self.authorities),
            ("crl-file", line.tls.crl_file, self.revocations),
        ):
            path = self.authority_path(name)
            if name and path not in known and path != SYSTEM:
                raise Refused(f"'{option}' : unable to load {path}")
        made = []
        for binding in self._having(listed):
            new = Line(line.path, context.over(line.tls, binding.tls), line.filters, line)
            lines = [*binding.lines, new]
            made.append((binding, lines, self._selector(lines, binding.tls, binding.place, binding.selector.made)))
        listed.lines.append(line)
        listed.length += 1
        for binding, lines, selector in made:
            binding.lines, binding.selector = lines, selector
        return len(made)

    def defaults(self, listed: CrtList, line: Listed) -> list[Binding]:
        """The bind lines whose default certificate a line of a list is."""
        return [b for b in self._having(listed) if not b.selector.strict and b.lines[0].listed is line]

    def shorten(self, listed: CrtList, line: Listed) -> None:
        """Take a line out of a list that is in use; it must be nobody's default."""
        made = []
        for binding in self._having(listed):
            lines = [each for each in binding.lines if each.listed is not line]
            made.append((binding, lines, self._selector(lines, binding.tls, binding.place, binding.selector.made)))
        listed.lines.remove(line)
        for binding, lines, selector in made:
            binding.lines, binding.selector = lines, selector

    def _having(self, listed: CrtList) -> Iterable[Binding]:
        return [binding for binding in self.bindings if listed.name in binding.lists]

    # -- who uses what -----------------------------------------------------------------------------------------

    def uses_certificate(self, path: str) -> bool:
        """Is a certificate used by any line?"""
        names = [line.path for b in self.bindings for line in b.lines] + [o.crt for o in self.outgoing if o.crt]
        names += [line.path for each in self.lists.values() for line in each.lines]
        return any(path in self.bundles.get(name, (name,)) for name in names)

    def uses_authority(self, path: str) -> bool:
        """Does any line name a CA or CRL file?"""
        every = [b.tls for b in self.bindings] + [line.tls for b in self.bindings for line in b.lines]
        every += [o.tls for o in self.outgoing]
        return any(
            path == self.authority_path(name)
            for tls in every
            for name in (tls.ca_file, tls.ca_verify_file, tls.crl_file)
        )


def _trim(name: str) -> str:
    return name.rstrip("/") or "/"
