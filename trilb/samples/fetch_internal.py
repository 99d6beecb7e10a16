"""Fetches about the process, proxies and servers (configuration.txt, section 7.3.2)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.registry import Arg, Kind, optional
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import Server
from trilb.live.stream import Stream
from trilb.samples.types import Fetch, Value, fetch, plain

_BACKEND = (optional("backend", Kind.BACKEND),)
_FRONTEND = (optional("frontend", Kind.FRONTEND),)
_SERVER = (Arg("server", Kind.SERVER),)


def _of_backend(backend: Backend | None, read: Callable[[Backend], int]) -> Fetch:
    if backend is not None:
        return lambda stream: read(backend)
    return lambda stream: read(stream.backend) if stream.backend is not None else None


def _of_frontend(frontend: Frontend | None, read: Callable[[Frontend], int]) -> Fetch:
    if frontend is not None:
        return lambda stream: read(frontend)
    return lambda stream: read(stream.frontend)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000 + 0.5)


plain("act_conn", gives="sint", source="7.3.2", doc="Connections the process has open.")(
    lambda stream: stream.frontend.process.actconn
)
plain("stopping", gives="bool", source="7.3.2", doc="Whether the process is leaving.")(
    lambda stream: stream.frontend.process.stopping
)
plain("pid", gives="sint", source="7.3.2", doc="The process's number.")(lambda stream: stream.frontend.process.pid)
plain("proc", gives="sint", source="7.3.2", doc="The position of the process among its siblings, from 1.")(
    lambda stream: 1
)
plain("nbproc", gives="sint", source="7.3.2", doc="The number of processes.")(lambda stream: 1)
plain("thread", gives="sint", source="7.3.2", doc="The number of the thread, from 0.")(lambda stream: 0)
plain("tgroup", gives="sint", source="7.3.2", doc="The number of the thread group, from 1.")(lambda stream: 1)
plain("uptime", gives="sint", source="7.3.2", doc="Seconds since the process started.")(
    lambda stream: int(stream.frontend.process.clock.wall - stream.frontend.process.started_wall)
)
plain("accept_date", gives="sint", source="7.3.2", doc="When the connection was accepted, in seconds.")(
    lambda stream: int(stream.session.accepted_wall)
)
plain("request_date", gives="sint", source="7.3.2", doc="When the request's first byte came, in seconds.")(
    lambda stream: int(stream.accepted_wall)
)
plain(
    "http_first_req",
    gives="bool",
    source="7.3.6",
    doc="Whether it is the first request of the connection.",
)(lambda stream: stream.session.requests == 0)
plain("last_rule_file", gives="str", source="7.3.2", doc="The file of the rule that ended the evaluation.")(
    lambda stream: stream.last_rule.file.encode() if stream.last_rule is not None else None
)
plain("last_rule_line", gives="sint", source="7.3.2", doc="The line of the rule that ended the evaluation.")(
    lambda stream: stream.last_rule.line if stream.last_rule is not None else None
)
plain("fe_name", gives="str", source="7.3.3", doc="The frontend's name.")(lambda stream: stream.frontend.name.encode())
plain("fe_id", gives="sint", source="7.3.3", doc="The frontend's id.")(lambda stream: stream.frontend.config.id)
plain("fe_defbe", gives="str", source="7.3.3", doc="The name of the frontend's default backend.")(
    lambda stream: stream.frontend.config.default_backend.encode() or None
)
plain("be_name", gives="str", source="7.3.3", doc="The backend's name; the frontend's while no backend is chosen.")(
    lambda stream: (stream.backend.name if stream.backend is not None else stream.frontend.name).encode()
)
plain("be_id", gives="sint", source="7.3.3", doc="The backend's id.")(
    lambda stream: stream.backend.config.id if stream.backend is not None else stream.frontend.config.id
)
plain("srv_name", gives="str", source="7.3.3", doc="The server's name, once it is chosen.")(
    lambda stream: stream.server.name.encode() if stream.server is not None else None
)
plain("srv_id", gives="sint", source="7.3.3", doc="The server's id, once it is chosen.")(
    lambda stream: stream.server.id if stream.server is not None else None
)
plain("so_id", gives="sint", source="7.3.3", doc="The id of the bind line.")(lambda stream: stream.session.listener_id)
plain("so_name", gives="str", source="7.3.3", doc="The name of the bind line.")(
    lambda stream: stream.session.listener_name.encode() or None
)


@fetch("fe_conn", args=_FRONTEND, gives="sint", source="7.3.2")
def fe_conn(frontend: Frontend | None) -> Fetch:
    """Concurrent connections of a frontend."""
    return _of_frontend(frontend, lambda front: front.counters.scur)


@fetch("fe_sess_rate", args=_FRONTEND, gives="sint", source="7.3.2")
def fe_sess_rate(frontend: Frontend | None) -> Fetch:
    """Sessions per second of a frontend."""
    return _of_frontend(frontend, lambda front: front.counters.rate.read(front.process.clock.now))


@fetch("fe_req_rate", args=_FRONTEND, gives="sint", source="7.3.2")
def fe_req_rate(frontend: Frontend | None) -> Fetch:
    """Requests per second of a frontend."""
    return _of_frontend(frontend, lambda front: front.counters.req_rate.read(front.process.clock.now))


@fetch("be_conn", args=_BACKEND, gives="sint", source="7.3.2")
def be_conn(backend: Backend | None) -> Fetch:
    """Concurrent streams of a backend."""
    return _of_backend(backend, lambda back: back.counters.scur)


@fetch("be_sess_rate", args=_BACKEND, gives="sint", source="7.3.2")
def be_sess_rate(backend: Backend | None) -> Fetch:
    """Sessions per second of a backend."""

    def read(stream: Stream) -> int | None:
        back = backend or stream.backend
        return back.counters.rate.read(stream.frontend.process.clock.now) if back is not None else None

    return read


def _room(back: Backend) -> int:
    total = 0
    for server in back.servers:
        if server.running:
            if not server.maxconn:
                return -1
            total += max(0, server.maxconn - server.used)
    return total


@fetch("be_conn_free", args=_BACKEND, gives="sint", source="7.3.2")
def be_conn_free(backend: Backend | None) -> Fetch:
    """Connections the servers of a backend still take; -1 when one of them has no maxconn."""
    return _of_backend(backend, _room)


def _slots(back: Backend) -> int:
    total = 0
    for server in back.servers:
        if server.running:
            if not server.maxconn or not server.line.maxqueue:
                return -1
            total += server.maxconn - server.used + server.line.maxqueue - len(server.queue)
    return total


@fetch("connslots", args=_BACKEND, gives="sint", source="7.3.2")
def connslots(backend: Backend | None) -> Fetch:
    """Connections and queue places left in a backend; -1 when a server has no maxconn or no maxqueue."""
    return _of_backend(backend, _slots)


def usable(back: Backend) -> int:
    """How many servers of a backend may be chosen."""
    return sum(server.effective > 0 for server in back.servers)


@fetch("nbsrv", args=_BACKEND, gives="sint", source="7.3.2")
def nbsrv(backend: Backend | None) -> Fetch:
    """Usable servers of a backend."""
    if backend is not None:
        return lambda stream: usable(backend)
    return lambda stream: usable(stream.backend) if stream.backend is not None else 0


@fetch("queue", args=_BACKEND, gives="sint", source="7.3.2")
def queue(backend: Backend | None) -> Fetch:
    """Streams waiting in a backend and its servers."""
    return _of_backend(backend, Backend.queued)


@fetch("avg_queue", args=_BACKEND, gives="sint", source="7.3.2")
def avg_queue(backend: Backend | None) -> Fetch:
    """Streams waiting, divided by the usable servers; without any, twice as many as wait."""
    return _of_backend(backend, lambda back: -(-back.queued() // usable(back)) if usable(back) else back.queued() * 2)


def _of_server(name: str, doc: str, read: Callable[[Server], Value | None], gives: str = "sint") -> None:
    def factory(server: Server) -> Fetch:
        return lambda stream: read(server)

    factory.__doc__ = doc
    fetch(name, args=_SERVER, gives=gives, source="7.3.2")(factory)


_of_server("srv_conn", "Connections in use on a server.", lambda server: server.counters.scur)
_of_server("srv_queue", "Streams waiting for a server.", lambda server: len(server.queue))
_of_server("srv_is_up", "Whether a server is up.", lambda server: server.running, "bool")
_of_server("srv_weight", "A server's weight at present.", lambda server: server.effective)
_of_server("srv_uweight", "The weight a server was given.", lambda server: server.weight)
_of_server("srv_iweight", "The weight a server began with.", lambda server: server.line.weight)
_of_server(
    "srv_conn_free",
    "Connections a server still takes; -1 without maxconn.",
    lambda server: max(0, server.maxconn - server.used) if server.maxconn else -1,
)


@fetch("srv_sess_rate", args=_SERVER, gives="sint", source="7.3.2")
def srv_sess_rate(server: Server) -> Fetch:
    """Connections per second of a server."""
    return lambda stream: server.counters.rate.read(stream.frontend.process.clock.now)


plain("fe_client_timeout", gives="sint", source="7.3.3", doc="The frontend's `timeout client`, in milliseconds.")(
    lambda stream: _milliseconds(stream.frontend.plan.client_timeout)
)
plain("fe_tarpit_timeout", gives="sint", source="7.3.3", doc="The frontend's `timeout tarpit`, in milliseconds.")(
    lambda stream: _milliseconds(stream.frontend.plan.tarpit)
)


def _backend_timeout(name: str, attribute: str) -> None:
    def own(stream: Stream) -> int | None:
        if stream.backend is None:
            return None
        return _milliseconds(getattr(stream.backend.plan, attribute))

    def current(stream: Stream) -> int | None:
        changed = getattr(stream.limits, name) if stream.limits is not None else None
        return own(stream) if changed is None else _milliseconds(changed)

    plain(f"be_{name}_timeout", gives="sint", source="7.3.3", doc=f"The backend's `timeout {name}`, in milliseconds.")(
        own
    )
    plain(
        f"cur_{name}_timeout", gives="sint", source="7.3.3", doc=f"The stream's own `timeout {name}`, in milliseconds."
    )(current)


for _name in ("server", "tunnel", "connect", "queue"):
    _backend_timeout(_name, f"{_name}_timeout")


@plain("be_tarpit_timeout", gives="sint", source="7.3.3", doc="The backend's `timeout tarpit`, in milliseconds.")
def _be_tarpit(stream: Stream) -> int | None:
    return _milliseconds(stream.backend.config.timeouts.tarpit) if stream.backend is not None else None


@plain("cur_tarpit_timeout", gives="sint", source="7.3.3", doc="The stream's own `timeout tarpit`, in milliseconds.")
def _cur_tarpit(stream: Stream) -> int | None:
    changed = stream.limits.tarpit if stream.limits is not None else None
    return _milliseconds(stream.frontend.plan.tarpit if changed is None else changed)


@plain("cur_client_timeout", gives="sint", source="7.3.3", doc="The stream's own `timeout client`, in milliseconds.")
def _cur_client(stream: Stream) -> int | None:
    changed = stream.limits.client if stream.limits is not None else None
    return _milliseconds(stream.frontend.plan.client_timeout if changed is None else changed)


@plain("be_max_retries", gives="sint", source="7.3.3", doc="The backend's `retries`.")
def _be_retries(stream: Stream) -> int | None:
    return stream.backend.plan.retries if stream.backend is not None else None


@plain("cur_max_retries", gives="sint", source="7.3.3", doc="The stream's own number of retries.")
def _cur_retries(stream: Stream) -> int | None:
    changed = stream.limits.retries if stream.limits is not None else None
    if changed is not None:
        return changed
    return stream.backend.plan.retries if stream.backend is not None else None
