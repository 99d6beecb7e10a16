"""The first message of a TLS client, as bytes to values (RFC 8446, section 4.1.2; RFC 5246, E.2). No I/O in here.

What a connection begins with is judged as soon as it can be: one byte may be enough to know that it is no TLS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

CLIENT_HELLO, SERVER_HELLO = 1, 2
SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURE_ALGORITHMS, ALPN = 0, 10, 11, 13, 16
SESSION_TICKET, SUPPORTED_VERSIONS, KEY_SHARE = 35, 43, 51
"""Numbers of messages and of extensions."""

_HANDSHAKE = 22
_TLS10 = 0x0301
_RECORD_MOST = 1 << 14
_MESSAGE_MOST = 1 << 17
"""Arbitrary, what OpenSSL takes at most: who says more is waited for in vain."""
_RECORDS_MOST = 64
"""Arbitrary: more pieces than this only cost time."""


class NotTls(Exception):
    """No handshake of TLS, or a broken one."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client offers. Versions are numbers such as 0x0303; lists are as they came, without their lengths.

    `extensions` has them in their order, the first of each number; `sound` says whether they could be read to
    their end.
    """

    record_version: int
    version: int
    random: bytes
    session_id: bytes
    ciphers: bytes
    compressions: bytes
    extensions: Mapping[int, bytes]
    sound: bool

    @property
    def sni(self) -> bytes | None:
        """The name of the server the client wants."""
        names = _list(self.extensions.get(SERVER_NAME))
        if names is None or names[:1] != b"\0":
            return None
        return _list(names[1:]) or None

    @property
    def alpn(self) -> bytes | None:
        """The protocols the client speaks, each behind its length."""
        return self.extensions.get(ALPN, b"")[2:] or None

    @property
    def protocols(self) -> list[bytes]:
        """The same one by one, the client's favourite first, up to one that is cut short."""
        data, found, at = self.alpn or b"", [], 0
        while at < len(data) and at + 1 + data[at] <= len(data):
            found.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        return found

    @property
    def groups(self) -> bytes | None:
        """Groups for the key exchange, two bytes each."""
        return _list(self.extensions.get(GROUPS))

    @property
    def point_formats(self) -> bytes | None:
        """Formats of points on curves, one byte each."""
        return _list(self.extensions.get(POINT_FORMATS), 1)

    @property
    def signature_algorithms(self) -> bytes | None:
        """Two bytes each."""
        return _list(self.extensions.get(SIGNATURE_ALGORITHMS))

    @property
    def supported_versions(self) -> bytes | None:
        """Two bytes each; TLS 1.3 is only said here."""
        return _list(self.extensions.get(SUPPORTED_VERSIONS), 1)

    @property
    def key_share_groups(self) -> bytes | None:
        """The groups whose share the client sent, two bytes each."""
        shares = _list(self.extensions.get(KEY_SHARE))
        if shares is None:
            return None
        groups = bytearray()
        at = 0
        while at + 4 <= len(shares):
            groups += shares[at : at + 2]
            at += 4 + int.from_bytes(shares[at + 2 : at + 4], "big")
        return bytes(groups)

    @property
    def ticket(self) -> bytes | None:
        """The session ticket; empty when the client only asks for one."""
        return self.extensions.get(SESSION_TICKET)


def _list(data: bytes | None, size: int = 2) -> bytes | None:
    """What follows a length of `size` bytes; None when there is nothing or not so much."""
    if not data:
        return None
    end = size + int.from_bytes(data[:size], "big")
    return data[size:end] if len(data) >= end else None


def handshake(data: bytes) -> tuple[int, bytes] | None:
    """Number and body of the first handshake message, or None while more is needed. Raises NotTls.

    Records may cut the message anywhere.
    """
    message = b""
    at = 0
    for _ in range(_RECORDS_MOST):
        header = data[at : at + 5]
        if header and (header[0] != _HANDSHAKE or (len(header) > 1 and header[1] < 3)):
            raise NotTls("no record of a handshake")
        if len(header) < 5:
            return None
        end = at + 5 + int.from_bytes(header[3:], "big")
        if not at + 5 < end <= at + 5 + _RECORD_MOST:
            raise NotTls("a record of impossible size")
        message += data[at + 5 : end]
        if len(message) >= 4:
            size = 4 + int.from_bytes(message[1:4], "big")
            if size > _MESSAGE_MOST:
                raise NotTls("a message of impossible size")
            if len(message) >= size:
                return message[0], message[4:size]
        if len(data) < end:
            return None
        at = end
    raise NotTls("a message in too many records")


def version(data: bytes) -> int | None:
    """The version a client's hello says (0x0303 also with TLS 1.3), or None while more is needed. Raises NotTls.

    A hello of SSLv2 has one too.
    """
    if data[:1] >= b"\x80":
        return _version_of_2(data)
    found = handshake(data)
    if found is None:
        return None
    kind, body = found
    if kind != CLIENT_HELLO or len(body) < 2:
        raise NotTls("no ClientHello")
    return int.from_bytes(body[:2], "big")


def _version_of_2(data: bytes) -> int | None:
    """The same of SSLv2: header, 1, version, three lengths, then ciphers, session and challenge."""
    if data[2:3] not in (b"", b"\1"):
        raise NotTls("no hello of SSLv2")
    if len(data) < 11:
        return None
    ciphers, session, challenge = (int.from_bytes(data[at : at + 2], "big") for at in (5, 7, 9))
    size = 9 + ciphers + session + challenge
    if ciphers % 3 or not 16 <= challenge <= 32 or int.from_bytes(data[:2], "big") != 0x8000 | size:
        raise NotTls("a broken hello of SSLv2")
    return int.from_bytes(data[3:5], "big") if len(data) >= 2 + size else None


# Many rules in a row look at the same bytes.
@lru_cache(maxsize=4)
def parse(data: bytes) -> Hello | None:
    """The ClientHello data begin with, or None while more is needed. Raises NotTls.

    Extensions are read as far as they go; everything before them must be right.
    """
    found = handshake(data)
    if found is None:
        return None
    kind, body = found
    if kind != CLIENT_HELLO:
        raise NotTls("no ClientHello")
    session_at = 34
    session, ciphers_at = _counted(body, session_at, 1)
    ciphers, compressions_at = _counted(body, ciphers_at, 2)
    compressions, at = _counted(body, compressions_at, 1)
    if len(session) > 32 or not ciphers or not compressions:
        raise NotTls("a broken ClientHello")
    number = int.from_bytes(body[:2], "big")
    extensions: dict[int, bytes] = {}
    sound = False
    # SSLv3 has none: whatever follows there is something else.
    if number >= _TLS10 and len(body) >= at + 2:
        sound = _extend(extensions, _list(body[at:]))
    return Hello(
        int.from_bytes(data[1:3], "big"), number, body[2:34], session, ciphers, compressions, extensions, sound
    )


def _counted(body: bytes, at: int, size: int) -> tuple[bytes, int]:
    """The bytes behind their length at `at`, and where they end."""
    begin = at + size
    end = begin + int.from_bytes(body[at:begin], "big")
    if len(body) < end or len(body) < begin:
        raise NotTls("a broken ClientHello")
    return body[begin:end], end


def _extend(extensions: dict[int, bytes], data: bytes | None) -> bool:
    """Fill in what data holds; whether all could be read (a rest too short to be one is ignored)."""
    if data is None:
        return False
    at = 0
    while at + 4 <= len(data):
        end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data):
            return False
        extensions.setdefault(int.from_bytes(data[at : at + 2], "big"), data[at + 4 : end])
        at = end
    return True
