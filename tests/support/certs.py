"""Certificates, authorities and revocation lists for tests, and both ends of TLS connections."""

from __future__ import annotations

import functools
import socket
import ssl
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from tests.support.origin import Origin, Respond
from tests.support.wire import Client
from trilb.tls.certificates import Certificate, finish, read_parts

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Name = Sequence[tuple[ObjectIdentifier, str]]
NOW = datetime.now(UTC).replace(microsecond=0)


@functools.cache
def rsa_key(number: int = 0, size: int = 2048) -> rsa.RSAPrivateKey:
    """RSA keys are slow to make: each is made once."""
    return rsa.generate_private_key(65537, size)


def key_pem(key: Key) -> bytes:
    """A key as files have it."""
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def subject(cn: str, *more: tuple[ObjectIdentifier, str]) -> list[tuple[ObjectIdentifier, str]]:
    """A distinguished name that ends in its common name."""
    return [*more, (NameOID.COMMON_NAME, cn)]


@dataclass
class Issued:
    """A certificate with its key, and those of its authorities below the root."""

    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...] = ()

    @property
    def cert_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its chain."""
        return self.cert_pem + b"".join(each.public_bytes(Encoding.PEM) for each in self.above)

    @property
    def key_pem(self) -> bytes:
        """The key alone."""
        return key_pem(self.key)

    @property
    def pem(self) -> bytes:
        """All of it, as HAProxy's `crt` wants it."""
        return self.chain_pem + self.key_pem


@dataclass
class Authority(Issued):
    """Who issues."""

    numbers: int = 0x1000
    root: bool = True
    gone: list[x509.Certificate] = field(default_factory=list)

    @classmethod
    def new(cls, cn: str = "Test CA", above: Authority | None = None) -> Authority:
        """A root, or an authority below `above`."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _build(
            subject(cn, (NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, "Test")),
            key,
            above,
            number=above.next() if above else 1,
            authority=True,
        )
        chain = () if above is None or above.root else (above.certificate, *above.above)
        return cls(made, key, chain, root=above is None)

    def next(self) -> int:
        """A serial number."""
        self.numbers += 1
        return self.numbers

    def issue(
        self,
        cn: str | Name,
        *names: str,
        key: Key | None = None,
        start: datetime = NOW - timedelta(days=1),
        end: datetime = NOW + timedelta(days=365),
        digest: hashes.SHA256 | hashes.SHA384 | None = None,
    ) -> Issued:
        """A certificate for a common name (or a whole distinguished one) and DNS names."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        who = subject(cn) if isinstance(cn, str) else cn
        made = _build(who, key, self, number=self.next(), names=names, start=start, end=end, digest=digest)
        return Issued(made, key, () if self.root else (self.certificate, *self.above))

    def crl(self, *revoked: Issued) -> bytes:
        """A list of those who are revoked."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(NOW - timedelta(days=1))
            .next_update(NOW + timedelta(days=30))
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.certificate.serial_number)
                .revocation_date(NOW - timedelta(hours=1))
                .build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _build(
    who: Name,
    key: Key,
    by: Authority | None,
    *,
    number: int,
    names: Iterable[str] = (),
    authority: bool = False,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=365),
    digest: hashes.SHA256 | hashes.SHA384 | None = None,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in who])
    signer = by.key if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(by.certificate.subject if by else name)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names := list(names):
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    return builder.sign(signer, digest or hashes.SHA256())


_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}

# -- clients ---------------------------------------------------------------------------------------------------------


def client_context(
    *,
    newest: str = "1.3",
    oldest: str = "1.2",
    ciphers: str = "",
    alpn: Sequence[str] = (),
    own: Issued | None = None,
    trusted: Issued | None = None,
    tickets: bool = True,
) -> ssl.SSLContext:
    """A client's context; it believes everybody unless told whom."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if trusted is not None:
        context.load_verify_locations(cadata=trusted.cert_pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    if oldest in ("1.0", "1.1"):
        context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = _VERSIONS[oldest]
        context.maximum_version = _VERSIONS[newest]
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    if own is not None:
        _load(context, own)
    return context


def server_context(own: Issued, *, trusted: Issued | None = None, newest: str = "1.3") -> ssl.SSLContext:
    """A server's context; with `trusted` it wants a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, own)
    if newest == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if trusted is not None:
        context.load_verify_locations(cadata=trusted.cert_pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(context: ssl.SSLContext, own: Issued) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(own.pem)
        context.load_cert_chain(file.name)


class TlsClient(Client):
    """A raw client whose bytes are secured."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext | None = None,
        *,
        name: str | None = None,
        session: ssl.SSLSession | None = None,
        before: bytes = b"",
        timeout: float = 5.0,
    ) -> None:
        """Connect, send `before` in clear, shake hands. Raises ssl.SSLError, ConnectionError."""
        super().__init__(port, timeout=timeout)
        plain = self._sock
        try:
            if before:
                plain.sendall(before)
            self.tls = (context or client_context()).wrap_socket(plain, server_hostname=name, session=session)
        except BaseException:
            plain.close()
            raise
        self._sock = self.tls

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self


def ask(port: int, raw: bytes, context: ssl.SSLContext | None = None, *, name: str | None = None, **more: Any) -> bytes:
    """One request over a new connection: the response."""
    with TlsClient(port, context, name=name, **more) as client:
        client.send(raw)
        return client.read_response()


def outcome(port: int, context: ssl.SSLContext | None = None, *, name: str | None = None, timeout: float = 5.0) -> str:
    """What a handshake comes to, as the client sees it: the certificate's common name, or why not."""
    try:
        with TlsClient(port, context, name=name, timeout=timeout) as client:
            # With TLS 1.3 the server's objection comes after the client is done.
            client.tls.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            client.tls.settimeout(timeout)
            client.tls.recv(1)
            der = client.tls.getpeercert(binary_form=True)
            assert der is not None
            found = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return str(found[0].value)
    except ssl.SSLError as error:
        return str(error.reason)
    except ConnectionError as error:
        return type(error).__name__
    except TimeoutError:
        return "timeout"


# -- servers ---------------------------------------------------------------------------------------------------------


class TlsOrigin(Origin):
    """An origin that speaks TLS; `names` are those clients asked for, `failures` why handshakes came to nothing."""

    def __init__(self, context: ssl.SSLContext, respond: Respond | None = None, **more: Any) -> None:
        self.context = context
        self.names: list[str | None] = []
        self.failures: list[str] = []
        self.resumed: list[bool] = []
        self.seen: list[bytes | None] = []
        """Certificates clients showed."""

        def note(sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            self.names.append(name)

        context.sni_callback = note
        super().__init__(respond, **more)

    def _converse(self, sock: socket.socket) -> None:
        sock.settimeout(10)
        try:
            wrapped = self.context.wrap_socket(sock, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.failures.append(str(getattr(error, "reason", None) or type(error).__name__))
            sock.close()
            return
        self.resumed.append(bool(wrapped.session_reused))
        self.seen.append(wrapped.getpeercert(binary_form=True))
        wrapped.settimeout(None)
        with self._changed:
            self._open.add(wrapped)
        try:
            super()._converse(wrapped)
            # Whoever stops the server shuts the socket down under us: ssl has no error of its own for that.
            with suppress(OSError, ValueError):
                wrapped.settimeout(1)
                wrapped.unwrap()
        finally:
            with self._changed:
                self._open.discard(wrapped)
            wrapped.close()


def parse(path: str, text: bytes) -> Certificate:
    """A certificate from PEM, as if it had been read from a file of that name."""
    return finish(path, read_parts(path, text))
