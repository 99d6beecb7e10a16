"""The Prometheus exporter, `http-request use-service prometheus-exporter`: HAProxy's metrics, byte for byte (pure).

What may be asked for in the query string is HAProxy's as well: `scope=`, `metrics=`, `no-maint`, `desc-labels`,
`extra-counters`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from trilb.admin import info, prometheus_texts, views
from trilb.admin.columns import COLUMNS, MODULES, POSITION, entries
from trilb.admin.prometheus_query import SCOPES, Malformed, Wanted, wanted
from trilb.admin.views import Row, Selection
from trilb.config.model import Mode
from trilb.live.effects import Compose, Effect, Reply, Return
from trilb.live.plan import Step
from trilb.live.server import DRAIN, MAINT, STOPPED, STOPPING, Server
from trilb.live.stream import Stream
from trilb.tables.store import Table

_BREATH = 25
"""Rows that are looked at before others get a turn: about a millisecond's work."""
_KINDS = {"frontend": "F", "listener": "L", "backend": "B", "server": "S"}
_SERVER_STATES: tuple[str, ...] = ("DOWN", "UP", "MAINT", "DRAIN", "NOLB")
_SERVICE_STATES: tuple[str, ...] = ("DOWN", "UP")
_SOCKET_STATES: tuple[str, ...] = ("WAITING", "OPEN", "FULL")
_CHECK_STATES = (
    "HANA SOCKERR L4OK L4TOUT L4CON L6OK L6TOUT L6RSP L7TOUT L7RSP L7OK L7OKC L7STS PROCERR PROCTOUT PROCOK"
).split()
_LABELLED = ("status", "check_status", "hrsp_1xx", "agg_server_status", "agg_server_check_status", "agg_check_status")
_CODES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")
_SECONDS = frozenset("check_duration qtime ctime rtime ttime qtime_max ctime_max rtime_max ttime_max".split())
"""Columns in milliseconds that are metrics in seconds."""
_OMITTED = frozenset(
    "req_rate_max req_tot comp_in comp_out comp_byp comp_rsp intercepted cache_lookups cache_hits check_code "
    "check_duration".split()
)
"""No line where the column is empty; elsewhere that is NaN."""
_HTTP_ONLY = frozenset("req_rate_max req_tot comp_in comp_out comp_byp comp_rsp".split())
"""Observed: without a line for proxies in mode tcp, though `show stat` has some of them there."""
_ONLY = {"act": "B", "bck": "B", "req_tot": "FB"}
_AGGREGATES = {"agg_check_status": "Backend's aggregated gauge of servers' state check status"}


class Asked(info.Asked, Protocol):
    """What is looked at."""

    @property
    def tables(self) -> Mapping[str, Table]:
        """Stick tables, by name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A column as a metric of one scope."""

    name: str
    type: str
    doc: str
    column: str
    position: int

    def head(self) -> str:
        """What introduces it."""
        return f"# HELP {self.name} {self.doc}\n# TYPE {self.name} {self.type}\n"


def _metrics(scope: str) -> tuple[Metric, ...]:
    kind = _KINDS[scope]
    made = []
    for name, metric, type_, *words in entries(prometheus_texts.ROWS):
        column = COLUMNS[POSITION[name]]
        if kind in _ONLY.get(name, column.rows):
            doc = " ".join(words) or _AGGREGATES.get(name) or column.doc
            made.append(Metric(f"haproxy_{scope}_{metric}", type_, doc, name, column.position))
    return tuple(made)


_OF_SCOPE = {scope: _metrics(scope) for scope in _KINDS}
_INFO = {line.name.replace(" ", "_"): line for line in info.LINES}
_PROCESS = tuple(
    (Metric(f"haproxy_process_{metric}", type_, _INFO[name].doc, name, _INFO[name].position), _INFO[name])
    for name, metric, type_ in entries(prometheus_texts.PROCESS)
)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _labels(**pairs: str) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items() if value)
    return f"{{{written}}}" if written else ""


