"""Names to socket addresses, which asks the system's resolver, at load only; and the system's addresses to ours."""

from __future__ import annotations

import socket
from dataclasses import replace

from trilb.base import ip
from trilb.base.address import Address, Family, is_service
from trilb.base.diagnostic import Refused
from trilb.base.ip import Packed, is_literal

Sockaddr = tuple[str, int] | tuple[str, int, int, int] | str


def resolve(address: Address) -> tuple[int, Sockaddr]:
    """The socket family and address to connect to. Raises Refused for a name nobody knows."""
    if address.family is Family.UNIX:
        return socket.AF_UNIX, address.host
    if address.family is Family.ABSTRACT:
        return socket.AF_UNIX, address.path
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


def initial(
    address: Address, methods: str, *, resolved_later: bool = False, last: str = ""
) -> tuple[int, Sockaddr | None]:
    """A server's first address by the methods of `init-addr`, in their order; None to begin without one.

    `last` is the address that a file of states has. A name of SRV records is looked up later, if it is looked up at
    all. Raises Refused when no method is left.
    (configuration.txt, `init-addr`.)
    """
    if address.family is not Family.NAME:
        return resolve(address)
    service = is_service(address)
    if not methods:
        # Names that are looked up at run time as well need not be known yet (observed).
        methods = ("last,none" if service else "last,libc,none") if resolved_later else "last,libc"
    reason = f"no method found to resolve address '{address.host}'"
    for method in methods.split(","):
        if method == "last" and last:
            family = Family.IPV6 if ":" in last else Family.IPV4
            return resolve(replace(address, family=family, host=last))
        if method == "none":
            return socket.AF_INET, None
        if is_literal(method):
            family = Family.IPV6 if ":" in method else Family.IPV4
            return resolve(replace(address, family=family, host=method))
        if method == "libc" and not service:
            try:
                return resolve(address)
            except Refused as refused:
                reason = refused.text
    raise Refused(reason)


def ipv4(name: str) -> bytes:
    """The packed IPv4 address of a host name. Raises Refused for a name nobody knows."""
    _, sockaddr = resolve(Address(Family.IPV4, name, 0))
    return socket.inet_aton(sockaddr[0])


def literal(host: str) -> str:
    """A host as an address in its usual spelling. Raises Refused for a name nobody knows."""
    return str(resolve(Address(Family.ANY, host, 0))[1][0])


def packed(host: str) -> Packed:
    """Pack an address that the system wrote, a mapped one as IPv4: some 20 times as fast as `ip.packed`."""
    if ":" not in host:
        return socket.inet_aton(host)
    return ip.unmapped(socket.inet_pton(socket.AF_INET6, host.partition("%")[0]))
