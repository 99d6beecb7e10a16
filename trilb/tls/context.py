"""From what a line says to an OpenSSL context. Cold: done at load and when a certificate is changed.

Defaults are today's: TLS 1.2 and above and, unless ciphers are named, only those with
authenticated encryption, forward secrecy first; a file that wants older ones says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL, crypto

from trilb.base.diagnostic import Refused
from trilb.config.lines import Tls
from trilb.tls.certificates import Certificate

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-GCM-SHA384"
)
_OLD_CIPHERS = (
    CIPHERS + ":ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"
    "AES128-SHA:AES256-SHA"
)
"""For files that ask for TLS 1.0 or 1.1, which know none of the others, and name no ciphers."""
_NUMBERS = {
    "SSLv3": SSL.SSL3_VERSION,
    "TLSv1.0": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}
_REFUSE = {
    "SSLv3": SSL.OP_NO_SSLv3,
    "TLSv1.0": SSL.OP_NO_TLSv1,
    "TLSv1.1": SSL.OP_NO_TLSv1_1,
    "TLSv1.2": SSL.OP_NO_TLSv1_2,
    "TLSv1.3": SSL.OP_NO_TLSv1_3,
}
_EMPTY = Tls()
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_SINGLE_DH_USE
EVERY_ERROR = -1
_lib, _ffi = vars(SSL)["_lib"], vars(SSL)["_ffi"]
"""The bindings under pyOpenSSL, for the few functions that it has no method for."""


def over(line: Tls, defaults: Tls) -> Tls:
    """A line's settings, with the defaults where it says nothing."""
    said = {f.name: getattr(line, f.name) for f in fields(Tls) if getattr(line, f.name) != getattr(_EMPTY, f.name)}
    if "min_version" in said and "max_version" not in said:
        said["max_version"] = ""
    said["refused"] = defaults.refused | line.refused
    return replace(defaults, **said)


class Verdict:
    """What checking the peer's certificate gave in this handshake, as `ssl_c_err` and `ssl_c_ca_err` tell it."""

    __slots__ = ("ca_depth", "ca_error", "certificate", "error", "refused")

    def __init__(self) -> None:
        self.error = 0
        self.ca_error = 0
        self.ca_depth = 0
        self.refused = -1
        """The depth of the certificate that ended the handshake, -1 when none did."""
        self.certificate: x509.Certificate | None = None
        """The peer's own, where the handshake ended for its sake: OpenSSL does not keep it."""


def _base(method: int, tls: Tls, ciphers: str) -> SSL.Context:
    context = SSL.Context(method)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # OpenSSL is built without SSL 3.0 nowadays and refuses its number; then TLS 1.0 is the lowest.
    context.set_min_proto_version(max(_NUMBERS[tls.min_version or "TLSv1.2"], SSL.TLS1_VERSION))
    if tls.max_version == "SSLv3":
        raise Refused("'ssl-max-ver SSLv3' : OpenSSL has no SSL 3.0 any more")
    if tls.max_version:
        context.set_max_proto_version(_NUMBERS[tls.max_version])
    for name in tls.refused:
        context.set_options(_REFUSE[name])
    old = _NUMBERS[tls.min_version or "TLSv1.2"] < SSL.TLS1_2_VERSION
    if old:
        ciphers = _OLD_CIPHERS if ciphers else "DEFAULT"
    wanted = tls.ciphers or ciphers
    if wanted:
        # OpenSSL speaks TLS 1.0 and 1.1 at security level 0 only; a file that asks for them means it.
        _try("ciphers", wanted, lambda: context.set_cipher_list((wanted + (":@SECLEVEL=0" if old else "")).encode()))
    if tls.ciphersuites:
        _try("ciphersuites", tls.ciphersuites, lambda: context.set_tls13_ciphersuites(tls.ciphersuites.encode()))
    if tls.curves:
        _set_list(context, "SSL_CTX_set1_curves_list", "curves", tls.curves)
    if tls.sigalgs:
        _set_list(context, "SSL_CTX_set1_sigalgs_list", "sigalgs", tls.sigalgs)
    return context


def _try(option: str, value: str, do: Callable[[], object]) -> None:
    try:
        do()
    except SSL.Error:
        raise Refused(f"'{option}' : OpenSSL knows nothing usable in '{value}'") from None


def _set_list(context: SSL.Context, function: str, option: str, value: str) -> None:
    """Give OpenSSL a list of names."""
    if getattr(_lib, function)(context._context, value.encode("latin-1")) != 1:
        _lib.ERR_clear_error()
        raise Refused(f"'{option}' : OpenSSL knows nothing usable in '{value}'")


def _identities(context: SSL.Context, certificates: Sequence[Certificate]) -> None:
    # Chains belong to their certificate only when OpenSSL reads them from a file; a file in memory will do. In a chroot
    # it has no name: there the chains belong to the context, and each is sent with every certificate.
    files = os.path.isdir("/proc/self/fd")
    sent: list[x509.Certificate] = []
    for certificate in certificates:
        try:
            if files:
                _from_file(context, certificate)
            else:
                context.use_certificate(certificate.leaf)
                for each in certificate.chain:
                    if each not in sent:
                        context.add_extra_chain_cert(each)
                        sent.append(each)
            key = load_pem_private_key(certificate.key, None)
            context.use_privatekey(key)  # type: ignore[arg-type]
        except SSL.Error as error:
            reason = error.args[0][0][2] if error.args and error.args[0] else "unknown reason"
            raise Refused(f"OpenSSL does not take the certificate '{certificate.path}': {reason}") from None


