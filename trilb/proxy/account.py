"""What a stream is counted and logged as: who had to do with an event counts it. HOT.

Clients are counted by their frontend and its listening socket (`Session.tallies`), servers by themselves and their
backend; sticky counters have a module of their own (`tracks`).
"""

from __future__ import annotations

from collections.abc import Iterator

from trilb.live.counters import Counters
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.logs.writers import failed
from trilb.proxy import tracks


def requested(session: Session) -> None:
    """A request came, or what was meant to be one."""
    counters, process = session.frontend.counters, session.frontend.process
    now = process.clock.now
    counters.req_tot += 1
    counters.req_rate.add(now)
    process.cum_req += 1
    process.req_rate.add(now)


def bad(session: Session, status: int, cause: str, started: float, idle_since: float) -> Stream:
    """Something came that was no request: counted, and as a stream, so that it can be logged."""
    frontend = session.frontend
    clock = frontend.process.clock
    stream = Stream(session, frontend)
    stream.accepted = started or clock.now
    stream.accepted_wall = clock.wall
    stream.idle_since = idle_since
    stream.status = status
    stream.end(cause, "R")
    requested(session)
    frontend.counters.hrsp[status // 100] += 1
    tracks.asked(stream, clock.now)
    erred(stream)
    return stream


def erred(stream: Stream) -> None:
    """A request was malformed, or did not come whole."""
    for counters in stream.session.tallies():
        counters.ereq += 1
    tracks.erred(stream, stream.frontend.process.clock.now)


def denied(stream: Stream, during: str, *, ended: bool = False) -> None:
    """A rule refused a request (`during` is R), or a response.

    A backend does not count a request that was `ended` without an answer (observed).
    """
    counted = list(stream.session.tallies())
    if stream.backend is not None and not (ended and during == "R"):
        counted.append(stream.backend.counters)
    if during == "R":
        for counters in counted:
            counters.dreq += 1
        tracks.erred(stream, stream.frontend.process.clock.now)
        return
    if stream.server is not None:
        counted.append(stream.server.counters)
    for counters in counted:
        counters.dresp += 1


def intercepted(stream: Stream, during: str) -> None:
    """A frontend answered by itself."""
    if stream.backend is None and during == "R":
        stream.frontend.counters.intercepted += 1


def at_a_loss(stream: Stream) -> None:
    """We could not do what was asked of us."""
    for counters in stream.session.tallies():
        counters.eint += 1
    for counters in serving(stream):
        counters.eint += 1


def serving(stream: Stream) -> Iterator[Counters]:
    """What counts on the server's side."""
    if stream.backend is not None:
        yield stream.backend.counters
    if stream.server is not None:
        yield stream.server.counters


def answered(stream: Stream, status: int, times: int = 1) -> None:
    """A server counts what it answered, whatever becomes of it; -1 times takes it back."""
    server = stream.server
    if server is not None:
        kind = status // 100
        server.counters.hrsp[kind if 1 <= kind <= 5 else 0] += times
        server.counters.req_tot += times


def unusable(stream: Stream) -> None:
    """A server gave no response, or one that cannot be passed on."""
    tracks.failed(stream, stream.frontend.process.clock.now)
    cut_short(stream)


def cut_short(stream: Stream) -> None:
    """A response did not arrive whole."""
    for counters in serving(stream):
        counters.eresp += 1


def aborted(stream: Stream, *, client: bool) -> None:
    """The `client`, or else the server, left before the end."""
    for counters in serving(stream):
        if client:
            counters.cli_abrt += 1
        else:
            counters.srv_abrt += 1


def ended(stream: Stream) -> None:
    """A request was served, well or badly: what it moved, how it was answered, how long that took; and its log line."""
    server, backend, session = stream.server, stream.backend, stream.session
    kind = stream.status // 100
    if not 1 <= kind <= 5:
        kind = 0
    if server is not None and stream.dispatched:
        _moved(stream, server.counters)
    if backend is not None:
        _moved(stream, backend.counters)
        backend.counters.hrsp[kind] += 1
        if server is not None and stream.responded and stream.dispatched:
            _took(stream, server.counters, backend.counters)
    elif stream.frontend.own is not None and stream.request is not None:
        _moved(stream, stream.frontend.own.counters)
    _moved(stream, stream.frontend.counters)
    stream.frontend.counters.hrsp[kind] += 1
    if session.listener is not None:
        _moved(stream, session.listener)
    if not stream.logged:
        log(stream)


def _moved(stream: Stream, counters: Counters) -> None:
    counters.bin += stream.bytes_in
    counters.bout += stream.bytes_out


def _took(stream: Stream, server: Counters, backend: Counters) -> None:
    """Count how long each part took, in milliseconds."""
    dispatched, connected, responded = stream.dispatched, stream.connected, stream.responded
    now = stream.frontend.process.clock.now
    queued = int((dispatched - stream.received) * 1000)
    connect_time = int((connected - dispatched) * 1000)
    response = int((responded - connected) * 1000)
    total = int((now - (stream.idle_since or stream.accepted)) * 1000)
    server.took(queued, connect_time, response, total)
    backend.took(queued, connect_time, response, total)


def log(stream: Stream, *, early: bool = False) -> None:
    """Write what is to be logged of a stream that ended, or (logasap) has its response."""
    stream.logged = True
    plan = stream.frontend.plan
    if plan.dontlog_normal and not failed(stream):
        return
    for write_line in plan.log_early if early else plan.log if stream.request is not None else plan.log_error:
        write_line(stream)
