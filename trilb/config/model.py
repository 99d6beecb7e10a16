"""The configuration as read: plain data, compared by value, kept for the life of a generation.

What lives here: one dataclass a thing, with HAProxy's names. What does not: text to be parsed, live state, or
anything that serves. Only the reader writes these objects; everyone else reads them. A registered thing (an
algorithm, a fetch, an action) is a `Spec`: its arguments are checked, it is not built yet.
Times are seconds (float), sizes are bytes, None means "not set".
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, replace
from enum import Enum, Flag
from typing import Any

from trilb.base.address import Address
from trilb.base.diagnostic import NOWHERE, Place
from trilb.base.ip import Network
from trilb.base.schema import Schema
from trilb.config.language import Language
from trilb.config.patterns import Patterns
from trilb.config.probes import HealthCheck, Probe


@dataclass(frozen=True, slots=True)
class Spec:
    """A registered thing by name, with checked arguments."""

    name: str
    args: tuple[object, ...] = ()
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Expr:
    """`fetch(args),converter(args),...`; `text` is how it was written."""

    fetch: Spec
    converters: tuple[Spec, ...] = ()
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Literal:
    """Fixed text of a log format."""

    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A `%name` of a log format.

    `flags` are those in force: Q quotes, X hexadecimal, M marks missing, E escapes, json and cbor encode. `label` and
    `kind` are its name and type in an encoded format; `http` says that mode http alone has it.
    """

    name: str
    flags: frozenset[str] = frozenset()
    label: str = ""
    kind: str = ""
    http: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A `%[expression]` of a log format."""

    expr: Expr
    flags: frozenset[str] = frozenset()
    label: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Encoding:
    """First in a log format: all of it is one `json` or `cbor` object of its named items."""

    name: str
    binary: bool = False


Format = tuple[Literal | Variable | Sample | Encoding, ...]


@dataclass(frozen=True, slots=True)
class AclSpec:
    """One ACL line or anonymous ACL: an expression, how to match it, and what to match it with."""

    expr: Expr
    method: str
    patterns: tuple[Patterns, ...] = ()
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a condition: an ACL by name (all lines of that name, also later ones, add up) or in place."""

    name: str
    acl: AclSpec | None = None
    negated: bool = False
    resolved: tuple[AclSpec, ...] = ()
    """What the name meant in a defaults section, whose ACLs its proxies do not see."""


