"""Log formats: `%variables` and `%[expressions]` compiled to one closure (configuration.txt, section 8.2.6).

Also used for header values (`http-request set-header`). Everything is bytes. Runs of blanks collapse to one,
as HAProxy's formats do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from trilb.base import ip
from trilb.base.registry import Registry
from trilb.config.model import Format, Literal, Mode, Sample, Variable
from trilb.live.process import ProcessState
from trilb.live.stream import Stream
from trilb.samples import build
from trilb.samples.types import Resolver

Writer = Callable[[Stream], bytes]
VariableFactory = Callable[[ProcessState], Writer]
variables: Registry[VariableFactory] = Registry("log format variable")

_URL_UNSAFE = re.compile(rb'[\x00-\x1f"#\x7f-\xff]')
_HEADER_UNSAFE = re.compile(rb'[\x00-\x1f"#{|}\x7f-\xff]')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _hex(match: re.Match[bytes]) -> bytes:
    return b"#%02X" % match[0][0]


def url_escape(value: bytes) -> bytes:
    """Escape what must not stand in a log line, `"` as `#22`."""
    return _URL_UNSAFE.sub(_hex, value)


def header_escape(value: bytes) -> bytes:
    """The same for captured headers, which also delimit by braces and bars."""
    return _HEADER_UNSAFE.sub(_hex, value)


class DateCache:
    """Log dates, formatted once a second: `20/Nov/2026:22:30:01` in local time."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def get(self, wall: float) -> str:
        """The date of `wall` (seconds since the epoch) with milliseconds."""
        second = int(wall)
        if second != self._second:
            t = time.localtime(second)
            self._text = (
                f"{t.tm_mday:02d}/{_MONTHS[t.tm_mon - 1]}/{t.tm_year}:{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"
            )
            self._second = second
        return f"{self._text}.{int((wall - second) * 1000):03d}"


def elapsed(start: float, end: float) -> int:
    """Milliseconds between two times of the loop; -1 when the end was not reached."""
    return int((end - start) * 1000 + 0.5) if end else -1


def request_line(stream: Stream) -> bytes:
    """`GET / HTTP/1.1` as received, or `<BADREQ>`."""
    head = stream.request
    if head is None:
        return b"<BADREQ>"
    if head.spoken:
        return b"%b %b HTTP/%b" % (stream.method, url_escape(stream.target), head.spoken)
    return b"%b %b HTTP/1.%d" % (stream.method, url_escape(stream.target), head.version - 10)


def backend_name(stream: Stream) -> str:
    """The backend's name; the frontend's while none was chosen."""
    return stream.backend.name if stream.backend is not None else stream.frontend.name


def server_name(stream: Stream) -> str:
    """The server's name, `<NOSRV>` without one, `<STATS>` for the statistics page."""
    if stream.server is not None:
        return stream.server.name
    return "<STATS>" if stream.cause == "L" and stream.connected else "<NOSRV>"


def wait_queue(stream: Stream) -> int:
    """%Tw."""
    return elapsed(stream.received or stream.accepted, stream.dispatched)


def wait_connect(stream: Stream) -> int:
    """%Tc."""
    return elapsed(stream.dispatched, stream.connected)


def wait_response(stream: Stream) -> int:
    """%Tr."""
    return elapsed(stream.connected, stream.responded)


def _register(name: str, doc: str, function: Callable[[Stream, ProcessState], object]) -> None:
    def factory(process: ProcessState) -> Writer:
        def write(stream: Stream) -> bytes:
            value = function(stream, process)
            return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")

        return write

    factory.__doc__ = doc
    variables.register(name, source="8.2.6")(factory)


_dates = DateCache()


def _http(stream: Stream) -> bool:
    return stream.frontend.config.mode is Mode.HTTP


def _part(stream: Stream, part: str) -> bytes:
    head = stream.request
    if head is None:
        return b"<BADREQ>"
    path, question, query = stream.target.partition(b"?")
    if part == "path":
        return url_escape(path)
    if part == "pathonly":
        return url_escape(re.sub(rb"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*", b"", path))
    return url_escape(question + query)


