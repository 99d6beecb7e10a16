"""Certificates with their keys and chains, read from PEM as HAProxy keeps them (configuration.txt, `crt`).

One file holds the certificate, its chain and its key in any order; the key may stand in FILE.key. Every failure is
Refused with the file's name.
"""

from __future__ import annotations

import os
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from trilb.base.diagnostic import Refused
from trilb.config.sections import CertificateFiles

ODD = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises about a certificate or a list that it cannot read, or a part of one."""
BUNDLE = ("rsa", "ecdsa", "dsa")
"""Endings of the files of a multi-certificate bundle, in the order in which they are loaded."""
_SYSTEM_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_CERTIFICATE = re.compile(rb"-----BEGIN (X509 |)CERTIFICATE-----.+?-----END \1CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----.+?-----END \1PRIVATE KEY-----", re.DOTALL)


@dataclass(slots=True)
class Certificate:
    """A certificate in use: `path` names it, `chain` has those that are sent with it."""

    path: str
    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: bytes
    """The private key, PEM without a passphrase."""
    kind: str
    """Of its key: rsa, ecdsa, dsa or another name."""
    names: tuple[str, ...]
    """Lower-case host names it is for, perhaps with a leading `*.`."""
    ocsp: bytes = b""
    issuer: x509.Certificate | None = None
    warnings: list[str] = field(default_factory=list)
    chain_file: str = ""
    """Where its chain comes from, when not from its own file (`issuers-chain-path`)."""

    def pem(self) -> bytes:
        """The certificate and its chain, in the order in which they are sent."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.leaf, *self.chain))

    def parts(self) -> Parts:
        """What it is made of."""
        chain = () if self.chain_file else self.chain
        return Parts(self.leaf, chain, self.key, self.ocsp, self.issuer)


@dataclass(slots=True)
class Parts:
    """What a certificate is made of, perhaps not all of it yet."""

    leaf: x509.Certificate | None = None
    chain: tuple[x509.Certificate, ...] = ()
    key: bytes = b""
    ocsp: bytes = b""
    issuer: x509.Certificate | None = None


