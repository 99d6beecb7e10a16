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

from trilb.base.diagnostic import NOWHERE, Place
from trilb.base.ip import Network
from trilb.base.schema import Schema
from trilb.config.language import Language
from trilb.config.lines import Bind, ServerLine
from trilb.config.log_lines import LogProfile, LogTarget
from trilb.config.patterns import Patterns
from trilb.config.probes import HealthCheck, Probe
from trilb.config.sections import ErrorSection, PeersSection, ResolversSection, UserList
from trilb.config.settings import Global
from trilb.config.terms import AclSpec, Cond, Expr, Format, Rule, Spec, StickRule, UseBackend


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
