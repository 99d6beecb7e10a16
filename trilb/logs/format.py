"""The fixed log lines, httplog and tcplog, as one function each, and the syslog envelope around any line. HOT.

The default formats are written out because they run for every request; the same text as a log-format gives the
same bytes (tests/logs/test_format.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from trilb.base import ip
from trilb.config.log_lines import LogTarget
from trilb.config.model import Mode
from trilb.live.process import ProcessState
from trilb.live.stream import Stream
from trilb.samples.logparts import (
    URI_LENGTH,
    backend_name,
    braces,
    cookie_flags,
    elapsed,
    request_line,
    server_name,
    transport,
    wait_connect,
    wait_queue,
    wait_response,
)
from trilb.samples.logtext import MONTHS, DateCache
from trilb.tls import facts

Line = Callable[[Stream], bytes]

HTTPLOG = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r"
TCPLOG = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq"
HTTPSLOG = (
    HTTPLOG + " %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc"
)
CLEAR: Final = b" 0/-/-/-/0 -/-/-"
"""What HTTPSLOG adds for a connection without TLS."""


def secured(stream: Stream) -> bytes:
    """What HTTPSLOG adds."""
    tls = stream.session.tls
    if tls is None:
        return CLEAR
    if tls.secured is None:
        return b" %d/%016X/0/0/0 -/-/-" % (tls.error, tls.tls_error)
    verdict = tls.verdict
    return b" %d/%016X/%d/%d/%d %b/%b/%b" % (
        tls.error,
        tls.tls_error,
        verdict.error,
        verdict.ca_error,
        tls.resumed,
        tls.sni or b"-",
        facts.version(tls),
        facts.cipher(tls),
    )


def httplog(process: ProcessState, asap: bool, captures: bool = False, tail: Line | None = None) -> Line:
    """The line of `option httplog`; with `option logasap` the running figures carry a `+`.

    `captures` tells whether the frontend captures anything; `secured` is httpslog.
    """
    dates = DateCache()
    clock = process.clock
    plus = "+" if asap else ""
    text_of: dict[bytes, str] = {}
    most = process.uri_length
    end = tail or (lambda stream: b"")

    def request(stream: Stream) -> bytes:
        return request_line(stream, most)

    def captured(stream: Stream) -> bytes:
        words = [part for part in (braces(stream, "request"), braces(stream, "response")) if part]
        return b'%b "%b' % (b" ".join(words), line(stream)) if words else b'"' + line(stream)

    line = request if most != URI_LENGTH else request_line
    last: Line = captured if captures else line
    quote = "" if captures else '"'

    def write(stream: Stream) -> bytes:
        session = stream.session
        client = text_of.get(session.client)
        if client is None:
            if len(text_of) > 4096:
                text_of.clear()
            client = text_of[session.client] = ip.text(session.client)
        backend, server = stream.backend, stream.server
        frontend = stream.frontend
        bad = stream.request is None
        cookies = "- -"
        if captures:
            sent, given = stream.cookie_captured, stream.cookie_captured_out
            cookies = f"{(sent or b'-').decode('latin-1')} {(given or b'-').decode('latin-1')}"
        return (
            (
                f"{client}:{session.client_port} [{dates.get(stream.accepted_wall)}] {transport(stream)} "
                f"{backend_name(stream)}/{server_name(stream)} "
                f"{-1 if bad else elapsed(stream.accepted, stream.received)}/{wait_queue(stream)}/"
                f"{wait_connect(stream)}/"
                f"{wait_response(stream)}/{plus}{int((clock.now - stream.accepted) * 1000 + 0.5)} {stream.status} "
                f"{plus}{stream.bytes_out} {cookies} {stream.cause}{stream.during}{cookie_flags(stream)} "
                f"{process.actconn}/{frontend.counters.scur}/{backend.counters.scur if backend is not None else 0}/"
                f"{server.used if server is not None else 0}/{'+' if stream.redispatched else ''}{stream.retries} "
                f"{stream.queue_server}/{stream.queue_backend} {quote}"
            ).encode("latin-1")
            + last(stream)
            + b'"'
            + end(stream)
        )

    return write


def tcplog(process: ProcessState, asap: bool) -> Line:
    """The line of `option tcplog`."""
    dates = DateCache()
    clock = process.clock
    plus = "+" if asap else ""

    def write(stream: Stream) -> bytes:
        session = stream.session
        backend, server = stream.backend, stream.server
        frontend = stream.frontend
        return (
            f"{ip.text(session.client)}:{session.client_port} [{dates.get(session.accepted_wall)}] {transport(stream)} "
            f"{backend_name(stream)}/{server_name(stream)} "
            f"{elapsed(session.accepted, stream.dispatched)}/{wait_connect(stream)}/"
            f"{plus}{int((clock.now - session.accepted) * 1000 + 0.5)} {plus}{stream.bytes_out} "
            f"{stream.cause}{stream.during} "
            f"{process.actconn}/{frontend.counters.scur}/{backend.counters.scur if backend is not None else 0}/"
            f"{server.used if server is not None else 0}/{'+' if stream.redispatched else ''}{stream.retries} "
            f"{stream.queue_server}/{stream.queue_backend}"
        ).encode("latin-1")

    return write


def connect_line(process: ProcessState) -> Line:
    """The line of a proxy with no log format of its own."""

    def write(stream: Stream) -> bytes:
        session = stream.session
        mode = "HTTP" if stream.frontend.config.mode is Mode.HTTP else "TCP"
        return (
            f"Connect from {ip.text(session.client)}:{session.client_port} to "
            f"{ip.text(session.local)}:{session.local_port} ({stream.frontend.name}/{mode})"
        ).encode("latin-1")

    return write


def refused_line(process: ProcessState) -> Line:
    """The line of a connection that was refused before there was a session (section 8.2.5)."""
    dates = DateCache()

    def write(stream: Stream) -> bytes:
        session = stream.session
        return (
            f"{ip.text(session.client)}:{session.client_port} [{dates.get(session.accepted_wall)}] "
            f"{stream.frontend.name}/{session.listener_name or session.listener_id}: {stream.refusal}"
        ).encode("latin-1")

    return write


def iso_date(wall: float) -> bytes:
    """`2026-11-20T22:31:03.473056+00:00`, local time."""
    second = int(wall)
    local = time.localtime(second)
    offset = time.strftime("%z", local)
    begin = time.strftime("%Y-%m-%dT%H:%M:%S", local)
    return f"{begin}.{int((wall - second) * 1_000_000):06d}{offset[:3]}:{offset[3:]}".encode()


Envelope = Callable[[bytes, int, float, bytes], bytes]


def envelope(target: LogTarget, tag: str, hostname: str, pid: int) -> Envelope:
    """The function that wraps a line: (line, level, seconds since the epoch, structured data) to a datagram with LF.

    The level is raised to the target's minimum level; the line is cut to the target's
    length, the line feed comes on top.
    """
    facility, lowest, most = target.facility << 3, target.minlevel, target.length
    ident = f"{tag}[{pid}]: ".encode()
    cache: dict[int, bytes] = {}

    if target.format == "raw":
        return lambda line, level, wall, data: line[:most] + b"\n"

    if target.format == "short":
        return lambda line, level, wall, data: (b"<%d>%b" % (max(level, lowest), line))[:most] + b"\n"

    if target.format == "priority":
        return lambda line, level, wall, data: (b"<%d>%b" % (facility | max(level, lowest), line))[:most] + b"\n"

    if target.format in ("iso", "timed"):
        timed = target.format == "timed"

        def dated(line: bytes, level: int, wall: float, data: bytes) -> bytes:
            mark = b"<%d>" % max(level, lowest) if timed else b""
            return (mark + iso_date(wall) + b" " + line)[:most] + b"\n"

        return dated

    if target.format == "rfc5424":
        middle = f" {hostname or '-'} {tag} {pid} - ".encode()

        def modern(line: bytes, level: int, wall: float, data: bytes) -> bytes:
            full = b"<%d>1 %b%b%b %b" % (facility | max(level, lowest), iso_date(wall), middle, data or b"-", line)
            return full[:most] + b"\n"

        return modern

    host = b""
    if target.format == "rfc3164" or (hostname and not target.format):
        host = f"{hostname or 'localhost'} ".encode()

    def classic(line: bytes, level: int, wall: float, data: bytes) -> bytes:
        second = int(wall)
        date = cache.get(second)
        if date is None:
            cache.clear()
            t = time.localtime(second)
            date = cache[second] = (
                f"{MONTHS[t.tm_mon - 1]} {t.tm_mday:2d} {t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} ".encode()
            )
        full = b"<%d>%b%b%b%b" % (facility | max(level, lowest), date, host, ident, line)
        return full[:most] + b"\n"

    return classic
