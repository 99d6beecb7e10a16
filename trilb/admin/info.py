"""What `show info` says of the process: a table of lines, each with its kind and where its value is. Pure."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import trio

from trilb import HAPROXY_VERSION, RELEASE_DATE, __version__
from trilb.admin import formats, info_texts
from trilb.admin.columns import entries
from trilb.base.proc import ProcFile
from trilb.config.model import Config
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.logs.sinks import Channels
from trilb.samples import regex

_STATM = ProcFile("/proc/self/statm")


class Asked(Protocol):
    """What is looked at."""

    @property
    def config(self) -> Config:
        """What was configured."""

    @property
    def process(self) -> ProcessState:
        """Its totals."""

    @property
    def frontends(self) -> Mapping[str, Frontend]:
        """By name."""

    @property
    def backends(self) -> Mapping[str, Backend]:
        """By name."""

    @property
    def channels(self) -> Channels:
        """Where logs go."""

    @property
    def resolvers(self) -> Mapping[str, Any]:
        """Sections of nameservers, by name."""

    @property
    def sections(self) -> Sequence[Any]:
        """Peers sections, as `show peers` sees them."""


Value = str | int | float
Getter = Callable[[Asked], Value | None]
"""What a line says, None where there is no such line."""


def _uptime(asked: Asked) -> float:
    return asked.process.clock.wall - asked.process.started_wall


def _uptime_text(asked: Asked) -> str:
    seconds = int(_uptime(asked))
    return f"{seconds // 86400}d {seconds // 3600 % 24}h{seconds // 60 % 60:02}m{seconds % 60:02}s"


def _descriptors(asked: Asked) -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _memory(asked: Asked) -> int:
    """Bytes of memory in use: what HAProxy's pools hold is here the whole process. 0 where the system does not tell."""
    try:
        return int(_STATM.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _reused(asked: Asked) -> int:
    process = asked.process
    rate, keys = process.tls_rate.read(process.clock.now), process.tls_key_rate.read(process.clock.now)
    return (rate - keys) * 100 // rate if rate > keys else 0


def _sockets(asked: Asked) -> int:
    sockets = sum(len(front.config.binds) for front in asked.frontends.values() if not front.stopped)
    return sockets + len(asked.config.globals.stats_sockets)


def _peers(asked: Asked) -> int:
    """Peers there is a link to."""
    return sum(peer.state != "down" and not peer.local for section in asked.sections for peer in section.peers())


_UNRESOLVED = ("any_err", "nx", "timeout", "refused", "other", "invalid", "cname_error")
"""Counters of a nameserver that tell of an answer without an address."""


def _unresolved(asked: Asked) -> int:
    return sum(
        server.counters.get(name, 0)
        for section in asked.resolvers.values()
        for server in section.nameservers
        for name in _UNRESOLVED
    )


def _tasks(asked: Asked) -> int:
    return trio.lowlevel.current_statistics().tasks_living if trio.lowlevel.in_trio_run() else 0


def _runnable(asked: Asked) -> int:
    return trio.lowlevel.current_statistics().tasks_runnable if trio.lowlevel.in_trio_run() else 0


def _process(name: str) -> Getter:
    def get(asked: Asked) -> Value:
        found: Value = getattr(asked.process, name)
        return found

    return get


def _rate(name: str) -> Getter:
    return lambda asked: getattr(asked.process, name).read(asked.process.clock.now)


def _highest(name: str) -> Getter:
    return lambda asked: getattr(asked.process, name).highest


_VALUES: Mapping[str, Getter] = {
    # Programs look at it before they do anything (haproxyadmin); the version says who answers.
    "Name": lambda asked: "HAProxy",
    "Version": lambda asked: f"{HAPROXY_VERSION}-trilb{__version__}",
    "Release_date": lambda asked: RELEASE_DATE,
    "Nbthread": lambda asked: 1,
    "Nbproc": lambda asked: 1,
    "Process_num": lambda asked: 1,
    "Pid": lambda asked: os.getpid(),
    "Uptime": _uptime_text,
    "Uptime_sec": _uptime,
    "PoolAlloc_MB": lambda asked: _memory(asked) >> 20,
    "PoolUsed_MB": lambda asked: _memory(asked) >> 20,
    "Ulimit-n": _descriptors,
    "Maxsock": _descriptors,
    "Maxconn": _process("maxconn"),
    "Hard_maxconn": _process("maxconn"),
    "CurrConns": _process("actconn"),
    "CumConns": _process("cum_conn"),
    "CumReq": _process("cum_req"),
    "CurrSslConns": _process("tls_now"),
    "CumSslConns": _process("tls_tried"),
    "ConnRate": _rate("conn_rate"),
    "MaxConnRate": _highest("conn_rate"),
    "SessRate": _rate("conn_rate"),
    "MaxSessRate": _highest("conn_rate"),
    "ConnRateLimit": _process("conn_limit"),
    "SessRateLimit": _process("sess_limit"),
    "SslRateLimit": _process("tls_limit"),
    "SslRate": _rate("tls_rate"),
    "MaxSslRate": _highest("tls_rate"),
    "SslFrontendKeyRate": _rate("tls_key_rate"),
    "SslFrontendMaxKeyRate": _highest("tls_key_rate"),
    "SslFrontendSessionReuse_pct": _reused,
    "SslBackendKeyRate": _rate("tls_back_rate"),
    "SslBackendMaxKeyRate": _highest("tls_back_rate"),
    "ZlibMemUsage": lambda asked: None,
    "MaxZlibMemUsage": lambda asked: None,
    "Tasks": _tasks,
    "Run_queue": _runnable,
    "Idle_pct": _process("idle"),
    "node": _process("node"),
    "description": lambda asked: asked.config.globals.description or None,
    "Stopping": lambda asked: int(asked.process.stopping),
    "Jobs": lambda asked: _sockets(asked) + asked.process.actconn,
    "Listeners": _sockets,
    "ActivePeers": _peers,
    "ConnectedPeers": _peers,
    "DroppedLogs": lambda asked: asked.channels.dropped,
    "FailedResolutions": _unresolved,
    "BytesOutRate": _process("bytes_rate"),
    "TotalBytesOut": lambda asked: sum(front.counters.bout for front in asked.frontends.values()),
    "Build info": lambda asked: f"{HAPROXY_VERSION}-trilb{__version__}",
    "PoolAlloc_bytes": _memory,
    "PoolUsed_bytes": _memory,
    "Start_time_sec": _process("started_wall"),
    "Tainted": lambda asked: "0",
    "RegexOverruns": lambda asked: regex.overruns,
    "SessionFaults": _process("faults"),
    "FailedSslConns": _process("tls_failed"),
}
"""What is not here is 0: the feature does not exist, has no limit, or (pipes, OpenSSL's own cache) is not counted."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of `show info`."""

    position: int
    name: str
    tags: str
    type: str
    doc: str
    get: Getter
    rate: bool
    """It is emitted as a float when those are asked for."""


_FLOATS = frozenset(
    "Uptime_sec ConnRate SessRate SslRate SslFrontendKeyRate SslFrontendSessionReuse_pct SslBackendKeyRate "
    "CompressBpsIn CompressBpsOut Start_time_sec".split()
)


def _lines() -> Iterator[Line]:
    for position, (name, tags, kind, *words) in enumerate(entries(info_texts.LINES + info_texts.OWN)):
        name = name.replace("_Jobs", " Jobs").replace("Build_", "Build ")
        yield Line(position, name, tags, kind, " ".join(words), _VALUES.get(name, lambda asked: 0), name in _FLOATS)


LINES = tuple(_lines())


@dataclass(frozen=True, slots=True)
class Item:
    """A line with its value."""

    line: Line
    value: Value
    type: str
    tags: str


def items(asked: Asked, *, floats: bool = False) -> Iterator[Item]:
    """The lines there are, with their values; whole numbers unless floats are asked for."""
    for line in LINES:
        value = line.get(asked)
        if value is None:
            continue
        if line.rate and floats:
            yield Item(line, f"{value:f}".rstrip("0").rstrip("."), "flt", line.tags)
        else:
            yield Item(line, int(value) if isinstance(value, float) else value, line.type, line.tags)


def plain(asked: Asked, *, described: bool = False, floats: bool = False) -> str:
    """A line a value: `Name: value`."""
    lines = []
    for item in items(asked, floats=floats):
        end = f':"{item.line.doc}"' if described else ""
        lines.append(f"{item.line.name}: {item.value}{end}\n")
    return "".join(lines)


def typed(asked: Asked, *, described: bool = False, floats: bool = False) -> str:
    """The same with what each value is."""
    return "".join(
        formats.line(
            f"{item.line.position}.{item.line.name}",
            f"{item.tags}V",
            item.type,
            item.value,
            item.line.doc if described else "",
        )
        for item in items(asked, floats=floats)
    )


def as_json(asked: Asked, *, floats: bool = False) -> str:
    """The same as a list of objects."""
    made = (
        "{" + formats.item(item.line.position, item.line.name, item.tags, item.type, _number(item))
        for item in items(asked, floats=floats)
    )
    return f"[{','.join(made)}]\n"


def _number(item: Item) -> Value:
    return float(item.value) if item.type == "flt" else item.value
