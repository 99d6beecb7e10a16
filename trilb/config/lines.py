"""`bind` and `server` lines as read, and their TLS.

Plain data, compared by value. Times are seconds (float), sizes are bytes, None means "not set".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trilb.base.address import Address
from trilb.base.diagnostic import Place
from trilb.base.ip import Network
from trilb.config.terms import Expr, Format


@dataclass(slots=True)
class Tls:
    """What a line says of TLS; what it does not say is empty, so that defaults can be seen through it.

    Versions are HAProxy's names, SSLv3 to TLSv1.3; `refused` the names of `no-...` options. `alpn` is None when nothing
    was said, empty for `no-alpn`. `crt_ignore` and `ca_ignore` hold X509_V_ERR numbers, -1 stands for all of them.
    """

    crt: tuple[str, ...] = ()
    crt_list: tuple[str, ...] = ()
    ca_file: str = ""
    ca_verify_file: str = ""
    crl_file: str = ""
    verify: str = ""
    verify_host: str = ""
    ciphers: str = ""
    ciphersuites: str = ""
    curves: str = ""
    sigalgs: str = ""
    client_sigalgs: str = ""
    min_version: str = ""
    max_version: str = ""
    refused: frozenset[str] = frozenset()
    tickets: bool | None = None
    strict_sni: bool | None = None
    client_ciphers: bool | None = None
    ca_names: bool = True
    alpn: tuple[bytes, ...] | None = None
    crt_ignore: frozenset[int] = frozenset()
    ca_ignore: frozenset[int] = frozenset()
    sni: Expr | None = None
    sni_auto: bool = True
    reuse: bool = True
    renegotiate: bool = False


@dataclass(slots=True)
class Bind:
    """A `bind` line: one or more addresses with their options."""

    addresses: tuple[Address, ...]
    place: Place
    name: str = ""
    id: int = 0
    ssl: bool = False
    maxconn: int = 0
    backlog: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    v6only: bool = False
    v4v6: bool = False
    interface: str = ""
    transparent: bool = False
    accept_proxy: bool = False
    guid_prefix: str = ""
    """Its sockets are known by this, a dash and their number on the line, from 0."""
    proto: str = ""
    tls: Tls = field(default_factory=Tls)
    tls_defaults: Tls = field(default_factory=Tls)
    """What the global sections above the line said."""


@dataclass(slots=True)
class ServerLine:
    """A `server` line, defaults applied."""

    name: str
    address: Address
    place: Place
    id: int = 0
    forced_id: bool = False
    guid: str = ""
    """By what a stats-file knows it."""
    weight: int = 1
    non_stick: bool = False
    check: bool = False
    inter: float = 2.0
    fastinter: float | None = None
    downinter: float | None = None
    rise: int = 2
    fall: int = 3
    check_port: int = 0
    check_address: str = ""
    cookie: str | None = None
    backup: bool = False
    disabled: bool = False
    maxconn: int = 0
    minconn: int = 0
    maxqueue: int = 0
    source: str = ""
    pool_max_conn: int = -1
    pool_purge_delay: float = 5.0
    init_address: str = ""
    """Methods as written; what is meant without any depends on whether there are resolvers."""
    hash_key: str = "id"
    track: str = ""
    ssl: bool = False
    ssl_said: bool = False
    """Whether the line, or a default-server line, says `ssl`, even where it is taken back: it can be turned on."""
    no_ssl: bool = False
    enabled: bool = False
    """It says so, which makes a difference for one that is added while running."""
    added: bool = False
    """By the runtime socket."""
    words: tuple[tuple[str, ...], ...] = field(default=(), compare=False)
    """All it was made of, for `from srv:NAME`."""
    tls: Tls = field(default_factory=Tls)
    tls_defaults: Tls = field(default_factory=Tls)
    check_ssl: bool | None = None
    check_sni: str = ""
    check_alpn: tuple[bytes, ...] | None = None
    check_sni_auto: bool = True
    check_proto: str = ""
    healthcheck: str = ""
    """The healthcheck section that says how it is checked."""
    init_state: str = "none"
    proto: str = ""
    ws: str = "auto"
    send_proxy: str = ""
    """"v1" or "v2": the PROXY header its connections begin with."""
    proxy_options: frozenset[str] = frozenset()
    proxy_tlvs: tuple[tuple[int, Format], ...] = ()
    check_send_proxy: bool = False
    pool_conn_name: Expr | None = None
    agent_check: bool = False
    agent_port: int = 0
    agent_address: str = ""
    agent_send: str = ""
    agent_inter: float = 2.0
    observe: str = "none"
    """Whether traffic tells of its health: "none", "layer4" or "layer7"."""
    error_limit: int = 10
    on_error: str = "fail-check"
    slowstart: float = 0.0
    down_shuts_sessions: bool = False
    """`on-marked-down shutdown-sessions`."""
    up_shuts_backups: bool = False
    """`on-marked-up shutdown-backup-sessions`."""
    resolvers: str = ""
    """The resolvers section that looks its name up at run time."""
    resolve_ipv4: bool = False
    """`resolve-prefer ipv4`."""
    resolve_networks: tuple[Network, ...] = ()
    """Addresses from these are taken first."""
    resolve_options: frozenset[str] = frozenset()
