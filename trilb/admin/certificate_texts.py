"""How `show ssl ...` writes certificates and revocation lists. Values in, text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from trilb.tls import facts
from trilb.tls.certificates import ODD, Parts

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_SIGNATURES = {
    "RSA-MD5": "md5WithRSAEncryption",
    "RSA-SHA1": "sha1WithRSAEncryption",
    "RSASSA-PSS": "rsassaPss",
    "RSA-SHA224": "sha224WithRSAEncryption",
    "RSA-SHA256": "sha256WithRSAEncryption",
    "RSA-SHA384": "sha384WithRSAEncryption",
    "RSA-SHA512": "sha512WithRSAEncryption",
    "DSA-SHA1": "dsaWithSHA1",
}
"""OpenSSL's long names of algorithms, where they differ from its short ones."""


def moment(when: datetime) -> str:
    """`Jan  3 04:05:06 2024 GMT`."""
    when = when.astimezone(UTC)
    return f"{_MONTHS[when.month - 1]} {when.day:2d} {when:%H:%M:%S} {when.year} GMT"


def subject(certificate: x509.Certificate) -> str:
    """Whose it is: `/C=FR/CN=www`, a character for each byte."""
    return _readable(lambda: facts.written(certificate.subject).decode("latin-1"))


def issuer(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    """Who signed it."""
    return _readable(lambda: facts.written(signed.issuer).decode("latin-1"))


def _readable(read: Callable[[], str]) -> str:
    """What is read, or nothing where cryptography cannot read it: OpenSSL may believe an authority all the same."""
    try:
        return read()
    except ODD:
        return ""


def hexadecimal(number: int) -> str:
    """A serial number, two digits for each byte."""
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + ("0" if len(digits) % 2 else "") + digits


def facts_of(certificate: x509.Certificate) -> str:
    """What is told of any certificate, from its serial number to its fingerprint."""
    try:
        found: Sequence[x509.GeneralName] = list(
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        )
    except ODD:
        found = ()
    # HAProxy has nothing but a place between commas for those that are no host names.
    names = ", ".join(f"DNS:{each.value}" if isinstance(each, x509.DNSName) else "" for each in found)
    return (
        f"Serial: {hexadecimal(certificate.serial_number)}\n"
        f"notBefore: {_readable(lambda: moment(certificate.not_valid_before_utc))}\n"
        f"notAfter: {_readable(lambda: moment(certificate.not_valid_after_utc))}\n"
        f"Subject Alternative Name: {names}\n"
        f"Algorithm: {_readable(lambda: facts.key_words(certificate).decode())}\n"
        f"SHA1 FingerPrint: {facts.sha1(certificate).hex().upper()}\n"
        f"Subject: {subject(certificate)}\n"
        f"Issuer: {issuer(certificate)}\n"
    )


def certificate_file(path: str, status: str, parts: Parts, chain_file: str = "") -> str:
    """`show ssl cert FILE`."""
    said = f"Filename: {path}\nStatus: {status}\n"
    if parts.leaf is not None:
        if chain_file:
            said += f"Chain Filename: {chain_file}\n"
        said += facts_of(parts.leaf)
        for each in parts.chain:
            said += f"Chain Subject: {subject(each)}\nChain Issuer: {issuer(each)}\n"
    return f"{said}OCSP Response Key: {_readable(lambda: _response_key(parts))}\n"


def _response_key(parts: Parts) -> str:
    """What an OCSP response is filed under: the DER of its CertID, as hexadecimal digits."""
    leaf = parts.leaf
    if not parts.ocsp or leaf is None:
        return ""
    signer = parts.issuer or next((each for each in parts.chain if each.subject == leaf.issuer), None)
    if signer is None:
        return ""
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, signer, hashes.SHA1()).build()
    number = asked.serial_number
    digits = number.to_bytes(number.bit_length() // 8 + 1, "big")
    algorithm = bytes.fromhex("300906052b0e03021a0500")
    inside = algorithm + _der(4, asked.issuer_name_hash) + _der(4, asked.issuer_key_hash) + _der(2, digits)
    return _der(0x30, inside).hex()


def _der(tag: int, content: bytes) -> bytes:
    # None of these has more than 127 bytes: two digests and a serial number of 20 bytes.
    return bytes((tag, len(content))) + content


def authority_file(path: str, status: str, found: Sequence[x509.Certificate], number: int | None = None) -> str:
    """`show ssl ca-file FILE[:NUMBER]`."""
    shown = [
        f" \nCertificate #{at}:\n{facts_of(each)}" for at, each in enumerate(found, 1) if number is None or at == number
    ]
    return f"Filename: {path}\nStatus: {status}\n{''.join(shown)}" if shown else ""


def revocation_file(
    path: str, status: str, found: Sequence[x509.CertificateRevocationList], number: int | None = None
) -> Iterator[str]:
    """`show ssl crl-file FILE[:NUMBER]`, in pieces: a list may have very many entries."""
    yield f"Filename: {path}\nStatus: {status}\n"
    for at, each in enumerate(found, 1):
        if number is None or at == number:
            yield from _revocations(at, each)


def _revocations(number: int, crl: x509.CertificateRevocationList) -> Iterator[str]:
    oid = crl.signature_algorithm_oid.dotted_string
    short = facts.SIGNATURES.get(oid, oid.encode()).decode()
    following = f"Next Update: {moment(crl.next_update_utc)}\n" if crl.next_update_utc is not None else ""
    said = (
        f" \nCertificate Revocation List #{number}:\n"
        f"Version {_version(crl)}\n"
        f"Signature Algorithm: {_SIGNATURES.get(short, short)}\n"
        f"Issuer: {issuer(crl)}\n"
        f"Last Update: {moment(crl.last_update_utc)}\n"
        f"{following}"
    )
    yield said + ("Revoked Certificates:\n" if len(crl) else "No Revoked Certificates.\n")
    said = ""
    for each in crl:
        said += (
            f"    Serial Number: {hexadecimal(each.serial_number)}\n"
            f"        Revocation Date: {moment(each.revocation_date_utc)}\n"
        )
        if len(said) > 16384:
            yield said
            said = ""
    yield said


def _version(crl: x509.CertificateRevocationList) -> int:
    """1, or 2 for one that says so: its body begins with a number."""
    body = crl.tbs_certlist_bytes
    at = 2 + (body[1] & 0x7F if body[1] & 0x80 else 0)
    return body[at + 2] + 1 if body[at] == 2 else 1
