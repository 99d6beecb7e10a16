"""Fetches about the connection and trilb's own state (configuration.txt, sections 7.3.2 and 7.3.3)."""

from __future__ import annotations

from trilb.base.registry import Arg, Kind, optional
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import Server
from trilb.samples.types import Fetch, fetch


@fetch("always_true", gives="bool", source="7.3.2")
def always_true() -> Fetch:
    """True."""
    return lambda stream: True


@fetch("always_false", gives="bool", source="7.3.2")
def always_false() -> Fetch:
    """False."""
    return lambda stream: False


@fetch("str", args=(Arg("text"),), gives="str", source="7.3.2")
def constant_str(text: str) -> Fetch:
    """A constant string."""
    value = text.encode("latin-1")
    return lambda stream: value


@fetch("int", args=(Arg("number", Kind.INT),), gives="sint", source="7.3.2")
def constant_int(number: int) -> Fetch:
    """A constant integer."""
    return lambda stream: number


@fetch("src", gives="addr", source="7.3.3")
def src() -> Fetch:
    """The client's address."""
    return lambda stream: stream.client


@fetch("src_port", gives="sint", source="7.3.3")
def src_port() -> Fetch:
    """The client's port."""
    return lambda stream: stream.client_port


@fetch("dst", gives="addr", source="7.3.3")
def dst() -> Fetch:
    """The address the client connected to."""
    return lambda stream: stream.local


@fetch("dst_port", gives="sint", source="7.3.3")
def dst_port() -> Fetch:
    """The port the client connected to."""
    return lambda stream: stream.local_port


@fetch("fe_name", gives="str", source="7.3.3")
def fe_name() -> Fetch:
    """The frontend's name."""
    return lambda stream: stream.frontend.name.encode()


@fetch("be_name", gives="str", source="7.3.3")
def be_name() -> Fetch:
    """The backend's name; the frontend's while no backend is chosen."""
    return lambda stream: (stream.backend.name if stream.backend is not None else stream.frontend.name).encode()


@fetch("srv_name", gives="str", source="7.3.3")
def srv_name() -> Fetch:
    """The server's name, in responses."""
    return lambda stream: stream.server.name.encode() if stream.server is not None else None


@fetch("fe_conn", args=(optional("frontend", Kind.FRONTEND),), gives="sint", source="7.3.2")
def fe_conn(frontend: Frontend | None) -> Fetch:
    """Concurrent connections of a frontend."""
    if frontend is not None:
        return lambda stream: frontend.counters.scur
    return lambda stream: stream.frontend.counters.scur


@fetch("be_conn", args=(optional("backend", Kind.BACKEND),), gives="sint", source="7.3.2")
def be_conn(backend: Backend | None) -> Fetch:
    """Concurrent streams of a backend."""
    if backend is not None:
        return lambda stream: backend.counters.scur
    return lambda stream: stream.backend.counters.scur if stream.backend is not None else 0


@fetch("srv_conn", args=(Arg("server", Kind.SERVER),), gives="sint", source="7.3.2")
def srv_conn(server: Server) -> Fetch:
    """Connections in use on a server."""
    return lambda stream: server.counters.scur


@fetch("nbsrv", args=(optional("backend", Kind.BACKEND),), gives="sint", source="7.3.2")
def nbsrv(backend: Backend | None) -> Fetch:
    """Usable servers of a backend."""

    def count(target: Backend | None) -> int:
        return sum(server.effective > 0 for server in target.servers) if target is not None else 0

    if backend is not None:
        return lambda stream: count(backend)
    return lambda stream: count(stream.backend)
