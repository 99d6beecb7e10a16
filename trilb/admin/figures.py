"""Where the columns of the statistics find their values: one function a column and kind of row (pure).

A getter takes the live object (Frontend, Listener, Server, Backend) and the Moment it is asked at, and answers None
where the row has an empty field. The names are those of column_texts.py; a column that a row is said to have and that
is missing here is an error when the program starts.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from trilb.config.model import Mode
from trilb.health.results import CODED, WORDS
from trilb.live.check import Check
from trilb.live.counters import Counters
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend, Listener
from trilb.live.server import DRAIN, MAINT, RAMP, STARTING, STOPPED, Server

Getters = dict[str, Callable[[Any, "Moment"], str | int | None]]


class Moment:
    """When, and for whom: `legends` shows addresses, cookies and algorithms (operators, `stats show-legends`)."""

    __slots__ = ("_private", "_process", "legends", "now")

    def __init__(self, process: ProcessState, *, legends: bool = True) -> None:
        self.now = process.clock.now
        self.legends = legends
        self._process = process
        self._private: dict[Server, int] | None = None

    def private(self, server: Server) -> int:
        """Connections to a server that sessions keep for themselves (`http-reuse never`); they are counted once."""
        if self._private is None:
            self._private = {}
            for each in self._process.sessions:
                kept = each.session.private
                if kept is not None:
                    self._private[kept[0]] = self._private.get(kept[0], 0) + 1
        return self._private.get(server, 0)


_WRAPPED = 2**64 - 1
"""HAProxy writes a duration that is not known, -1, without its sign."""


def _counted(names: str) -> Getters:
    """Counters under their own names."""
    return {name: _counter(name) for name in names.split()}


def _counter(name: str) -> Callable[[Any, Moment], int]:
    read = attrgetter(f"counters.{name}")
    return lambda thing, moment: read(thing)


def _zero(names: str) -> Getters:
    """What is never counted, because the feature does not exist here: it is never more than 0."""
    return {name: lambda thing, moment: 0 for name in names.split()}


def _http_only(getters: Getters) -> Getters:
    """Empty in other modes."""

    def only(get: Callable[[Any, Moment], str | int | None]) -> Callable[[Any, Moment], str | int | None]:
        def read(thing: Any, moment: Moment) -> str | int | None:
            return get(thing, moment) if _config(thing).mode is Mode.HTTP else None

        return read

    return {name: only(get) for name, get in getters.items()}


def _config(thing: Any) -> Any:
    return thing.backend.config if isinstance(thing, Server) else thing.config


def _answers() -> Getters:
    """Answers by the first digit of their status."""

    def of(kind: int) -> Callable[[Any, Moment], int]:
        return lambda thing, moment: thing.counters.hrsp[kind]

    named = {f"hrsp_{kind}xx": of(kind) for kind in range(1, 6)}
    return _http_only({**named, "hrsp_other": of(0)})


def _since(then: float, moment: Moment) -> int:
    return int(moment.now - then)


def _last(thing: Any, moment: Moment) -> int:
    then = thing.counters.last
    return _since(then, moment) if then else -1


def _average(name: str) -> Callable[[Any, Moment], int]:
    """An average over the last requests, of as many as there were, rounded up as HAProxy's are."""

    def read(thing: Any, moment: Moment) -> int:
        counters: Counters = thing.counters
        total: int = getattr(counters, name)
        return -(-total // (counters.timed or 1))

    return read


_TIMES: Getters = {
    "qtime": _average("queue_sum"),
    "ctime": _average("connect_sum"),
    "rtime": _average("response_sum"),
    "ttime": _average("total_sum"),
    "qtime_max": _counter("queue_most"),
    "ctime_max": _counter("connect_most"),
    "rtime_max": _counter("response_most"),
    "ttime_max": _counter("total_most"),
}
_MODE: Getters = {
    "pid": lambda thing, moment: 1,
    "mode": lambda thing, moment: _config(thing).mode.value,
    "ssl_sess": _counter("ssl_sess"),
    "ssl_reused_sess": _counter("ssl_reused"),
    "ssl_failed_handshake": _counter("ssl_failed"),
}
_COMPRESSION = "comp_in comp_out comp_byp comp_rsp"
_CACHE = "cache_lookups cache_hits"
_UNCOUNTED: Getters = {
    name: lambda thing, moment: None
    for name in (
        "h2_headers_rcvd h2_data_rcvd h2_settings_rcvd h2_rst_stream_rcvd h2_goaway_rcvd "
        "h2_detected_conn_protocol_errors h2_detected_strm_protocol_errors h2_rst_stream_resp h2_goaway_resp "
        "h2_backend_open_streams h1_open_streams h1_bytes_in h1_bytes_out h1_spliced_bytes_in h1_spliced_bytes_out"
    ).split()
}
"""Frames and raw bytes are not counted: their fields are empty."""


def _in_http(read: Callable[[Counters], int]) -> Callable[[Any, Moment], int]:
    """0 in other modes."""
    return lambda thing, moment: read(thing.counters) if _config(thing).mode is Mode.HTTP else 0


_MUXES: Getters = {
    **_UNCOUNTED,
    "h2_open_connections": lambda thing, moment: thing.counters.h2_open,
    "h2_total_connections": lambda thing, moment: thing.counters.h2_sess,
    "h2_backend_total_streams": lambda thing, moment: thing.counters.h2_req,
}


# -- frontends and their sockets -------------------------------------------------------------------------------------


def _rate(name: str) -> Callable[[Any, Moment], int]:
    read = attrgetter(f"counters.{name}")
    return lambda thing, moment: read(thing).read(moment.now)


def _other_sessions(frontend: Frontend, moment: Moment) -> int:
    return 0 if frontend.config.mode is Mode.HTTP else frontend.counters.stot


def _h1_sessions(frontend: Frontend, moment: Moment) -> int:
    counters = frontend.counters
    return counters.stot - counters.h2_sess if frontend.config.mode is Mode.HTTP else 0


_FRONTEND: Getters = {
    **_MODE,
    **_answers(),
    **_counted("scur smax stot bin bout dreq dresp ereq req_tot conn_tot dcon dses wrew eint"),
    **_http_only(_counted("intercepted")),
    **_zero(_COMPRESSION),
    **_http_only(_zero(_CACHE)),
    **_MUXES,
    "h1_open_connections": _in_http(lambda counters: counters.scur - counters.h2_open),
    "h1_total_connections": _in_http(lambda counters: counters.stot - counters.h2_sess),
    "h1_total_streams": _in_http(lambda counters: counters.streams),
    "pxname": lambda front, moment: front.name,
    "svname": lambda front, moment: "FRONTEND",
    "slim": lambda front, moment: front.maxconn,
    "status": lambda front, moment: "STOP" if front.stopped else "PAUSED" if front.paused else "OPEN",
    "iid": lambda front, moment: front.config.id,
    "sid": lambda front, moment: 0,
    "type": lambda front, moment: 0,
    "rate": _rate("rate"),
    "rate_lim": lambda front, moment: 0,
    "rate_max": _counter("rate.highest"),
    "req_rate": _rate("req_rate"),
    "req_rate_max": _counter("req_rate.highest"),
    "conn_rate": _rate("conn_rate"),
    "conn_rate_max": _counter("conn_rate.highest"),
    "sess_other": _other_sessions,
    "h1_sess": _h1_sessions,
    "h2_sess": _counter("h2_sess"),
    "h3_sess": lambda front, moment: 0,
    "req_other": _other_sessions,
    "h1req": lambda front, moment: front.counters.req_tot - front.counters.h2_req,
    "h2req": _counter("h2_req"),
    "h3req": lambda front, moment: 0,
}


_PROTOCOLS = {"u": "unix_stream", "[": "tcpv6"}
"""By how the address of a socket begins."""


def _socket_state(listener: Listener, moment: Moment) -> str:
    if listener.frontend.stopped:
        return "WAITING"
    return "FULL" if 0 < listener.maxconn <= listener.counters.scur else "OPEN"


_LISTENER: Getters = {
    **_MODE,
    **_counted("scur smax stot bin bout dreq dresp ereq dcon dses wrew eint"),
    "pxname": lambda listener, moment: listener.frontend.name,
    "svname": lambda listener, moment: listener.name,
    "slim": lambda listener, moment: listener.maxconn,
    "status": _socket_state,
    "iid": lambda listener, moment: listener.config.id,
    "sid": lambda listener, moment: listener.id,
    "type": lambda listener, moment: 3,
    "addr": lambda listener, moment: listener.address if moment.legends else None,
    "proto": lambda listener, moment: _PROTOCOLS.get(listener.address[0], "tcpv4"),
}

# -- servers and backends --------------------------------------------------------------------------------------------


def address(server: Server) -> str:
    """Where it is: address:port, an IPv6 address in brackets, or `unix`."""
    found = server.address
    if not isinstance(found, tuple):
        return "unix" if found is not None else ""
    host, port = found[0], found[1] if server.port_offset is None else server.port_offset & 0xFFFF
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _checked(part: str, read: Callable[[Check], str | int | None]) -> Callable[[Any, Moment], str | int | None]:
    """Of a server's check or agent, empty where it has none, or rests."""

    def get(server: Server, moment: Moment) -> str | int | None:
        check: Check | None = getattr(server, part)
        if check is None or not check.enabled or (part == "check" and server.admin & MAINT):
            return None
        return read(check)

    return get


def _checks(part: str, prefix: str, last: str) -> Getters:
    named: dict[str, Callable[[Check], str | int | None]] = {
        f"{prefix}_status": lambda check: f"* {check.status}" if check.busy else check.status,
        f"{prefix}_code": lambda check: check.code & 0xFFFFFFFF if check.status in CODED else None,
        f"{prefix}_duration": lambda check: None if check.status in ("UNK", "INI") else check.duration & _WRAPPED,
        f"{prefix}_desc": lambda check: WORDS.get(check.status, check.status),
        f"{prefix}_rise": lambda check: check.rise,
        f"{prefix}_fall": lambda check: check.fall,
        f"{prefix}_health": lambda check: check.health,
        last: lambda check: check.text,
    }
    return {name: _checked(part, read) for name, read in named.items()}


def _if_checked(get: Callable[[Any, Moment], str | int | None]) -> Callable[[Any, Moment], str | int | None]:
    return lambda server, moment: get(server, moment) if server.check is not None and server.check.enabled else None


def _queue_length(thing: Any, moment: Moment) -> int:
    return len(thing.queue)


def _throttle(server: Server) -> int | None:
    """The percentage of its weight that a server has which is coming back."""
    if server.operation != STARTING or server.admin & (MAINT | DRAIN) or not server.weight:
        return None
    return server.ramp * 100 // RAMP


def _downtime(server: Server, moment: Moment) -> int:
    """Seconds it was down, this time included."""
    down = moment.now - server.last_change if server.operation == STOPPED else 0.0
    return int(server.down_seconds + down)


def _backend_downtime(backend: Backend, moment: Moment) -> int | None:
    if not backend.servers:
        return None
    down = 0.0 if any(server.effective for server in backend.servers) else moment.now - backend.last_change
    return int(backend.down_seconds + down)


_SERVER: Getters = {
    **_MODE,
    **_answers(),
    **_TIMES,
    **_counted("qmax smax stot bin bout dresp econ eresp wretr wredis lbtot cli_abrt srv_abrt wrew reuse eint"),
    **_http_only(_counted("req_tot")),
    **_checks("check", "check", "last_chk"),
    **_checks("agent", "agent", "last_agt"),
    "pxname": lambda server, moment: server.backend.name,
    "svname": lambda server, moment: server.name,
    "qcur": _queue_length,
    "scur": lambda server, moment: server.used,
    "slim": lambda server, moment: server.maxconn or None,
    "status": lambda server, moment: server.status(),
    "weight": lambda server, moment: -(-server.weight * server.ramp // RAMP),
    "act": lambda server, moment: int(not server.line.backup),
    "bck": lambda server, moment: int(server.line.backup),
    "chkfail": _if_checked(_counter("chkfail")),
    "chkdown": _if_checked(_counter("chkdown")),
    "lastchg": lambda server, moment: _since(server.last_change, moment),
    "downtime": _if_checked(_downtime),
    "qlimit": lambda server, moment: server.line.maxqueue or None,
    "iid": lambda server, moment: server.backend.config.id,
    "sid": lambda server, moment: server.id,
    "throttle": lambda server, moment: _throttle(server),
    "hanafail": lambda server, moment: server.counters.hanafail if server.observer is not None else None,
    "tracked": lambda server, moment: server.via or None,
    "type": lambda server, moment: 2,
    "rate": _rate("rate"),
    "rate_max": _counter("rate.highest"),
    "lastsess": _last,
    "addr": lambda server, moment: address(server) if moment.legends else None,
    "cookie": lambda server, moment: (
        server.cookie.decode("latin-1") if moment.legends and server.cookie is not None else None
    ),
    "connect": _counter("conn_tot"),
    "srv_icur": lambda server, moment: len(server.idle),
    "src_ilim": lambda server, moment: server.line.pool_max_conn if server.line.pool_max_conn >= 0 else None,
    "idle_conn_cur": lambda server, moment: sum(not idle.reused for idle in server.idle),
    "safe_conn_cur": lambda server, moment: sum(idle.reused for idle in server.idle),
    "used_conn_cur": lambda server, moment: server.used,
    "need_conn_est": lambda server, moment: server.counters.needed,
    "uweight": lambda server, moment: server.weight,
    # Nobody keeps count of how many servers had an id before.
    "srid": lambda server, moment: None,
    "priv_idle_cur": lambda server, moment: moment.private(server),
}


def _usable(*, backup: bool) -> Callable[[Backend, Moment], int]:
    return lambda backend, moment: sum(s.effective > 0 and s.line.backup is backup for s in backend.servers)


def _up(backend: Backend, moment: Moment) -> str:
    return "UP" if not backend.servers or any(server.effective for server in backend.servers) else "DOWN"


_BACKEND: Getters = {
    **_MODE,
    **_answers(),
    **_TIMES,
    **_counted("qmax scur smax stot bin bout dreq dresp econ eresp wretr wredis chkdown lbtot cli_abrt srv_abrt"),
    **_counted("wrew reuse eint"),
    **_http_only(_counted("req_tot")),
    **_zero(_COMPRESSION),
    **_http_only(_zero(_CACHE)),
    **_MUXES,
    "h1_open_connections": lambda back, moment: (
        sum(len(server.idle) + server.used for server in back.servers) if back.config.mode is Mode.HTTP else 0
    ),
    "h1_total_connections": _in_http(lambda counters: counters.conn_tot - counters.h2_sess),
    "h1_total_streams": _in_http(lambda counters: counters.conn_tot + counters.reuse - counters.h2_req),
    # HAProxy's fields are for its exporter, which counts itself; elsewhere they are 0 (observed).
    **_zero("agg_server_status agg_server_check_status agg_check_status"),
    "pxname": lambda back, moment: back.name,
    "svname": lambda back, moment: "BACKEND",
    "qcur": _queue_length,
    "slim": lambda back, moment: back.fullconn,
    "status": _up,
    "weight": lambda back, moment: sum(server.effective for server in back.usable()),
    "act": _usable(backup=False),
    "bck": _usable(backup=True),
    "lastchg": lambda back, moment: _since(back.last_change, moment),
    "downtime": _backend_downtime,
    "iid": lambda back, moment: back.config.id,
    "sid": lambda back, moment: 0,
    "type": lambda back, moment: 1,
    "rate": _rate("rate"),
    "rate_max": _counter("rate.highest"),
    "lastsess": _last,
    "cookie": lambda back, moment: back.config.cookie.name if back.config.cookie and moment.legends else None,
    "algo": lambda back, moment: back.config.balance.name if moment.legends else None,
    "connect": _counter("conn_tot"),
    "uweight": lambda back, moment: sum(server.weight for server in back.usable()),
}

BY_ROW: dict[str, Getters] = {"F": _FRONTEND, "L": _LISTENER, "S": _SERVER, "B": _BACKEND}