@dataclass(frozen=True, slots=True)
class Cond:
    """`if` / `unless`: an OR of ANDs of terms."""

    alternatives: tuple[tuple[Term, ...], ...]
    unless: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do, when, and where it was written (the log's last_rule_line)."""

    act: Spec
    when: Cond | None = None
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class StickRule:
    """A `stick` line: what to look for or learn, in which table ("" for the backend's own), when."""

    expr: Expr
    table: str
    match: bool = False
    store_request: bool = False
    store_response: bool = False
    when: Cond | None = None
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class UseBackend:
    """A `use_backend` or `use-server` line: the backend's or server's name, or the format that computes it."""

    name: str
    when: Cond | None
    place: Place = field(default=NOWHERE, compare=False)
    dynamic: Format | None = None


class Source(Enum):
    """Where the body of a reply comes from."""

    NOTHING = "nothing"
    PAGE = "errorfile"
    SECTION = "errorfiles"
    DEFAULT = "default-errorfiles"
    RAW = "string"
    FORMAT = "lf-string"


@dataclass(slots=True)
class ReplyLine:
    """How `return`, `deny`, `tarpit` and `http-error` answer, and what an errorfile holds.

    A PAGE is a whole answer as bytes, none at all to close without a word. SECTION is looked up once everything is
    read, and becomes PAGE or DEFAULT.
    """

    status: int
    source: Source = Source.NOTHING
    content_type: str = ""
    page: bytes = b""
    section: str = ""
    text: bytes = b""
    format: Format = ()
    fields: tuple[tuple[str, Format], ...] = ()
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class ErrorImport:
    """An `errorfiles` line: the section, and the statuses to take from it (none: all it has)."""

    section: str
    statuses: tuple[int, ...] = ()
    place: Place = field(default=NOWHERE, compare=False)


class Mode(Enum):
    """What a proxy speaks."""

    TCP = "tcp"
    HTTP = "http"


class Side(Flag):
    """Which sides a section has."""

    FRONTEND = 1
    BACKEND = 2
    BOTH = 3


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


@dataclass(slots=True)
class Timeouts:
    """All `timeout` settings of a proxy, seconds."""

    client: float | None = None
    server: float | None = None
    connect: float | None = None
    queue: float | None = None
    http_request: float | None = None
    http_keep_alive: float | None = None
    tunnel: float | None = None
    client_fin: float | None = None
    server_fin: float | None = None
    client_hs: float | None = None
    check: float | None = None
    tarpit: float | None = None


@dataclass(frozen=True, slots=True)
class ForwardFor:
    """`option forwardfor`: the header's name, whom it is not added for, and whether only when absent."""

    header: str = "x-forwarded-for"
    exclude: Network | None = None
    if_none: bool = False


@dataclass(frozen=True, slots=True)
class Forwarded:
    """`option forwarded`: the parameters to send; True takes the connection's own value, an expression computes it."""

    proto: bool = False
    host: Expr | bool = False
    by: Expr | bool = False
    by_port: Expr | bool = False
    for_: Expr | bool = False
    for_port: Expr | bool = False


@dataclass(frozen=True, slots=True)
class LogTarget:
    """A `log` line. Levels are syslog numbers, 0 (emerg) to 7 (debug)."""

    address: Address | None
    stream: str = ""
    format: str = ""
    length: int = 1024
    facility: int = 16
    level: int = 7
    minlevel: int = 0
    sample: tuple[tuple[int, ...], int] | None = None
    """Which lines of how many are sent: ((1, 3), 5)."""
    profile: str = ""
    """The log-profile that says how its lines look."""
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(slots=True)
class LogStep:
    """An `on` line of a log profile; a format that is None is the proxy's."""

    drop: bool = False
    format: Format | None = None
    structured: Format | None = None


@dataclass(slots=True)
class LogProfile:
    """A `log-profile` section."""

    name: str
    place: Place
    tag: str = ""
    steps: dict[str, LogStep] = field(default_factory=dict)


@dataclass(slots=True)
class CookieLine:
    """A `cookie` line (configuration.txt, `cookie`). Without rewrite, insert or prefix it is passive."""

    name: str
    rewrite: bool = False
    insert: bool = False
    prefix: bool = False
    indirect: bool = False
    nocache: bool = False
    postonly: bool = False
    preserve: bool = False
    httponly: bool = False
    secure: bool = False
    domains: tuple[str, ...] = ()
    maxidle: int = 0
    maxlife: int = 0
    attrs: tuple[str, ...] = ()
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class HashType:
    """A `hash-type` line. `avalanche` None means unset: plain `consistent` then turns it on."""

    consistent: bool = False
    function: str = ""
    avalanche: bool = False


@dataclass(slots=True)
class Stats:
    """The `stats` lines of a proxy: its statistics page."""

    inherited: bool = False
    """They are a defaults section's: the first line of one's own takes the place of all of them."""
    uri: str = "/haproxy?stats"
    refresh: int = 0
    """Seconds, 0 for never."""
    auth: tuple[tuple[str, str], ...] = ()
    realm: str | None = None
    rules: tuple[Rule, ...] = ()
    """`stats http-request`."""
    admin: tuple[Cond, ...] = ()
    scope: tuple[str, ...] = ()
    hide_version: bool = False
    show_legends: bool = False
    show_modules: bool = False
    show_node: str | None = None
    """The name to show, "" for that of the global section, None for none."""
    show_desc: str | None = None


@dataclass(slots=True)
class Proxy:
    """A frontend, backend, listen or defaults section."""

    name: str
    kind: str
    place: Place
    side: Side
    inherits: str = ""
    id: int = 0
    forced_id: bool = False
    order: int = field(default=0, compare=False)
    """Its place among all proxies of the configuration, by which statistics are ordered."""
    mode: Mode = Mode.TCP
    disabled: bool = False
    maxconn: int = 0
    fullconn: int = 0
    backlog: int = 0
    guid: str = ""
    """By what a stats-file knows it."""
    description: str = ""
    options: frozenset[str] = frozenset()
    timeouts: Timeouts = field(default_factory=Timeouts)
    timeouts_set: frozenset[str] = frozenset()
    binds: list[Bind] = field(default_factory=list)
    servers: list[ServerLine] = field(default_factory=list)
    default_server: list[tuple[str, ...]] = field(default_factory=list)
    state_from: str = ""
    """`load-server-state-from-file`: global, local, or none."""
    state_file: str = ""
    """`server-state-file-name`, "" for the backend's own name."""
    named_servers: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    """Lines of `default-server name NAME`."""
    retries: int = 3
    retry_on: frozenset[str] = frozenset({"conn-failure"})
    redispatch: int | None = None
    forwardfor: ForwardFor | None = None
    originalto: ForwardFor | None = None
    forwarded: Forwarded | None = None
    unique_id_format: Format | None = None
    unique_id_header: str = ""
    captures_in: list[int] = field(default_factory=list)
    """Capture slots of requests: the most bytes each keeps. `captures_out` are those of responses."""
    captures_out: list[int] = field(default_factory=list)
    capture_headers_in: list[tuple[str, int]] = field(default_factory=list)
    """Captured request headers with the slot each goes to."""
    capture_headers_out: list[tuple[str, int]] = field(default_factory=list)
    error_lines: list[tuple[int, ReplyLine] | ErrorImport] = field(default_factory=list)
    """What was said about error pages, in order; `errorfiles` is what came of it."""
    errorfiles: dict[int, ReplyLine] = field(default_factory=dict)
    logs: list[LogTarget] = field(default_factory=list)
    log_global: bool = False
    log_tag: str = ""
    log_format: Format | None = None
    log_kind: str = ""
    log_structured: Format | None = None
    log_error: Format | None = None
    log_steps: frozenset[str] | None = None
    capture_cookie: tuple[str, int] | None = None
    acls: dict[str, tuple[AclSpec, ...]] = field(default_factory=dict)
    rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    """Rules by their set: `http-request`, `http-response`, `http-after-response`, `tcp-request connection` ..."""
    stick: list[StickRule] = field(default_factory=list)
    use_backend: list[UseBackend] = field(default_factory=list)
    use_server: list[UseBackend] = field(default_factory=list)
    force_switch: list[Cond] = field(default_factory=list)
    unpublished: bool = False
    monitor_uri: str = ""
    monitor_fail: list[Cond] = field(default_factory=list)
    restrict_names: str = ""
    """`option http-restrict-req-hdr-names`: "", preserve, delete or reject."""
    redirects: bool = False
    plain_rules: set[str] = field(default_factory=set)
    """Rule sets written in this very section, `redirect` lines aside."""
    inspect_delay: float = 0.0
    response_inspect_delay: float = 0.0
    default_backend: str = ""
    default_backend_place: Place = NOWHERE
    inherits_backend: bool = False
    balance: Spec = field(default_factory=lambda: Spec("roundrobin"))
    hash_type: HashType = field(default_factory=HashType)
    hash_balance_factor: int = 0
    hash_preserve_affinity: str = "always"
    cookie: CookieLine | None = None
    dynamic_cookie_key: str = ""
    force_persist: list[Cond] = field(default_factory=list)
    ignore_persist: list[Cond] = field(default_factory=list)
    stats: Stats | None = None
    external_command: str = ""
    external_path: str = ""
    probe: Probe = field(default_factory=Probe)
    """How its servers are checked."""
    reuse: str = "safe"
    source: str = ""
    unique_rules: set[str] = field(default_factory=set)
    """Families of rules a defaults section carries, which bind what may inherit from it."""

    def has(self, option: str) -> bool:
        """Is `option NAME` on?"""
        return option in self.options

    def inherit(self, name: str, kind: str, place: Place, side: Side) -> Proxy:
        """A new section that starts from this defaults section: what defaults cannot give stays behind."""
        child = copy.copy(self)
        for item in fields(child):
            value = getattr(child, item.name)
            if isinstance(value, (list, dict, set, Timeouts, CookieLine, Stats)):
                setattr(child, item.name, copy.copy(value))
        child.name, child.kind, child.place, child.side, child.id = name, kind, place, side, 0
        child.forced_id = False
        child.inherits = self.name
        if child.stats is not None:
            child.stats.inherited = True
        if self.acls:
            child.rules = {
                family: tuple(_resolved(rule, self.acls) for rule in rules) for family, rules in child.rules.items()
            }
            child.acls = {}
        child.probe = self.probe.inherited()
        child.timeouts_set = frozenset()
        child.plain_rules = set()
        child.inherits_backend = True
        return child


def _resolved(rule: Rule, acls: dict[str, tuple[AclSpec, ...]]) -> Rule:
    """The rule with the names of its condition looked up among `acls`."""
    if rule.when is None:
        return rule
    alternatives = tuple(
        tuple(term if term.acl or term.resolved else replace(term, resolved=acls[term.name]) for term in terms)
        for terms in rule.when.alternatives
    )
    return replace(rule, when=replace(rule.when, alternatives=alternatives))


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


@dataclass(slots=True)
class Socket:
    """A `stats socket` line."""

    address: Address
    place: Place
    level: str = "operator"
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    expose_fd: bool = False
    severity_output: str = "none"
    backlog: int = 0


@dataclass(slots=True)
class H2Limits:
    """What `tune.h2.*` says of HTTP/2 with clients; sizes in bytes, 0 for none; None: the common one."""

    streams: int = 100
    fe_streams: int | None = None
    total_streams: int = 0
    window: int | None = None
    fe_window: int | None = None
    be_streams: int | None = None
    be_window: int | None = None
    header_table: int = 4096
    frame_size: int = 16384
    rxbuf: int = 1638400
    glitches: int = 0
    log_errors: str = "stream"
    websockets: bool = True


@dataclass(slots=True)
class Global:
    """The `global` sections, merged."""

    logs: list[LogTarget] = field(default_factory=list)
    variables: list[tuple[str, Expr | Format, Place]] = field(default_factory=list)
    """`set-var` and `set-var-fmt` lines, evaluated in this order when everything is built."""
    log_tag: str = "haproxy"
    log_hostname: str = ""
    log_uri: int = 1023
    cookie_length: int = 63
    chroot: str = ""
    user: str = ""
    group: str = ""
    uid: int | None = None
    gid: int | None = None
    daemon: bool = False
    master_worker: bool = False
    quiet: bool = False
    maxconn: int = 0
    pidfile: str = ""
    node: str = ""
    description: str = ""
    localpeer: str = ""
    stats_sockets: list[Socket] = field(default_factory=list)
    stats_timeout: float = 10.0
    stats_maxconn: int = 10
    state_file: str = ""
    """`server-state-file`; `state_base` is `server-state-base`."""
    state_base: str = ""
    stats_file: str = ""
    rates: dict[str, int] = field(default_factory=dict)
    """`maxconnrate`, `maxsessrate`, `maxsslrate`: events a second."""
    spread_checks: int = 0
    """Percent by which the intervals of checks vary."""
    max_spread_checks: float = 0.0
    """The most seconds the first checks are spread over; 0 for no limit but their intervals."""
    hard_stop_after: float | None = None
    grace: float = 0.0
    bufsize: int = 16384
    stick_counters: int = 3
    error_codes: frozenset[int] = frozenset(range(400, 500))
    """Statuses that count as the client's errors (`http-err-codes`)."""
    failure_codes: frozenset[int] = frozenset(range(500, 600)) - {501, 505}
    maxrewrite: int = 1024
    max_headers: int = 101
    fast_lane: bool = True
    h2: H2Limits = field(default_factory=H2Limits)
    case_adjust: dict[str, str] = field(default_factory=dict)
    tls_bind: Tls = field(default_factory=Tls)
    """What `ssl-default-bind-...` say."""
    tls_server: Tls = field(default_factory=Tls)
    ca_base: str = ""
    crt_base: str = ""
    server_verify: str = "required"
    tls_lifetime: int = 300
    tls_cache: int = 20000
    tls_record: int = 0
    tls_capture: int = 0
    tls_dh: str = ""
    key_base: str = ""
    tls_loads: dict[str, CertificateFiles] = field(default_factory=dict)
    """What crt-store sections have, by the names that lines use."""
    tls_strip: bool = False
    """Whether `.crt` goes from a certificate's name before the names of the files beside it are made of it."""
    tls_issuers: str = ""
    tls_extra: frozenset[str] = frozenset(("bundle", "ocsp", "issuer", "key", "sctl"))
    """Which files beside a certificate are loaded with it (`ssl-load-extra-files`)."""
    dns_families: str = ""
    insecure_fork: bool = False
    external_check: bool = False
    preserve_env: bool = False
    """External checks get our own environment too."""
    experimental: bool = False
    zero_warning: bool = False


@dataclass(frozen=True, slots=True)
class Unserved:
    """A keyword of HAProxy's that is understood as one and has no implementation here yet."""

    keyword: str
    place: Place


@dataclass(slots=True)
class Config:
    """All that was read."""

    language: Language | None = field(default=None, compare=False, repr=False)
    globals: Global = field(default_factory=Global)
    proxies: list[Proxy] = field(default_factory=list)
    userlists: dict[str, UserList] = field(default_factory=dict)
    peers: dict[str, PeersSection] = field(default_factory=dict)
    resolvers: dict[str, ResolversSection] = field(default_factory=dict)
    log_profiles: dict[str, LogProfile] = field(default_factory=dict)
    healthchecks: dict[str, HealthCheck] = field(default_factory=dict)
    errors: dict[str, ErrorSection] = field(default_factory=dict)
    tables: dict[str, Schema] = field(default_factory=dict)
    """Stick tables by name; those of a peers section are called SECTION/NAME."""
    unserved: list[Unserved] = field(default_factory=list)
    without_effect: dict[str, Place] = field(default_factory=dict)
    patterns: list[Patterns] = field(default_factory=list)
    pattern_store: Any = None
    """The lists of `patterns` once the check has loaded them (samples.references.Store, a room above this one)."""
    pinned: set[tuple[str, str]] = field(default_factory=set)
    """Backend and name of servers that rules, expressions or other servers name."""
    env: dict[str, str] = field(default_factory=dict)
