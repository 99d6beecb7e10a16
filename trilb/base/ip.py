"""IP addresses as packed bytes: 4 for IPv4, 16 for IPv6. Text only at the edges."""

from __future__ import annotations

import ipaddress

from trilb.base.diagnostic import Refused

Packed = bytes
_MAPPED = bytes(10) + b"\xff\xff"


def packed(text: str) -> Packed:
    """Pack an address literal; an IPv6 scope is dropped. Raises ValueError."""
    return ipaddress.ip_address(text.partition("%")[0]).packed


def is_literal(text: str) -> bool:
    """Is it an address rather than a name?"""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def unmapped(address: Packed) -> Packed:
    """`::ffff:a.b.c.d` as its four bytes; any other address unchanged."""
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address


def mapped(address: Packed) -> Packed:
    """Any address as sixteen bytes, an IPv4 one as `::ffff:a.b.c.d`."""
    return address if len(address) == 16 else _MAPPED + address


def text(address: Packed) -> str:
    """The usual spelling of a packed address."""
    if len(address) == 16 and (address.startswith(_MAPPED) or (not any(address[:12]) and any(address[12:14]))):
        # As inet_ntop writes them, and HAProxy with it.
        return f"::{'ffff:' if address[10] else ''}{ipaddress.ip_address(address[12:])}"
    return str(ipaddress.ip_address(address))


class Network:
    """An address with its mask, `10.0.0.0/8`, `::1` or `10.0.0.0/255.0.0.0`. Host bits are ignored."""

    __slots__ = ("mask", "size", "value")

    def __init__(self, spelling: str) -> None:
        """Read the network. Raises Refused."""
        try:
            net = ipaddress.ip_network(spelling, strict=False)
        except ValueError:
            raise Refused(f"'{spelling}' is not an IP address or network") from None
        self.size = net.max_prefixlen // 8
        self.mask = int(net.netmask)
        self.value = int(net.network_address)

    def __contains__(self, address: Packed) -> bool:
        return len(address) == self.size and int.from_bytes(address, "big") & self.mask == self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and (self.size, self.mask, self.value) == (
            other.size,
            other.mask,
            other.value,
        )

    def __hash__(self) -> int:
        return hash((self.size, self.mask, self.value))