def _process(asked: Asked, want: Wanted) -> Iterator[str]:
    desc = asked.config.globals.description if want.described else ""
    for metric, line in _PROCESS:
        if not want.takes(metric.name):
            continue
        value = line.get(asked)
        if metric.column == "Build_info":
            yield f"{metric.head()}{metric.name}{_labels(version=str(value), desc=desc)} 1\n"
            continue
        shown = "NaN" if value is None else str(int(value) if isinstance(value, float) else value)
        yield f"{metric.head()}{metric.name}{_labels(desc=desc)} {shown}\n"


def state(server: Server) -> str:
    """A server's state, one word."""
    if server.admin & MAINT:
        return "MAINT"
    if server.operation == STOPPED:
        return "DOWN"
    if server.admin & DRAIN:
        return "DRAIN"
    return "NOLB" if server.operation == STOPPING else "UP"


def _check_state(server: Server) -> str:
    check = server.check
    return check.status if check is not None and check.enabled and not server.admin & MAINT else ""


def _states(metric: Metric, row: Row) -> Iterator[tuple[str, str, int]]:
    """The lines of a metric that says several things by a label: its name, its value, and the number."""
    thing, column = row.thing, metric.column
    if column == "hrsp_1xx":
        if row.values[metric.position] is not None:
            for at, code in enumerate(_CODES):
                value = row.values[metric.position + at]
                yield "code", code, value if isinstance(value, int) else 0
        return
    if column == "status":
        if row.kind == "S":
            now, every = state(thing), _SERVER_STATES
        elif row.kind == "L":
            now, every = str(row["status"]), _SOCKET_STATES
        else:
            up = str(row["status"]).startswith(("UP", "OPEN"))
            now, every = "UP" if up else "DOWN", _SERVICE_STATES
        for word in every:
            yield "state", word, int(word == now)
    elif column == "check_status":
        if row.values[metric.position] is not None:
            for word in _CHECK_STATES:
                yield "state", word, int(word == _check_state(thing))
    elif thing.servers:
        read, words = (_check_state, tuple(_CHECK_STATES)) if column == "agg_check_status" else (state, _SERVER_STATES)
        found = [read(server) for server in thing.servers]
        for word in words:
            yield "state", word, found.count(word)


def _object(row: Row, described: bool) -> dict[str, str]:
    pairs = {"proxy": str(row["pxname"])}
    if row.kind == "S":
        pairs["server"] = row.thing.name
    elif row.kind == "L":
        pairs["listener"] = row.thing.name
    if described:
        config = row.thing.backend.config if row.kind == "S" else row.thing.config
        pairs["desc"] = config.description
    return pairs


def _row_lines(scope: str, found: list[Row], want: Wanted) -> Iterator[str]:
    """Every metric of a scope, each with a line or more for every row."""
    labels = [_object(row, want.described) for row in found]
    plain = [_labels(**pairs) for pairs in labels]
    http = [_is_http(row) for row in found]
    for metric in _OF_SCOPE[scope]:
        if not want.takes(metric.name):
            continue
        lines = []
        if metric.column in _LABELLED:
            made = [
                [
                    f"{metric.name}{_labels(**pairs, **{name: word})} {value}\n"
                    for name, word, value in _states(metric, row)
                ]
                for row, pairs in zip(found, labels, strict=True)
            ]
            # All states of a row stand together, but for codes: there all rows of a code do.
            parts = zip(*filter(None, made), strict=True) if metric.column == "hrsp_1xx" else made
            lines = [line for each in parts for line in each]
        else:
            position, seconds, omitted = metric.position, metric.column in _SECONDS, metric.column in _OMITTED
            only_http, code = metric.column in _HTTP_ONLY, metric.column == "check_code"
            for row, label, is_http in zip(found, plain, http, strict=True):
                value = row.values[position]
                if code and value is None and row["check_status"]:
                    value = 0
                if value is None:
                    if not omitted:
                        lines.append(f"{metric.name}{label} NaN\n")
                elif seconds:
                    lines.append(f"{metric.name}{label} {int(value) / 1000:.6f}\n")
                elif is_http or not only_http:
                    lines.append(f"{metric.name}{label} {value}\n")
        if lines:
            yield metric.head() + "".join(lines)
    if want.modules:
        yield from _module_lines(scope, found, labels, want)


