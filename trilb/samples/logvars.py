"""The `%variables` of log formats (configuration.txt, section 8.2.6).

A variable is a function of the stream and the process; what it gives follows from its kind: `sint` an int, `str`
bytes, `addr` a packed address, `port` an int, `list` captures in order, `fixed` bytes that are never quoted. None is
a value that is not there. How a value is written, quoted, escaped or in hexadecimal, is logformat's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trilb.base import ip
from trilb.base.registry import Registry
from trilb.config.model import Mode
from trilb.live.process import ProcessState
from trilb.live.stream import Stream
from trilb.samples.logparts import (
    BAD,
    backend_name,
    braces,
    captured,
    cookie_flags,
    elapsed,
    line_of,
    request_line,
    server_name,
    transport,
    wait_connect,
    wait_queue,
    wait_response,
)
from trilb.samples.logtext import DateCache, header_escape, local_date, url_escape, utc_date
from trilb.tls import facts

if TYPE_CHECKING:
    from trilb.live.server import Server

Field = int | bytes | Sequence[bytes | None] | None
Reader = Callable[[Stream], Field]
VariableFactory = Callable[[ProcessState], Reader]
variables: Registry[VariableFactory] = Registry("log format variable")

_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")


# -- times ---------------------------------------------------------------------------------------------------------


def _began(stream: Stream) -> float:
    return stream.idle_since or stream.session.accepted


def _handshake(stream: Stream) -> int:
    session = stream.session
    return max(0, round((session.secured - session.accepted) * 1000)) if session.secured and not session.requests else 0


# -- the request ---------------------------------------------------------------------------------------------------


def _target(stream: Stream, process: ProcessState) -> bytes | None:
    """The target as far as the request line is kept, None without a request."""
    if stream.request is None:
        return None
    method = stream.method or stream.request.method
    return stream.target[: max(0, process.uri_length - len(method) - 1)]


def _uri(stream: Stream, process: ProcessState) -> bytes:
    target = _target(stream, process)
    return BAD if target is None else url_escape(target)


def _path(stream: Stream, process: ProcessState) -> bytes:
    target = _target(stream, process)
    return BAD if target is None else url_escape(target.partition(b"?")[0])


def _path_only(stream: Stream, process: ProcessState) -> bytes:
    target = _target(stream, process)
    if target is None:
        return BAD
    path = _AUTHORITY.sub(b"", target.partition(b"?")[0], count=1)
    return url_escape(path) if path.startswith(b"/") else b""


def _query(stream: Stream, process: ProcessState) -> bytes:
    target = _target(stream, process)
    if target is None:
        return BAD
    _, mark, query = target.partition(b"?")
    return url_escape(mark + query)


def _version(stream: Stream, process: ProcessState) -> bytes:
    """The version as far as it was kept: of a request line that was cut in front of it, HTTP/0.9 is left (observed)."""
    head = stream.request
    if head is None:
        return BAD
    before = len(stream.method or head.method) + len(stream.target) + 2
    return line_of(stream, process.uri_length)[before:] or b"HTTP/0.9"


# -- names and addresses -------------------------------------------------------------------------------------------


def _tried(stream: Stream) -> Server | None:
    return stream.server if stream.dispatched else None


def _server_address(stream: Stream) -> bytes | None:
    server = _tried(stream)
    if server is None or not isinstance(server.address, tuple):
        return None
    return ip.packed(server.address[0])


def _server_port(stream: Stream) -> int | None:
    server = _tried(stream)
    if server is None or not isinstance(server.address, tuple):
        return None
    if server.port_offset is not None:
        return (stream.local_port + server.port_offset) & 0xFFFF
    return server.address[1]


def _source_address(stream: Stream) -> bytes | None:
    return ip.unmapped(ip.packed(stream.bound[0])) if isinstance(stream.bound, tuple) and stream.bound else None


def _source_port(stream: Stream) -> int | None:
    return stream.bound[1] if isinstance(stream.bound, tuple) and stream.bound else None


def _unique(stream: Stream) -> bytes | None:
    make = stream.frontend.plan.unique_id
    return make(stream) if make is not None and stream.request is not None else stream.unique


# -- captures ------------------------------------------------------------------------------------------------------


def _each(stream: Stream, side: str) -> list[bytes | None]:
    return [header_escape(value) if value else None for value in captured(stream, side)]


_dates = DateCache()
_ROWS: tuple[tuple[str, str, Callable[[Stream, ProcessState], Any], str], ...] = (
    ("T", "fixed", lambda s, p: utc_date(s.session.accepted_wall).encode(), "Date of the connection, UTC."),
    ("Tl", "fixed", lambda s, p: local_date(s.session.accepted_wall).encode(), "Date of the connection, local time."),
    ("t", "fixed", lambda s, p: _dates.get(s.session.accepted_wall).encode(), "Date of the connection, milliseconds."),
    ("ci", "addr", lambda s, p: s.session.client, "The client's address."),
    ("fi", "addr", lambda s, p: s.session.local, "The address the client connected to."),
    ("bi", "addr", lambda s, p: _source_address(s), "The address the server connection comes from."),
    ("si", "addr", lambda s, p: _server_address(s), "The server's address."),
    ("cp", "port", lambda s, p: s.session.client_port, "The client's port."),
    ("fp", "port", lambda s, p: s.session.local_port, "The port the client connected to."),
    ("bp", "port", lambda s, p: _source_port(s), "The port the server connection comes from."),
    ("sp", "port", lambda s, p: _server_port(s), "The server's port."),
    ("f", "str", lambda s, p: s.frontend.name.encode(), "The frontend's name."),
    ("ft", "str", lambda s, p: transport(s).encode(), "The frontend's name, with `~` behind it when TLS is used."),
    ("b", "str", lambda s, p: backend_name(s).encode(), "The backend's name, the frontend's without one."),
    ("s", "str", lambda s, p: server_name(s).encode(), "The server's name."),
    ("ts", "fixed", lambda s, p: (s.cause + s.during).encode(), "Why and when the stream ended."),
    ("Tc", "sint", lambda s, p: wait_connect(s), "Milliseconds to connect to the server."),
    ("Th", "sint", lambda s, p: _handshake(s), "Milliseconds of handshakes (TLS, PROXY protocol)."),
    ("Tw", "sint", lambda s, p: wait_queue(s), "Milliseconds in queues."),
    ("ST", "sint", lambda s, p: s.status if s.frontend.config.mode is Mode.HTTP else 0, "The status answered."),
    ("U", "sint", lambda s, p: s.bytes_in, "Bytes received from the client."),
    ("ac", "sint", lambda s, p: p.actconn, "Connections of the process."),
    ("fc", "sint", lambda s, p: s.frontend.counters.scur, "Connections of the frontend."),
    ("bc", "sint", lambda s, p: s.backend.counters.scur if s.backend else 0, "Streams of the backend."),
    ("sc", "sint", lambda s, p: s.server.used if s.server else 0, "Streams on the server."),
    ("sq", "sint", lambda s, p: s.queue_server, "Requests ahead in the server's queue."),
    ("bq", "sint", lambda s, p: s.queue_backend, "Requests ahead in the backend's queue."),
    ("rc", "fixed", lambda s, p: b"%b%d" % (b"+" * s.redispatched, s.retries), "Retries, with `+` if redispatched."),
    ("H", "str", lambda s, p: p.hostname.encode(), "The host's name."),
    ("ID", "str", lambda s, p: _unique(s), "The unique id (unique-id-format)."),
    ("OG", "str", lambda s, p: p.log_origin, "Where the line was made: txn_close, sess_error, http-req ..."),
    (
        "sslc",
        "str",
        lambda s, p: facts.cipher(s.session.tls) if s.session.tls and s.session.tls.secured else None,
        "The TLS cipher of the client's connection.",
    ),
    (
        "sslv",
        "str",
        lambda s, p: facts.version(s.session.tls) if s.session.tls and s.session.tls.secured else None,
        "The TLS version of the client's connection.",
    ),
    ("hr", "str", lambda s, p: braces(s, "request"), "Captured request headers in braces."),
    ("hs", "str", lambda s, p: braces(s, "response"), "Captured response headers in braces."),
    ("hrl", "list", lambda s, p: _each(s, "request"), "Captured request headers one by one."),
    ("hsl", "list", lambda s, p: _each(s, "response"), "Captured response headers one by one."),
    ("Ts", "sint", lambda s, p: int(s.session.accepted_wall), "Date of the connection, seconds since 1970."),
    ("ms", "sint", lambda s, p: int(s.session.accepted_wall * 1000) % 1000, "Milliseconds of the connection's date."),
    ("rt", "sint", lambda s, p: s.number, "How many streams the process had before this one."),
    ("pid", "sint", lambda s, p: p.pid, "The process id."),
    ("lc", "sint", lambda s, p: s.frontend.log_count, "How many lines the frontend logged."),
    (
        "Td",
        "sint",
        lambda s, p: elapsed(s.responded or s.connected, p.clock.now) if s.connected else -1,
        "Transfer time.",
    ),
    (
        "Tt",
        "sint",
        lambda s, p: elapsed(_began(s), p.clock.now),
        "Milliseconds from the last response, or all.",
    ),
    (
        "Tu",
        "sint",
        lambda s, p: elapsed(s.accepted, p.clock.now),
        "Milliseconds that the user sees: no idle time.",
    ),
    ("B", "sint", lambda s, p: s.bytes_out, "Bytes sent to the client."),
    ("tr", "fixed", lambda s, p: _dates.get(s.accepted_wall).encode(), "Date of the request, milliseconds."),
    ("trg", "fixed", lambda s, p: utc_date(s.accepted_wall).encode(), "Date of the request, UTC."),
    ("trl", "fixed", lambda s, p: local_date(s.accepted_wall).encode(), "Date of the request, local time."),
    ("Ti", "sint", lambda s, p: elapsed(_began(s), s.accepted), "Milliseconds idle before the request."),
    ("TR", "sint", lambda s, p: elapsed(s.accepted, s.received) if s.request else -1, "Ms to receive the request."),
    ("Tq", "sint", lambda s, p: elapsed(_began(s), s.received) if s.request else -1, "Ti and TR together."),
    ("Tr", "sint", lambda s, p: wait_response(s), "Milliseconds until the response."),
    ("CC", "str", lambda s, p: s.cookie_captured, "The captured request cookie."),
    ("CS", "str", lambda s, p: s.cookie_captured_out, "The captured response cookie."),
    ("HM", "str", lambda s, p: (s.method or s.request.method) if s.request else BAD, "The request's method."),
    ("HP", "str", _path, "The target without query string."),
    ("HPO", "str", _path_only, "The path, without host or query string."),
    ("HQ", "str", _query, "The query string with its question mark."),
    ("HU", "str", _uri, "The target as received."),
    ("HV", "str", _version, "The request's HTTP version."),
    ("r", "str", lambda s, p: request_line(s, p.uri_length), "The request line as received."),
    ("tsc", "fixed", lambda s, p: (s.cause + s.during + cookie_flags(s)).encode(), "`ts` and the cookie's flags."),
    ("Ta", "sint", lambda s, p: elapsed(s.accepted, p.clock.now), "Milliseconds the request was active."),
)
_HEX = {"Ts": b"%04X", "rt": b"%04X", "pid": b"%04X", "lc": b"%04X", "ms": b"%02X"}
"""Numbers that the flag X turns into hexadecimal."""
_PLUS = frozenset(("B", "Ta", "Tt", "Tu"))
"""Figures that still run when logasap writes its line."""
_HTTP = frozenset("tr trg trl Ti TR Tq Tr Ta CC CS HM HP HPO HQ HU HV r tsc".split())
"""Variables of mode http alone."""


def _register(name: str, kind: str, function: Callable[[Stream, ProcessState], Any], doc: str) -> None:
    def factory(process: ProcessState) -> Reader:
        return lambda stream: function(stream, process)

    factory.__doc__ = doc
    enter = variables.register(
        name, source="8.2.6", kind=kind, http=name in _HTTP, hex=_HEX.get(name), plus=name in _PLUS
    )
    enter(factory)


for _row in _ROWS:
    _register(*_row)