for _name, _doc, _function in (
    ("ci", "client address", lambda s, p: ip.text(s.session.client)),
    ("cp", "client port", lambda s, p: s.session.client_port),
    ("fi", "frontend address", lambda s, p: ip.text(s.session.local)),
    ("fp", "frontend port", lambda s, p: s.session.local_port),
    ("f", "frontend name", lambda s, p: s.frontend.name),
    ("ft", "frontend name, ~ with TLS", lambda s, p: s.frontend.name),
    ("b", "backend name", lambda s, p: backend_name(s)),
    ("s", "server name", lambda s, p: server_name(s)),
    ("si", "server address", lambda s, p: s.server.address[0] if s.server and s.server.address else "-"),
    ("sp", "server port", lambda s, p: s.server.address[1] if s.server and s.server.address else 0),
    ("t", "accept date", lambda s, p: _dates.get(s.session.accepted_wall)),
    ("tr", "request date", lambda s, p: _dates.get(s.accepted_wall)),
    ("ts", "termination state", lambda s, p: s.cause + s.during),
    ("tsc", "termination state with cookies", lambda s, p: s.cause + s.during + cookie_flags(s)),
    ("TR", "request time", lambda s, p: elapsed(s.accepted, s.received)),
    ("Tq", "idle and request time", lambda s, p: elapsed(s.idle_since or s.session.accepted, s.received)),
    ("Ti", "idle time", lambda s, p: elapsed(s.idle_since or s.session.accepted, s.accepted)),
    ("Th", "handshake time", lambda s, p: 0),
    ("Tw", "queue time", lambda s, p: wait_queue(s)),
    ("Tc", "connect time", lambda s, p: wait_connect(s)),
    ("Tr", "response time", lambda s, p: wait_response(s)),
    ("Td", "data time", lambda s, p: elapsed(s.responded or s.connected, p.clock.now) if s.connected else -1),
    ("Ta", "active time", lambda s, p: elapsed(s.accepted, p.clock.now)),
    ("Tt", "total time", lambda s, p: elapsed(s.idle_since or s.session.accepted, p.clock.now)),
    ("ST", "status", lambda s, p: s.status),
    ("B", "bytes sent to the client", lambda s, p: s.bytes_out),
    ("U", "bytes received from the client", lambda s, p: s.bytes_in),
    ("CC", "captured request cookie", lambda s, p: "-"),
    ("CS", "captured response cookie", lambda s, p: "-"),
    ("ac", "process connections", lambda s, p: p.actconn),
    ("fc", "frontend connections", lambda s, p: s.frontend.counters.scur),
    ("bc", "backend connections", lambda s, p: s.backend.counters.scur if s.backend is not None else 0),
    ("sc", "server connections", lambda s, p: s.server.counters.scur if s.server is not None else 0),
    ("rc", "retries", lambda s, p: ("+" if s.redispatched else "") + str(s.retries)),
    ("sq", "server queue", lambda s, p: s.queue_server),
    ("bq", "backend queue", lambda s, p: s.queue_backend),
    ("hr", "captured request headers", lambda s, p: b""),
    ("hs", "captured response headers", lambda s, p: b""),
    ("r", "request line", lambda s, p: request_line(s) if _http(s) else b"-"),
    ("HM", "method", lambda s, p: s.request.method if s.request is not None else b"<BADREQ>"),
    ("HU", "target", lambda s, p: url_escape(s.target) if s.request is not None else b"<BADREQ>"),
    ("HV", "HTTP version", lambda s, p: b"HTTP/1.%d" % (s.request.version - 10) if s.request else b"<BADREQ>"),
    ("HP", "path", lambda s, p: _part(s, "path")),
    ("HPO", "path without host", lambda s, p: _part(s, "pathonly")),
    ("HQ", "query", lambda s, p: _part(s, "query")),
    ("H", "host name", lambda s, p: p.hostname),
    ("pid", "process id", lambda s, p: p.pid),
    ("rt", "request counter", lambda s, p: s.session.requests),
    ("lc", "log counter", lambda s, p: s.frontend.counters.req_tot),
    ("Ts", "timestamp", lambda s, p: int(s.accepted_wall)),
    ("ms", "milliseconds", lambda s, p: f"{int(s.accepted_wall * 1000) % 1000:03d}"),
):
    _register(_name, _doc, _function)  # type: ignore[no-untyped-call,unused-ignore]


def cookie_flags(stream: Stream) -> str:
    """The third and fourth letter; both `-` unless the backend's cookie sets flags (a passive one never does)."""
    backend = stream.backend
    if backend is None or backend.plan.persist is None or not backend.plan.cookie_flags:
        return "--"
    return stream.cookie_in + stream.cookie_out


_BLANKS = re.compile(rb" +")


def compile_format(items: Format, resolver: Resolver, process: ProcessState) -> Writer:
    """One closure for a whole format. A missing sample is empty, or `-` with the flag M."""
    writers: list[Writer] = []
    for item in items:
        if isinstance(item, Literal):
            text = _BLANKS.sub(b" ", item.text.encode("latin-1"))
            writers.append(lambda stream, text=text: text)  # type: ignore[misc]
            continue
        if isinstance(item, Sample):
            run = build.text(item.expr, resolver)
            writer: Writer = lambda stream, run=run: run(stream) or b""  # type: ignore[misc]  # noqa: E731
        else:
            writer = variables.entries[item.name].factory(process)
            if "X" in item.flags and item.name in ("ci", "fi", "cp", "fp", "Ts", "rt", "pid", "ms"):
                writer = _hexadecimal(writer)
        writers.append(_flagged(writer, item.flags))
    if len(writers) == 1:
        return writers[0]
    plain = tuple(writers)
    literal = tuple(isinstance(item, Literal) for item in items)
    if not any(isinstance(item, Literal) and item.text.startswith(" ") for item in items):
        return lambda stream: b"".join([write(stream) for write in plain])
    # Captures that are not there leave no place behind, everything else does.
    vanishing = tuple(isinstance(item, Variable) and item.name in ("hr", "hs") for item in items)
    mixed = tuple(zip(literal, vanishing, writers, strict=True))

    def collapsed(stream: Stream) -> bytes:
        # Blanks around an empty variable collapse to one, as those of a literal do.
        out, blank = [], False
        for fixed, vanishes, write in mixed:
            text = write(stream)
            if fixed and blank and text.startswith(b" "):
                text = text[1:]
            if text:
                out.append(text)
                blank = fixed and text.endswith(b" ")
            elif not fixed and not vanishes:
                blank = False
        return b"".join(out)

    return collapsed


def _hexadecimal(inner: Writer) -> Writer:
    def write(stream: Stream) -> bytes:
        value = inner(stream)
        if value.isdigit():
            return b"%X" % int(value)
        return ip.packed(value.decode()).hex().upper().encode()

    return write


def _flagged(inner: Writer, flags: frozenset[str]) -> Writer:
    if not flags & {"Q", "M", "E"}:
        return inner
    quote, mark, escape = "Q" in flags, "M" in flags, "E" in flags

    def write(stream: Stream) -> bytes:
        value = inner(stream)
        if not value and mark and not quote:
            return b"-"
        if escape:
            value = re.sub(rb'(["\\\]])', rb"\\\1", value)
        return b'"%b"' % value if quote else value

    return write
