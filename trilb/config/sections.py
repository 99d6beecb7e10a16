"""The sections beside proxies and `global`, as read: users, certificates, error files, peers, resolvers.

Plain data, compared by value. Times are seconds (float), sizes are bytes, None means "not set".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trilb.base.address import Address
from trilb.base.diagnostic import NOWHERE, Place
from trilb.config.lines import Bind


@dataclass(slots=True)
class User:
    """A user of a userlist; `password` is as written, `plain` says whether it is in clear."""

    name: str
    password: str
    plain: bool
    groups: frozenset[str] = frozenset()


@dataclass(slots=True)
class UserList:
    """A `userlist` section."""

    name: str
    place: Place
    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The files a certificate is made of; those without a name are not looked for."""

    crt: str
    key: str = ""
    ocsp: str = ""
    issuer: str = ""
    place: Place = NOWHERE


@dataclass(slots=True)
class CertificateStore:
    """A `crt-store` section."""

    name: str
    place: Place
    crt_base: str = ""
    key_base: str = ""


@dataclass(slots=True)
class ErrorSection:
    """An `http-errors` section: whole answers by status."""

    name: str
    place: Place
    pages: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Peer:
    """A peer of a `peers` section; `shard` is the only part of the tables that it gets, 0 for all of them."""

    name: str
    address: Address | None
    place: Place
    tls: PeerTls | None = None
    shard: int = 0


@dataclass(slots=True)
class PeerTls:
    """How a connection to or from a peer is secured: certificate and key, whom to trust, whether to insist."""

    crt: str = ""
    ca_file: str = ""
    crl_file: str = ""
    verify: str = ""
    verify_host: str = ""


@dataclass(slots=True)
class PeersSection:
    """A `peers` section: who shares the tables that name it, and the tables of its own."""

    name: str
    place: Place
    peers: list[Peer] = field(default_factory=list)
    binds: list[Bind] = field(default_factory=list)
    tables: set[str] = field(default_factory=set)
    shards: int = 0
    disabled: bool = False
    bind_defaults: tuple[str, ...] = ()
    server_defaults: tuple[str, ...] = ()
    bind_tls: PeerTls | None = None


@dataclass(frozen=True, slots=True)
class NameserverLine:
    """A `nameserver` line; a `stream` one is asked over TCP."""

    name: str
    address: Address
    stream: bool
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(slots=True)
class ResolversSection:
    """A `resolvers` section. Holds and times are seconds (configuration.txt, section 5.3.2)."""

    name: str
    place: Place
    nameservers: list[NameserverLine] = field(default_factory=list)
    payload: int = 512
    retries: int = 3
    families: str = "ipv4,ipv6"
    """`dns-accept-family` of the global section: "ipv4", "ipv6", "ipv4,ipv6" or "auto"."""
    timeout_resolve: float = 1.0
    timeout_retry: float = 1.0
    hold: dict[str, float] = field(
        default_factory=lambda: {
            "valid": 10.0,
            "obsolete": 0.0,
            "nx": 30.0,
            "refused": 30.0,
            "timeout": 30.0,
            "other": 30.0,
        }
    )
