"""Certificates, keys and revocation lists for tests, made once and kept in memory."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEGIN = datetime.datetime(2024, 1, 3, 4, 5, 6, tzinfo=datetime.UTC)
END = datetime.datetime(2049, 11, 30, 23, 59, 59, tzinfo=datetime.UTC)
_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Pair:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: _Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def crt(self) -> str:
        """The certificate and its chain, PEM."""
        every = (self.certificate, *self.chain)
        return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in every)

    @property
    def private(self) -> str:
        """The key, PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def pem(self) -> str:
        """All of it."""
        return self.crt + self.private

    @property
    def sha1(self) -> str:
        """The fingerprint, upper case."""
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()


@functools.cache
def _key(kind: str, number: int) -> _Key:
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    return ec.generate_private_key({"ec": ec.SECP256R1(), "ec384": ec.SECP384R1()}[kind])


@functools.cache
def authority(name: str, kind: str = "ec") -> Pair:
    """A certificate authority that signs itself."""
    key = _key(kind, hash(name))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = _builder(subject, subject, key, 1).add_extension(x509.BasicConstraints(True, None), True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    return Pair(made.add_extension(usage, True).sign(key, hashes.SHA256()), key)


@functools.cache
def leaf(name: str, kind: str = "ec", *, ca: str = "", serial: int = 0xA0B1C2, others: Sequence[str] = ()) -> Pair:
    """A certificate for a host, of an authority or of its own."""
    key = _key(kind, hash(name))
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = authority(ca) if ca else None
    made = _builder(subject, signer.certificate.subject if signer is not None else subject, key, serial)
    names = [x509.DNSName(each) for each in (name, *others)]
    made = made.add_extension(x509.SubjectAlternativeName(names), False)
    made = made.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False
    )
    if signer is None:
        return Pair(made.sign(key, hashes.SHA256()), key)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), False)
    return Pair(made.sign(signer.key, hashes.SHA256()), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key, serial: int) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return made.serial_number(serial).not_valid_before(BEGIN).not_valid_after(END)


@functools.cache
def revocations(ca: str, *serials: int) -> str:
    """A list of revoked certificates of an authority, PEM."""
    signer = authority(ca)
    made = x509.CertificateRevocationListBuilder().issuer_name(signer.certificate.subject)
    made = made.last_update(BEGIN).next_update(END)
    for serial in serials:
        gone = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(BEGIN).build()
        made = made.add_revoked_certificate(gone)
    return made.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
