"""Addresses as the configuration writes them (configuration.txt, sections 4.2 `bind` and 11).

Parsing only; names are resolved where I/O is allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum

from trilb.base.diagnostic import Refused
from trilb.base.ip import packed
from trilb.base.units import saturated


class Family(Enum):
    """What kind of socket an address asks for."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    NAME = "name"
    UNIX = "unix"
    ABSTRACT = "abns"
    FD = "fd"


@dataclass(frozen=True, slots=True)
class Address:
    """One address. `port` 0 means none; `offset` says the port is added to the connection's own (`:+80`)."""

    family: Family
    host: str
    port: int = 0
    offset: bool = False
    datagram: bool = False
    filled: bool = False
    """An abstract name that is filled up with zeros to the full length (`abns@`; `abnsz@` is as long as it is)."""

    @property
    def path(self) -> str:
        """What a UNIX socket is bound to."""
        if self.family is Family.ABSTRACT:
            return "\0" + (self.host.ljust(_LONGEST_NAME, "\0") if self.filled else self.host)
        return self.host

    def __str__(self) -> str:
        if self.family in (Family.UNIX, Family.ABSTRACT):
            return self.host if self.family is Family.UNIX else f"abns{'' if self.filled else 'z'}@{self.host}"
        if self.family is Family.FD:
            return f"fd@{self.host}"
        host = f"[{self.host}]" if self.family is Family.IPV6 and self.port else self.host
        return f"{host}:{self.port}" if self.port else host


_PREFIX = re.compile(r"(?:(stream|dgram)\+)?(?:(ip|ipv4|ipv6|unix|abnsz?|fd|tcp|tcp4|tcp6|udp|udp4|udp6|uxst|uxdg)@)?")
_LONGEST_PATH = 97
"""The system allows 107; a socket is bound beside its name first, as HAProxy does."""
_LONGEST_NAME = 107
"""Of an abstract socket: the system's 108 bytes less the zero in front."""
_PORT = re.compile(r"([+-])?(\d+)(?:-(\d+))?\Z")
_UNSERVED = ("sockpair@", "rhttp@", "quic4@", "quic6@", "quic@", "mptcp@", "mptcp4@", "mptcp6@")


def parse(text: str, *, port_required: bool = False) -> list[Address]:
    """Read one address, which may carry a port range and then stands for several. Raises Refused."""
    for prefix in _UNSERVED:
        if text.startswith(prefix):
            raise Refused(f"address family '{prefix}' is not served by trilb")
    match = _PREFIX.match(text)
    assert match is not None
    rest, prefix = text[match.end() :], match[2] or ""
    datagram = match[1] == "dgram" or prefix.startswith("udp") or prefix == "uxdg"
    if prefix in ("unix", "uxst", "uxdg") or (not prefix and rest.startswith("/")):
        if not rest:
            raise Refused("a unix socket address needs a path")
        if len(rest) > _LONGEST_PATH:
            raise Refused(f"socket path '{rest}' is longer than {_LONGEST_PATH} characters")
        return [Address(Family.UNIX, rest, datagram=datagram)]
    if prefix in ("abns", "abnsz"):
        if len(rest) > _LONGEST_NAME:
            raise Refused(f"socket name '{rest}' is longer than {_LONGEST_NAME} characters")
        return [Address(Family.ABSTRACT, rest, datagram=datagram, filled=prefix == "abns")]
    if prefix == "fd":
        if not rest.isdigit():
            raise Refused(f"'{text}': fd@ expects the number of an inherited file descriptor, not '{rest}'")
        return [Address(Family.FD, rest, datagram=datagram)]
    host, ports = _split(rest)
    family = _family(host, "ipv" + prefix[-1] if prefix[-1:] in ("4", "6") else "")
    base = Address(family, "" if host == "*" else host.strip("[]"), datagram=datagram)
    if not ports:
        if port_required:
            raise Refused(f"missing port number in '{text}'; write address:port, for instance {text}:80")
        return [base]
    found = _PORT.match(ports)
    if found is None:
        raise Refused(f"invalid port '{ports}' in '{text}'")
    low, high = saturated(found[2]), saturated(found[3] or found[2])
    if high > 65535:
        raise Refused(f"port {high} in '{text}' is above 65535")
    if low > high:
        raise Refused(f"invalid port range '{ports}' in '{text}'")
    if found[1]:
        return [replace(base, port=-low if found[1] == "-" else low, offset=True)]
    if port_required and low == 0:
        raise Refused(f"port 0 in '{text}' cannot be listened on")
    return [replace(base, port=port) for port in range(low, high + 1)]


def is_service(address: Address) -> bool:
    """Whether it is a name of SRV records (`_http._tcp.example`), which give port and weight as well."""
    return address.family is Family.NAME and address.host.startswith("_")


def _split(text: str) -> tuple[str, str]:
    """Host and port; an IPv6 address takes brackets, or its last colon separates the port, as HAProxy reads it."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket:
            raise Refused(f"missing ']' in address '{text}'")
        return host[1:], rest.removeprefix(":")
    if text.count(":") > 1:
        host, _, port = text.rpartition(":")
        return host, port
    host, _, port = text.partition(":")
    return host, port


def _family(host: str, wanted: str) -> Family:
    if host in ("", "*"):
        return {"ipv4": Family.IPV4, "ipv6": Family.IPV6}.get(wanted, Family.ANY)
    try:
        size = len(packed(host))
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", host):
            raise Refused(f"invalid address '{host}'") from None
        return Family.NAME
    made = Family.IPV4 if size == 4 else Family.IPV6
    if wanted and wanted != made.value:
        raise Refused(f"'{host}' is not an {wanted} address")
    return made
