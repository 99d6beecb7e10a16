"""What there is to know of a secured connection and of its certificates, as values for rules and logs."""

from __future__ import annotations

from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from trilb.tls.names import entry, rfc2253, when, written

_lib, _ffi = vars(SSL)["_lib"], vars(SSL)["_ffi"]

__all__ = ["entry", "rfc2253", "when", "written"]

SIGNATURES = {
    "1.2.840.113549.1.1.4": b"RSA-MD5",
    "1.2.840.113549.1.1.5": b"RSA-SHA1",
    "1.2.840.113549.1.1.10": b"RSASSA-PSS",
    "1.2.840.113549.1.1.11": b"RSA-SHA256",
    "1.2.840.113549.1.1.12": b"RSA-SHA384",
    "1.2.840.113549.1.1.13": b"RSA-SHA512",
    "1.2.840.113549.1.1.14": b"RSA-SHA224",
    "1.2.840.10045.4.1": b"ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": b"ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": b"ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": b"ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": b"ecdsa-with-SHA512",
    "1.2.840.10040.4.3": b"DSA-SHA1",
    "2.16.840.1.101.3.4.3.2": b"dsa_with_SHA256",
    "1.3.101.112": b"ED25519",
    "1.3.101.113": b"ED448",
}
"""OpenSSL's short names of signature algorithms, by their object identifiers."""
_KEYS = {
    "1.2.840.113549.1.1.1": b"rsaEncryption",
    "1.2.840.10045.2.1": b"id-ecPublicKey",
    "1.2.840.10040.4.1": b"dsaEncryption",
    "1.3.101.112": b"ED25519",
    "1.3.101.113": b"ED448",
}


_GROUPS = {"x25519": "X25519", "x448": "X448", "secp256r1": "prime256v1"}
"""Groups whose usual name is another one than that of their registration."""


class Secured(Protocol):
    """A connection that speaks TLS."""

    @property
    def secured(self) -> Any: ...

    @property
    def verdict(self) -> Any: ...


def _tls(conn: Secured) -> SSL.Connection:
    found = conn.secured
    assert isinstance(found, SSL.Connection)
    return found


def version(conn: Secured) -> bytes:
    """`TLSv1.3`."""
    return _tls(conn).get_protocol_version_name().encode()


def cipher(conn: Secured) -> bytes:
    """OpenSSL's name of the cipher."""
    return (_tls(conn).get_cipher_name() or "(NONE)").encode()


def bits(conn: Secured) -> int:
    """Secret bits of the cipher's key."""
    return _tls(conn).get_cipher_bits() or 0


def group(conn: Secured) -> bytes | None:
    """The group of the key exchange."""
    name = _tls(conn).get_group_name()
    return _GROUPS.get(name, name).encode() if name else None


def session_key(conn: Secured) -> bytes | None:
    """The master secret."""
    return _tls(conn).master_key()


def client_random(conn: Secured) -> bytes | None:
    """The client's random."""
    return _tls(conn).client_random()


def server_random(conn: Secured) -> bytes | None:
    """The server's random."""
    return _tls(conn).server_random()


def unique(conn: Secured, *, accepting: bool) -> bytes | None:
    """The first Finished message (RFC 5929): the client's, or the server's in a resumed session."""
    tls = _tls(conn)
    resumed = bool(getattr(conn, "resumed", False))
    return tls.get_finished() if accepting == resumed else tls.get_peer_finished()


def peer(conn: Secured) -> x509.Certificate | None:
    """The certificate the other side showed, also where the handshake ended for its sake."""
    found = _tls(conn).get_peer_certificate(as_cryptography=True)
    return found if found is not None else conn.verdict.certificate


def own(conn: Secured) -> x509.Certificate | None:
    """The certificate we showed."""
    return _tls(conn).get_certificate(as_cryptography=True)


def der(certificate: x509.Certificate) -> bytes:
    """The certificate as it travels."""
    return certificate.public_bytes(Encoding.DER)


def chain(conn: Secured) -> bytes | None:
    """The certificates the other side showed, one after another; a client's without its own, as OpenSSL has it."""
    certificates = _tls(conn).get_peer_cert_chain(as_cryptography=True)
    return b"".join(map(der, certificates)) if certificates else None


def root(conn: Secured) -> x509.Certificate | None:
    """The authority the other side's certificate was traced to."""
    found = _tls(conn).get_verified_chain(as_cryptography=True)
    return found[-1] if found else None


def sha1(certificate: x509.Certificate) -> bytes:
    """The certificate's fingerprint."""
    return certificate.fingerprint(SHA1())


def alternatives(certificate: x509.Certificate) -> bytes | None:
    """The names a certificate is for, as OpenSSL prints them: `DNS:a.example, IP Address:127.0.0.1`."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    return ", ".join(_alternative(each) for each in names).encode()


def _alternative(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DirectoryName):
        return "DirName:" + written(name.value).decode()
    labels = {x509.DNSName: "DNS", x509.IPAddress: "IP Address", x509.RFC822Name: "email"}
    labels |= {x509.UniformResourceIdentifier: "URI", x509.RegisteredID: "Registered ID"}
    label = labels.get(type(name))
    if label is None:
        return "othername:<unsupported>"
    value = name.value
    return f"{label}:{value.dotted_string if isinstance(value, x509.ObjectIdentifier) else value}"


def cipher_names(conn: Secured, pairs: bytes) -> bytes:
    """The names of ciphers that are given by two bytes each; those OpenSSL does not know by their number."""
    raw = vars(_tls(conn))["_ssl"]
    names: list[str] = []
    for at in range(0, len(pairs) - 1, 2):
        pair = pairs[at : at + 2]
        found = _lib.SSL_CIPHER_find(raw, pair)
        known = found != _ffi.NULL
        names.append(_ffi.string(_lib.SSL_CIPHER_get_name(found)).decode() if known else f"UNKNOWN({pair.hex()})")
    return ",".join(names).encode()


def serial(certificate: x509.Certificate) -> bytes:
    """The serial number, big endian."""
    number = certificate.serial_number
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


def signature_algorithm(certificate: x509.Certificate) -> bytes:
    """OpenSSL's short name of the algorithm the certificate was signed with."""
    oid = certificate.signature_algorithm_oid.dotted_string
    return SIGNATURES.get(oid, oid.encode())


def key_algorithm(certificate: x509.Certificate) -> bytes:
    """OpenSSL's name of the kind of key."""
    oid = certificate.public_key_algorithm_oid.dotted_string
    return _KEYS.get(oid, oid.encode())


def key_words(certificate: x509.Certificate) -> bytes:
    """Kind and size of the key: `RSA2048`, `EC256`."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return b"RSA%d" % key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return b"EC%d" % key.key_size
    if isinstance(key, dsa.DSAPublicKey):
        return b"DSA%d" % key.key_size
    return key_algorithm(certificate)


def error_text(code: int) -> str:
    """OpenSSL's words for an error's number, as its tools print them; "-" for none."""
    if not code:
        return "-"
    reason, library = _lib.ERR_reason_error_string(code), _lib.ERR_lib_error_string(code)
    words = [_ffi.string(text).decode() if text != _ffi.NULL else "" for text in (library, reason)]
    return f"error:{code:08X}:{words[0]}::{words[1]}"
