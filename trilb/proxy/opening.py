"""The PROXY headers that connections to servers begin with (proxy-protocol.txt; configuration.txt, `send-proxy`)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.live.session import Secured
from trilb.live.stream import Stream
from trilb.net import proxyline
from trilb.tls import facts

AUTHORITY, UNIQUE_ID, SSL = 0x02, 0x05, 0x20
_VERSION, _CN, _CIPHER, _SIGNATURE, _KEY = 0x21, 0x22, 0x23, 0x24, 0x25
_CLIENT_SSL, _CLIENT_CERT_CONN, _CLIENT_CERT_SESS = 1, 2, 4

Header = Callable[[Stream], bytes]


def header(version: str, options: frozenset[str], tlvs: tuple[tuple[int, Callable[[Stream], bytes]], ...]) -> Header:
    """What writes the header of a stream's connection: `version` v1 or v2, `options` as proxy-v2-options has them."""
    if version == "v1":
        return lambda s: proxyline.version1(s.client, s.client_port, s.local, s.local_port)
    checked = "crc32c" in options
    authority, unique = "authority" in options, "unique-id" in options
    secured = bool(options & {"ssl", "cert-cn", "ssl-cipher", "cert-sig", "cert-key"})

    def write(stream: Stream) -> bytes:
        parts = [proxyline.tlv(kind, value(stream)) for kind, value in tlvs]
        tls = stream.session.tls
        if authority:
            # What the proxy in front of us said goes before what we heard ourselves.
            name = _authority(stream) or (tls.sni if tls is not None else None)
            if name:
                parts.append(proxyline.tlv(AUTHORITY, name))
        if unique:
            make = stream.frontend.plan.unique_id
            if make is not None:
                parts.append(proxyline.tlv(UNIQUE_ID, make(stream)))
        if secured:
            parts.append(proxyline.tlv(SSL, _secured(tls, options)))
        return proxyline.version2(
            stream.client, stream.client_port, stream.local, stream.local_port, b"".join(parts), checked=checked
        )

    return write


def _authority(stream: Stream) -> bytes | None:
    return next((value for kind, value in stream.session.proxy_tlvs if kind == AUTHORITY), None)


def _secured(tls: Secured | None, options: frozenset[str]) -> bytes:
    """The TLV about TLS: what the client did, what verifying it gave, then parts of their own."""
    client, verified, parts = 0, 0, b""
    if tls is not None:
        client = _CLIENT_SSL
        parts = proxyline.tlv(_VERSION, facts.version(tls))
        certificate = facts.peer(tls)
        if certificate is not None:
            client |= _CLIENT_CERT_SESS if tls.resumed else _CLIENT_CERT_SESS | _CLIENT_CERT_CONN
            verified = tls.verified
            name = facts.entry(certificate.subject, "CN", 1) if "cert-cn" in options else None
            if name:
                parts += proxyline.tlv(_CN, name)
        own = facts.own(tls)
        if own is not None and "cert-key" in options:
            parts += proxyline.tlv(_KEY, facts.key_words(own))
        if own is not None and "cert-sig" in options:
            parts += proxyline.tlv(_SIGNATURE, facts.signature_algorithm(own))
        if "ssl-cipher" in options:
            parts += proxyline.tlv(_CIPHER, facts.cipher(tls))
    return bytes((client,)) + verified.to_bytes(4, "big") + parts
