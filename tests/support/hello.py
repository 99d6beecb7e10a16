"""TLS hellos: made by OpenSSL, and made by hand."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Sequence


def client_hello(
    name: str | None = "www.example.com",
    *,
    alpn: Sequence[str] = (),
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str = "",
    tickets: bool = True,
    curve: str = "",
) -> bytes:
    """What Python's ssl sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if ciphers:
        context.set_ciphers(ciphers)
    if curve:
        context.set_ecdh_curve(curve)
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name).do_handshake()
    return sent.read()


def sized(data: bytes, size: int = 2) -> bytes:
    """Data behind their length."""
    return len(data).to_bytes(size, "big") + data


def extension(number: int, data: bytes = b"") -> bytes:
    """One extension."""
    return number.to_bytes(2, "big") + sized(data)


def server_name(*names: bytes, kind: int = 0) -> bytes:
    """The extension with names."""
    return extension(0, sized(b"".join(bytes([kind]) + sized(name) for name in names)))


def body(
    extensions: bytes | None = b"",
    *,
    version: int = 0x0303,
    session: bytes = b"",
    ciphers: bytes = b"\x13\x01\x13\x02",
    compressions: bytes = b"\0",
) -> bytes:
    """The body of a ClientHello; without any extensions if None."""
    start = version.to_bytes(2, "big") + b"R" * 32 + sized(session, 1) + sized(ciphers) + sized(compressions, 1)
    return start if extensions is None else start + sized(extensions)


def message(data: bytes, kind: int = 1) -> bytes:
    """A handshake message."""
    return bytes([kind]) + sized(data, 3)


def record(data: bytes, *, version: int = 0x0301, kind: int = 22) -> bytes:
    """One record."""
    return bytes([kind]) + version.to_bytes(2, "big") + sized(data)


def hello(extensions: bytes | None = b"", *, session: bytes = b"", version: int = 0x0303) -> bytes:
    """A ClientHello in one record."""
    return record(message(body(extensions, session=session, version=version)))


def server_hello(session: bytes) -> bytes:
    """A ServerHello in one record."""
    return record(message(b"\3\3" + b"S" * 32 + sized(session, 1) + b"\xc0\x2f\0\0\0", 2), version=0x0303)


def hello_of_2(version: int = 0x0301, *, ciphers: bytes = b"\0\0\1\0\2\3", challenge: bytes = b"C" * 16) -> bytes:
    """A hello in the form of SSLv2."""
    lengths = b"".join(len(part).to_bytes(2, "big") for part in (ciphers, b"", challenge))
    data = b"\1" + version.to_bytes(2, "big") + lengths + ciphers + challenge
    return (0x8000 | len(data)).to_bytes(2, "big") + data
