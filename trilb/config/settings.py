"""`global` and the runtime socket, as read. Times are seconds (float), sizes are bytes, None means "not set"."""

from __future__ import annotations

from dataclasses import dataclass, field

from trilb.base.address import Address
from trilb.base.diagnostic import Place
from trilb.config.lines import Tls
from trilb.config.log_lines import LogTarget
from trilb.config.sections import CertificateFiles
from trilb.config.terms import Expr, Format


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
