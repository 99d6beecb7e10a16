"""The PROXY protocol, versions 1 and 2, as bytes to values (proxy-protocol.txt). No I/O in here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trilb.base import ip
from trilb.base.hashes import crc32c
from trilb.base.ip import Packed

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1_MOST = 107
_V1 = re.compile(rb"PROXY (?:TCP[46] ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) ([0-9]{1,5}) ([0-9]{1,5})|UNKNOWN[^\r\n]*)\r\n")


class Malformed(Exception):
    """No PROXY header, or a broken one: the connection cannot be trusted and is closed."""


class Invalid(Malformed):
    """A header of version 2 whose contents are broken."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """What a PROXY header says; `client` is None when it speaks for nobody (LOCAL, UNKNOWN, unix)."""

    client: Packed | None = None
    client_port: int = 0
    local: Packed = b""
    local_port: int = 0
    tlvs: tuple[tuple[int, bytes], ...] = ()


def parse(data: bytes) -> tuple[Proxied, int] | None:
    """A header at the beginning of data with its length, or None while more is needed. Raises Malformed."""
    if data[:1] == b"P":
        return _version1(data)
    if not SIGNATURE.startswith(data[:12]):
        raise Malformed("neither version 1 nor 2")
    return _version2(data) if len(data) >= 16 else None


def _version1(data: bytes) -> tuple[Proxied, int] | None:
    if not b"PROXY ".startswith(data[:6]):
        raise Malformed("no version 1 header")
    end = data.find(b"\n", 0, _V1_MOST)
    if end < 0:
        if len(data) >= _V1_MOST:
            raise Malformed("a version 1 header of more than 107 bytes")
        return None
    match = _V1.fullmatch(data, 0, end + 1)
    if match is None:
        raise Malformed("a malformed version 1 header")
    if match[1] is None:
        return Proxied(), end + 1
    try:
        client, local = ip.packed(match[1].decode()), ip.packed(match[2].decode())
    except ValueError:
        raise Malformed("a malformed address") from None
    ports = int(match[3]), int(match[4])
    if len(client) != len(local) or len(client) != (4 if data[9:10] == b"4" else 16) or max(ports) > 65535:
        raise Malformed("addresses that do not fit the family")
    return Proxied(client, ports[0], local, ports[1]), end + 1


_FAMILIES = {0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16}


def _version2(data: bytes) -> tuple[Proxied, int] | None:
    version, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    end = 16 + length
    if version >> 4 != 2:
        raise Malformed("an unknown version")
    if version & 15 > 1:
        raise Invalid("an unknown command")
    if len(data) < end:
        return None
    size = _FAMILIES.get(family)
    skip = 0
    found = Proxied()
    if size is not None:
        skip = 2 * size + 4
        if length < skip:
            raise Invalid("a version 2 header too short for its addresses")
        at = 16
        client, local = data[at : at + size], data[at + size : at + 2 * size]
        ports = data[at + 2 * size : at + skip]
        found = Proxied(
            ip.unmapped(client), int.from_bytes(ports[:2], "big"), ip.unmapped(local), int.from_bytes(ports[2:], "big")
        )
    elif family in (0x31, 0x32):
        skip = 216
        if length < skip:
            raise Invalid("a version 2 header too short for its addresses")
    if version & 15 == 0:
        # LOCAL: the proxy speaks for itself, a health check for instance; what else it says is skipped.
        return Proxied(), end
    tlvs = _tlvs(data[16 + skip : end])
    return Proxied(found.client, found.client_port, found.local, found.local_port, tlvs), end


_LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
CRC32C = 3
_MOST = 0xFFFF


_NOWHERE = b"\0\0\0\0"


def _known(client: Packed, client_port: int, local: Packed, local_port: int) -> bool:
    """Do both ends have addresses? Those of a unix socket are empty."""
    return bool((client_port or client != _NOWHERE) and (local_port or local != _NOWHERE))


def version1(client: Packed, client_port: int, local: Packed, local_port: int) -> bytes:
    """A header of version 1; addresses of different families are both written as IPv6 (section 2.1)."""
    if not _known(client, client_port, local, local_port):
        return b"PROXY UNKNOWN\r\n"
    if len(client) != len(local):
        client, local = ip.mapped(client), ip.mapped(local)
    family = b"4" if len(client) == 4 else b"6"
    return b"PROXY TCP%b %b %b %d %d\r\n" % (
        family,
        ip.text(client).encode(),
        ip.text(local).encode(),
        client_port,
        local_port,
    )


def tlv(kind: int, value: bytes) -> bytes:
    """A type, a length of two bytes and a value."""
    return bytes((kind, len(value) >> 8 & 255, len(value) & 255)) + value[:_MOST]


def version2(
    client: Packed, client_port: int, local: Packed, local_port: int, tlvs: bytes = b"", *, checked: bool = False
) -> bytes:
    """A header of version 2 for TCP; `checked` puts a CRC32c in front of `tlvs` (section 2.2)."""
    if len(client) != len(local):
        client, local = ip.mapped(client), ip.mapped(local)
    command, family = 0x21, 0x11 if len(client) == 4 else 0x21
    addresses = client + local + client_port.to_bytes(2, "big") + local_port.to_bytes(2, "big")
    if not _known(client, client_port, local, local_port):
        command, family, addresses = 0x20, 0, b""
    if checked:
        tlvs = tlv(CRC32C, bytes(4)) + tlvs
    head = SIGNATURE + bytes((command, family)) + (len(addresses) + len(tlvs)).to_bytes(2, "big") + addresses
    whole = head + tlvs
    if checked:
        at = len(head) + 3
        whole = whole[:at] + crc32c(whole).to_bytes(4, "big") + whole[at + 4 :]
    return whole


def local(version: str) -> bytes:
    """A header that speaks for nobody: a health check's."""
    return _LOCAL if version == "v2" else b"PROXY UNKNOWN\r\n"


def sound(data: bytes, found: Proxied) -> bool:
    """Is the CRC32c of a version 2 header right, where it has one? `data` is the header alone."""
    value = next((value for kind, value in found.tlvs if kind == CRC32C), None)
    if value is None:
        return True
    # Walk to it: the same bytes might stand elsewhere.
    size = _FAMILIES.get(data[13])
    at = 16 + (216 if data[13] in (0x31, 0x32) else 0 if size is None else 2 * size + 4)
    while data[at] != CRC32C:
        at += 3 + int.from_bytes(data[at + 1 : at + 3], "big")
    cleared = data[: at + 3] + bytes(4) + data[at + 7 :]
    return len(value) == 4 and crc32c(cleared) == int.from_bytes(value, "big")


def _tlvs(data: bytes) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if len(data) - at < 3:
            raise Invalid("a broken TLV")
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        if at + 3 + size > len(data):
            raise Invalid("a TLV longer than its header")
        found.append((data[at], data[at + 3 : at + 3 + size]))
        at += 3 + size
    return tuple(found)