def _from_file(context: SSL.Context, certificate: Certificate) -> None:
    number = os.memfd_create("certificate")
    try:
        os.write(number, certificate.pem())
        context.use_certificate_chain_file(f"/proc/self/fd/{number}")
    finally:
        os.close(number)


def _trust(
    context: SSL.Context,
    trusted: Sequence[x509.Certificate] | None,
    revoked: Sequence[x509.CertificateRevocationList],
) -> None:
    """Whom to believe; None for those the system believes."""
    if trusted is None:
        context.set_default_verify_paths()
        return
    store = context.get_cert_store()
    assert store is not None
    for each in trusted:
        store.add_cert(crypto.X509.from_cryptography(each))
    for crl in revoked:
        store.add_crl(crl)
    if revoked:
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL)


def server_side(
    tls: Tls,
    certificates: Sequence[Certificate],
    trusted: Sequence[x509.Certificate] | None,
    revoked: Sequence[x509.CertificateRevocationList],
    *,
    more: Sequence[x509.Certificate] = (),
    lifetime: int = 300,
    cache: bool = True,
    dh: str = "",
) -> SSL.Context:
    """A context for who accepts; several certificates must differ in the kind of their keys. Raises Refused.

    Authorities in `more` are believed as well, but not named to clients (`ca-verify-file`).
    """
    context = _base(SSL.TLS_SERVER_METHOD, tls, CIPHERS)
    if not tls.client_ciphers:
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    _identities(context, certificates)
    context.set_session_id(b"trilb")
    context.set_timeout(lifetime)
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER if cache else SSL.SESS_CACHE_OFF)
    if tls.tickets is False:
        context.set_options(SSL.OP_NO_TICKET)
    if dh:
        _try("ssl-dh-param-file", dh, lambda: context.load_tmp_dh(dh.encode()))
    if tls.alpn:
        context.set_alpn_select_callback(_alpn(tls.alpn))
    stapled = {each.leaf.public_bytes(Encoding.DER): each.ocsp for each in certificates if each.ocsp}
    if stapled:
        context.set_ocsp_server_callback(_stapler(stapled))
    if tls.verify in ("optional", "required"):
        _trust(context, None if trusted is None else [*trusted, *more], revoked)
        for each in (trusted or ()) if tls.ca_names else ():
            context.add_client_ca(each)
        mode = SSL.VERIFY_PEER
        if tls.verify == "required":
            mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        _check(context, mode, tls.crt_ignore, tls.ca_ignore)
    return context


def client_side(
    tls: Tls,
    certificate: Certificate | None,
    trusted: Sequence[x509.Certificate] | None,
    revoked: Sequence[x509.CertificateRevocationList],
) -> SSL.Context:
    """A context for who connects. Raises Refused."""
    context = _base(SSL.TLS_CLIENT_METHOD, tls, "")
    if certificate is not None:
        _identities(context, (certificate,))
    if tls.tickets is False:
        context.set_options(SSL.OP_NO_TICKET)
    if tls.alpn:
        context.set_alpn_protos(list(tls.alpn))
    if tls.verify != "none":
        _trust(context, trusted, revoked)
        _check(context, SSL.VERIFY_PEER, frozenset(), frozenset())
    return context


def _stapler(responses: dict[bytes, bytes]) -> Callable[[SSL.Connection, Any], bytes]:
    """Who answers a client that asks what an authority says of our certificate, by the certificate in DER."""

    def answer(connection: SSL.Connection, data: Any) -> bytes:
        own = connection.get_certificate(as_cryptography=True)
        return responses.get(own.public_bytes(Encoding.DER), b"") if own is not None else b""

    return answer


def _alpn(offered: tuple[bytes, ...]) -> Callable[[SSL.Connection, list[bytes]], bytes | SSL._NoOverlappingProtocols]:
    def choose(connection: SSL.Connection, wanted: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
        for name in offered:
            if name in wanted:
                return name
        return SSL.NO_OVERLAPPING_PROTOCOLS

    return choose


def _check(context: SSL.Context, mode: int, leaf: frozenset[int], authority: frozenset[int]) -> None:
    """Decide about each certificate of a chain: errors that are to be ignored are only noted.

    Not with Context.set_verify, which makes OpenSSL forget what a callback lets pass: the session must remember it, for
    when it is taken up again there is no chain to check.
    """

    def verify(good: int, store: Any) -> int:
        if good:
            return 1
        number, depth = _lib.X509_STORE_CTX_get_error(store), _lib.X509_STORE_CTX_get_error_depth(store)
        tls = _lib.X509_STORE_CTX_get_ex_data(store, _lib.SSL_get_ex_data_X509_STORE_CTX_idx())
        connection = SSL.Connection._reverse_mapping[tls]
        verdict = connection.get_app_data()
        if verdict is None:
            verdict = Verdict()
            connection.set_app_data(verdict)
        if depth:
            if not verdict.ca_error:
                verdict.ca_error, verdict.ca_depth = number, depth
            ignored = authority
        else:
            verdict.error = verdict.error or number
            ignored = leaf
        if number in ignored or EVERY_ERROR in ignored:
            return 1
        verdict.refused = depth
        own = _lib.X509_STORE_CTX_get0_cert(store)
        if own != _ffi.NULL:
            _lib.X509_up_ref(own)
            verdict.certificate = crypto.X509._from_raw_x509_ptr(own).to_cryptography()
        return 0

    callback = _ffi.callback("int (*)(int, X509_STORE_CTX *)", verify)
    context._verify_callback = callback
    _lib.SSL_CTX_set_verify(context._context, mode, callback)