def _is_http(row: Row) -> bool:
    return bool(row["mode"] == Mode.HTTP.value)


def _module_lines(scope: str, found: list[Row], labels: list[dict[str, str]], want: Wanted) -> Iterator[str]:
    """What modules count, with the module as a label."""
    for column in MODULES:
        if _KINDS[scope] not in column.rows:
            continue
        name = f"haproxy_{scope}_{column.name}"
        if want.takes(name):
            module = column.name.partition("_")[0]
            kind = "gauge" if "G" in next(iter(column.tags.values())) else "counter"
            lines = [
                f"{name}{_labels(**pairs, mod=module)} {row.values[column.position]}\n"
                for row, pairs in zip(found, labels, strict=True)
                if row.values[column.position] is not None
            ]
            if lines:
                yield f"# HELP {name} {column.doc}\n# TYPE {name} {kind}\n" + "".join(lines)


def _tables(asked: Asked, want: Wanted) -> Iterator[str]:
    shown: tuple[tuple[str, str, Callable[[Table], int]], ...] = (
        ("size", "Stick table size.", lambda table: table.schema.size),
        ("used", "Number of entries used in this stick table.", len),
    )
    for word, doc, read in shown:
        name = f"haproxy_sticktable_{word}"
        if asked.tables and want.takes(name):
            yield f"# HELP {name} {doc}\n# TYPE {name} gauge\n" + "".join(
                f"{name}{_labels(name=table.schema.name, type=table.schema.type)} {read(table)}\n"
                for table in asked.tables.values()
            )


_RESOLVER = {
    "sent": "Sent",
    "snd_error": "Send error",
    "valid": "Valid",
    "update": "Update",
    "cname": "CNAME",
    "cname_error": "CNAME error",
    "any_err": "Any errors",
    "nx": "NX",
    "timeout": "Timeout",
    "refused": "Refused",
    "other": "Other",
    "invalid": "Invalid",
    "too_big": "Too big",
    "truncated": "Truncated",
    "outdated": "Outdated",
}


def _resolvers(asked: Asked, want: Wanted) -> Iterator[str]:
    for counter, doc in _RESOLVER.items():
        name = f"haproxy_resolver_{'send_error' if counter == 'snd_error' else counter}"
        if want.takes(name):
            yield f"# HELP {name} {doc}\n# TYPE {name} counter\n" + "".join(
                f"{name}{_labels(resolver=section.name, nameserver=server.name)} {server.counters.get(counter, 0)}\n"
                for section in asked.resolvers.values()
                for server in section.nameservers
            )


def text(asked: Asked, want: Wanted) -> Iterator[str]:
    """The metrics asked for, one after the other, and now and then nothing, so that others get a turn."""
    if "global" in want.scopes:
        yield from _process(asked, want)
    kinds = want.scopes & set(_KINDS)
    if kinds:
        found = []
        for row in views.rows(asked, None, Selection(no_maint=want.no_maint)):
            found.append(row)
            if not len(found) % _BREATH:
                yield ""
        for scope in SCOPES:
            if scope in kinds:
                mine: Iterable[Row] = (row for row in found if row.kind == _KINDS[scope])
                yield from _row_lines(scope, list(mine), want)
    if "sticktable" in want.scopes:
        yield from _tables(asked, want)
    if "resolver" in want.scopes:
        yield from _resolvers(asked, want)


def _reply(body: bytes) -> Reply:
    fields = [
        (b"cache-control", b"no-cache"),
        (b"content-type", b"text/plain; version=0.0.4"),
        (b"content-length", b"%d" % len(body)),
    ]
    return Reply(200, fields, body, counted=True)


def step(asked: Asked) -> Step:
    """The service: it answers every request it is asked."""

    def run(stream: Stream) -> Effect | None:
        query = stream.target.partition(b"?")[2].decode("latin-1")
        try:
            want = wanted(query)
        except Malformed:
            return Return(400)
        if stream.backend is None:
            stream.frontend.counters.intercepted += 1
        return Compose(text(asked, want), _reply)

    return run
