"""Certificates with their keys and chains, read from PEM as HAProxy keeps them (configuration.txt, `crt`).

One file holds the certificate, its chain and its key in any order; the key may stand in FILE.key. Every failure is
Refused with the file's name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from trilb.base.diagnostic import Refused

BUNDLE = ("rsa", "ecdsa", "dsa")
"""Endings of the files of a multi-certificate bundle, in the order in which they are loaded."""
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
    bundle: str = ""
    """The name without its ending, when it is one of several files under that name."""
    ocsp: bytes = b""
    issuer: x509.Certificate | None = None
    warnings: list[str] = field(default_factory=list)

    def pem(self) -> bytes:
        """The certificate and its chain, in the order in which they are sent."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.leaf, *self.chain))


def read_file(path: str) -> bytes:
    """The bytes of a file. Raises Refused."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Refused(f"unable to read '{path}': {error.strerror}") from None


def load(path: str, extra: frozenset[str], read: Callable[[str], bytes] = read_file) -> list[Certificate]:
    """The certificates of one `crt`: the file, or its bundle FILE.rsa, FILE.ecdsa when there is no such file.

    `extra` says which files beside it count (`ssl-load-extra-files`). Raises Refused.
    """
    if os.path.exists(path) or "bundle" not in extra:
        return [_one(path, extra, read)]
    found = [f"{path}.{kind}" for kind in BUNDLE if os.path.exists(f"{path}.{kind}")]
    if not found:
        return [_one(path, extra, read)]
    made = [_one(each, extra, read) for each in found]
    for certificate in made:
        certificate.bundle = path
    return made


def is_part(name: str) -> bool:
    """Is a file of that name something that belongs to a certificate, rather than one (in a directory)?"""
    return name.startswith(".") or name.endswith((".key", ".issuer", ".ocsp", ".sctl"))


def _one(path: str, extra: frozenset[str], read: Callable[[str], bytes]) -> Certificate:
    text = read(path)
    key = b""
    if _KEY.search(text) is None and "key" in extra:
        for beside in (f"{path}.key", re.sub(r"\.crt\Z", "", path) + ".key"):
            if os.path.exists(beside):
                key = read(beside)
                break
    found = parse(path, text, key)
    if "ocsp" in extra and os.path.exists(f"{path}.ocsp"):
        found.ocsp = read(f"{path}.ocsp")
    if "issuer" in extra and os.path.exists(f"{path}.issuer"):
        found.issuer = authorities(f"{path}.issuer", read(f"{path}.issuer"))[0]
    return found


def parse(path: str, text: bytes, key_text: bytes = b"") -> Certificate:
    """A certificate from PEM; the key may come apart. Raises Refused naming `path` and what is wrong."""
    try:
        # Block by block, or a broken key would be taken for a broken certificate.
        certificates = x509.load_pem_x509_certificates(b"\n".join(each[0] for each in _CERTIFICATE.finditer(text)))
    except ValueError:
        raise Refused(
            f"unable to load a certificate from '{path}': no PEM certificate in it, or a broken one"
        ) from None
    match = _KEY.search(text) or _KEY.search(key_text)
    if match is None:
        raise Refused(f"no private key for '{path}': put it in the file, or in '{path}.key'")
    try:
        key = serialization.load_pem_private_key(match[0], None)
    except TypeError:
        raise Refused(f"the private key of '{path}' has a passphrase; store it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Refused(f"unable to load the private key of '{path}': it is broken or of an unknown kind") from None
    leaf = certificates[0]
    public = key.public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    own = next((c for c in certificates if c.public_key().public_bytes(*form) == public.public_bytes(*form)), None)
    if own is None:
        raise Refused(f"inconsistent certificate and private key in '{path}': the key belongs to another certificate")
    leaf = own
    made = Certificate(
        path,
        leaf,
        tuple(c for c in certificates if c is not leaf),
        key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        _kind(public),
        names_of(leaf),
    )
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        made.warnings.append(f"the certificate in '{path}' expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    elif leaf.not_valid_before_utc > now:
        made.warnings.append(
            f"the certificate in '{path}' is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        )
    return made


def authorities(path: str, text: bytes) -> list[x509.Certificate]:
    """All certificates of a CA file. Raises Refused."""
    try:
        found = x509.load_pem_x509_certificates(text)
    except ValueError:
        found = []
    if not found:
        raise Refused(f"no certificate of an authority in '{path}'")
    return found


def revocations(path: str, text: bytes) -> list[x509.CertificateRevocationList]:
    """All lists of a CRL file. Raises Refused."""
    blocks = re.findall(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", text, re.DOTALL)
    try:
        found = [x509.load_pem_x509_crl(block) for block in blocks]
    except ValueError:
        raise Refused(f"a broken certificate revocation list in '{path}'") from None
    if not found:
        raise Refused(f"no certificate revocation list in '{path}'")
    return found


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
    except (x509.ExtensionNotFound, ValueError):
        pass
    names += [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys(name.lower() for name in names))
