"""Names to socket addresses: asks the system's resolver, at load only."""

from __future__ import annotations

import socket

from trilb.base.address import Address, Family
from trilb.base.diagnostic import Refused

Sockaddr = tuple[str, int] | tuple[str, int, int, int] | str


def resolve(address: Address) -> tuple[int, Sockaddr]:
    """The socket family and address to connect to. Raises Refused for a name nobody knows."""
    if address.family is Family.UNIX:
        return socket.AF_UNIX, address.host
    if address.family is Family.ABSTRACT:
        return socket.AF_UNIX, "\0" + address.host
    port = 0 if address.offset else address.port
    wanted = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}.get(address.family, socket.AF_UNSPEC)
    host = address.host or "127.0.0.1"
    try:
        found = socket.getaddrinfo(host, port, wanted, socket.SOCK_STREAM)
    except OSError:
        raise Refused(f"could not resolve address '{address.host}'") from None
    found.sort(key=lambda item: item[0] != socket.AF_INET)
    family, _, _, _, sockaddr = found[0]
    return family, (str(sockaddr[0]), int(sockaddr[1]))


def ipv4(name: str) -> bytes:
    """The packed IPv4 address of a host name. Raises Refused for a name nobody knows."""
    _, sockaddr = resolve(Address(Family.IPV4, name, 0))
    return socket.inet_aton(sockaddr[0])