def read_file(path: str) -> bytes:
    """The bytes of a file. Raises Refused."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Refused(f"unable to read '{path}': {error.strerror}") from None


def load(path: str, extra: frozenset[str], *, strip: bool = False) -> list[Certificate]:
    """The certificates of one `crt`: the file, or its bundle FILE.rsa, FILE.ecdsa when there is no such file.

    `extra` says which files beside it count (`ssl-load-extra-files`), `strip` that `.crt` goes from its name before
    theirs are made of it (`ssl-load-extra-del-ext`). Raises Refused.
    """
    if os.path.exists(path) or "bundle" not in extra:
        return [_one(path, extra, strip)]
    found = [f"{path}.{kind}" for kind in BUNDLE if os.path.exists(f"{path}.{kind}")]
    return [_one(each, extra, strip) for each in found or [path]]


def is_part(name: str) -> bool:
    """Is a file of that name something that belongs to a certificate, rather than one (in a directory)?"""
    return name.startswith(".") or name.endswith((".key", ".issuer", ".ocsp", ".sctl"))


def _one(path: str, extra: frozenset[str], strip: bool) -> Certificate:
    base = path.removesuffix(".crt") if strip else path
    key, ocsp, issuer = (
        file if kind in extra and os.path.exists(file) else ""
        for kind, file in ((kind, f"{base}.{kind}") for kind in ("key", "ocsp", "issuer"))
    )
    return load_parts(path, CertificateFiles(path, key, ocsp, issuer))


def load_parts(name: str, files: CertificateFiles, *, key_wins: bool = False) -> Certificate:
    """A certificate of several files; the key's is read where the certificate's has none, or first. Raises Refused."""
    parts = read_parts(files.crt, read_file(files.crt))
    if files.key and (key_wins or not parts.key):
        parts.key = read_key(files.key, read_file(files.key))
    if files.ocsp:
        parts.ocsp = read_file(files.ocsp)
    if files.issuer:
        parts.issuer = authorities(files.issuer, read_file(files.issuer))[0]
    return finish(name, parts)


def read_parts(path: str, text: bytes) -> Parts:
    """What a PEM file has of a certificate; its key may come apart. Raises Refused."""
    try:
        # Block by block, or a broken key would be taken for a broken certificate.
        found = x509.load_pem_x509_certificates(b"\n".join(each[0] for each in _CERTIFICATE.finditer(text)))
    except ODD:
        raise Refused(
            f"unable to load a certificate from '{path}': no PEM certificate in it, or a broken one"
        ) from None
    for each in found:
        try:
            (each.subject, each.issuer, each.not_valid_before_utc, each.not_valid_after_utc, each.public_key())
        except ODD as error:
            raise Refused(f"unable to read a certificate of '{path}': {error}") from None
    return Parts(found[0], tuple(found[1:]), read_key(path, text) if _KEY.search(text) else b"")


def read_key(path: str, text: bytes) -> bytes:
    """A private key as PEM without a passphrase. Raises Refused."""
    match = _KEY.search(text)
    if match is None:
        raise Refused(f"no private key in '{path}'")
    try:
        key = serialization.load_pem_private_key(match[0], None)
    except TypeError:
        raise Refused(f"the private key of '{path}' has a passphrase; store it without one") from None
    except ODD:
        raise Refused(f"unable to load the private key of '{path}': it is broken or of an unknown kind") from None
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def finish(path: str, parts: Parts) -> Certificate:
    """A certificate of its parts. Raises Refused naming `path` and what is wrong."""
    if parts.leaf is None:
        raise Refused(f"no certificate for '{path}'")
    if not parts.key:
        raise Refused(f"no private key for '{path}': put it in the file, or in '{path}.key'")
    public = serialization.load_pem_private_key(parts.key, None).public_key()
    wanted = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    every = (parts.leaf, *parts.chain)
    leaf = next((each for each in every if _public(each) == wanted), None)
    if leaf is None:
        raise Refused(f"inconsistent certificate and private key in '{path}': the key belongs to another certificate")
    chain = tuple(c for c in every if c is not leaf)
    made = Certificate(path, leaf, chain, parts.key, _kind(public), names_of(leaf), parts.ocsp, parts.issuer)
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        made.warnings.append(f"the certificate in '{path}' expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    elif leaf.not_valid_before_utc > now:
        made.warnings.append(
            f"the certificate in '{path}' is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        )
    return made


def _public(certificate: x509.Certificate) -> bytes:
    """The public key as it stands in a certificate, nothing when it is of an unknown kind."""
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ODD:
        return b""


class Issuers:
    """Chains of a directory, for certificates that come without one (`issuers-chain-path`)."""

    def __init__(self, directory: str) -> None:
        """Read every file. Raises Refused."""
        self.chains: list[tuple[str, tuple[x509.Certificate, ...]]] = []
        try:
            names = sorted(os.listdir(directory))
        except OSError as error:
            raise Refused(f"unable to read the 'issuers-chain-path' '{directory}': {error.strerror}") from None
        for name in names:
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                self.chains.append((path, tuple(authorities(path, read_file(path)))))

    def complete(self, certificate: Certificate) -> None:
        """Give a certificate that has no chain the one that begins with its issuer."""
        leaf = certificate.leaf
        if certificate.chain or leaf.issuer == leaf.subject:
            return
        for path, chain in self.chains:
            if chain[0].subject == leaf.issuer and _identifiers_agree(leaf, chain[0]):
                certificate.chain, certificate.chain_file = chain, path
                return


def _identifiers_agree(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        wanted = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        has = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except ODD:
        return True
    return wanted is None or wanted == has


def authorities(path: str, text: bytes) -> list[x509.Certificate]:
    """All certificates of a CA file, each once. Raises Refused."""
    try:
        with warnings.catch_warnings():
            # Authorities of long ago have serial numbers that nobody would give today.
            warnings.simplefilter("ignore")
            found = x509.load_pem_x509_certificates(text)
    except ODD:
        found = []
    if not found:
        raise Refused(f"no certificate of an authority in '{path}'")
    return list(dict.fromkeys(found))


def system() -> list[x509.Certificate]:
    """The authorities the system believes, where they are in one of the usual files."""
    for path in _SYSTEM_FILES:
        with suppress(Refused):
            return authorities(path, read_file(path))
    return []


def revocations(path: str, text: bytes) -> list[x509.CertificateRevocationList]:
    """All lists of a CRL file, each once. Raises Refused."""
    blocks = re.findall(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", text, re.DOTALL)
    try:
        found = [x509.load_pem_x509_crl(block) for block in blocks]
    except ODD:
        raise Refused(f"a broken certificate revocation list in '{path}'") from None
    if not found:
        raise Refused(f"no certificate revocation list in '{path}'")
    return list({each.public_bytes(Encoding.DER): each for each in found}.values())


def _kind(key: object) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ecdsa"
    return "dsa" if isinstance(key, dsa.DSAPublicKey) else type(key).__name__


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names of a certificate: its common name and the DNS names it lists."""
    names: list[str] = []
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += alternatives.get_values_for_type(x509.DNSName)
    except ODD:
        pass
    names += [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys(name.lower() for name in names))
