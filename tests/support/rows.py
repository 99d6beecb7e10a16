"""Tables of raw exchanges: what to send, and what it looks like from every side."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import pytest

from tests.support.duel import Duel, Side
from tests.support.syslog import mask
from tests.support.wire import Client, exchange, request_methods, split_responses

SELF_CHECK = os.environ.get("TRILB_DUEL_SUBJECT") == "haproxy"
CRLF = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
# answered and silent in the frontend: tells whether a connection is kept without touching the origin
KEPT_RULES = """
    http-request set-log-level silent if { path /kept }
    http-request return status 204 if { path /kept }
"""
_KEPT = b"HTTP/1.1 204 No Content\r\n\r\n"

How = Literal[
    "responses",  # read one response per request, then probe whether the connection is kept
    "half_close",  # shut down our sending side after raw, read until the peer closes
    "cut",  # wait until `then` reached the origin, shut down our sending side, read until the peer closes
    "close",  # read until the peer closes
    "idle",  # read one response, send `then`, read until the peer closes
    "tunnel",  # read one response head, send `then`, shut down, read until the peer closes
    "hangup",  # close at once
    "reset",  # reset at once
]


@dataclass(frozen=True)
class Row:
    """One exchange; the fields ending in 3 say what to expect of HAProxy 3.x where it differs from 2.6."""

    id: str
    raw: bytes
    how: How = "responses"
    then: bytes = b""
    answers: int = 0
    logs: int = 1
    port: str = "port"
    status3: int = 0
    flags3: str = "PR--"
    forwarded3: bytes = b""


@dataclass(frozen=True)
class Seen:
    """What one program did with a row."""

    answer: bytes
    kept: bool | None
    requests: list[bytes]
    partials: list[bytes]
    logs: list[str]

    @property
    def status(self) -> int:
        """Status of the last response, 0 without one."""
        found = re.findall(rb"HTTP/\d\.\d (\d{3}) ", self.answer)
        return int(found[-1]) if found else 0


def request(
    *headers: bytes,
    method: bytes = b"GET",
    target: bytes = b"/",
    version: bytes = b"HTTP/1.1",
    host: bytes | None = b"a",
    body: bytes = b"",
) -> bytes:
    """Build a request; host None leaves the header out."""
    lines = [b"%b %b %b" % (method, target, version)]
    lines += [] if host is None else [b"Host: " + host]
    return CRLF.join([*lines, *headers, b"", body])


def post(*headers: bytes, target: bytes = b"/", version: bytes = b"HTTP/1.1", body: bytes = b"") -> bytes:
    """Build a POST request."""
    return request(*headers, method=b"POST", target=target, version=version, body=body)


def chunked(body: bytes, *headers: bytes) -> bytes:
    """Build a chunked POST request with this raw body."""
    return post(b"Transfer-Encoding: chunked", *headers, body=body)


def one_chunk(message: bytes) -> bytes:
    """Join the chunks of a message: where they are cut depends on timing."""
    head, gap, rest = message.partition(b"\r\n\r\n")
    if not re.search(rb"(?im)^transfer-encoding:.*chunked", head):
        return message
    data = b""
    while (found := re.match(rb"([0-9A-Fa-f]+)\r\n", rest)) and (size := int(found[1], 16)):
        data, rest = data + rest[found.end() : found.end() + size], rest[found.end() + size + 2 :]
    return b"%b%b{%b}%b" % (head, gap, data, rest)


def observe(side: Side, row: Row, timeout: float = 5.0) -> Seen:
    """Run the row on one program."""
    for origin in side.origins:
        origin.clear()
    side.syslog.pending()
    kept: bool | None = None
    methods = request_methods(row.raw) or ["GET"]
    with Client(side.ports[row.port], timeout=timeout) as client:
        client.send(row.raw, half_close=row.how == "half_close")
        if row.how == "responses":
            for index in range(row.answers or len(methods)):
                if not client.read_response(methods[index]):
                    break
            client.kept()
            kept = client.received.endswith(_KEPT)
        elif row.how == "hangup":
            client.close()
        elif row.how == "reset":
            client.reset()
        else:
            if row.how == "cut":
                side.origin.wait_bytes(row.then)
                client.send(b"", half_close=True)
            elif row.how in ("idle", "tunnel"):
                client.read_response(methods[0])
                client.send(row.then, half_close=row.how == "tunnel")
            client.read_all()
        answer = client.received.removesuffix(_KEPT)
    logs = [_comparable(line) for line in side.syslog.take(row.logs, timeout)]
    if not row.logs:
        exchange(side.port, request(target=b"/marker"))
        assert "/marker" in side.syslog.take(1, timeout)[0]
        side.origin.wait(1)
        side.origin.clear()
    reached = any(re.search(r" \S+/s\d (?:[-\dN]+/){2}N", line) for line in logs)
    requests, partials = side.origin.settle(2.0 if reached else 0)
    answer = b"".join(one_chunk(m) for m in split_responses(answer, methods))
    return Seen(answer, kept, [one_chunk(m) for m in requests], [one_chunk(m) for m in partials], logs)


def _comparable(line: str) -> str:
    line = mask(line, counts=True)[:500]  # a line of 1024 bytes is cut, so its end depends on what is masked
    # a client that leaves while its body is forwarded: D or L depends on which side is noticed first
    return re.sub(r" -1 0 - - C[DL]-- ", " -1 0 - - C(D|L)-- ", line)


def check(duel: Duel, row: Row, timeout: float = 5.0) -> None:
    """Assert that trilb does what HAProxy does, or what the row says of 3.x."""
    if row.status3 or row.forwarded3:
        if SELF_CHECK:
            pytest.skip("HAProxy 3.x differs")
        got = observe(duel.trilb, row, timeout)
        if row.status3:
            assert got.status == row.status3
            assert not got.kept or row.status3 >= 500
            assert f" {row.status3} " in got.logs[-1]
            assert f" - - {row.flags3} " in got.logs[-1]
            assert got.requests == [] or row.status3 >= 500
        if row.forwarded3:
            assert got.requests == [row.forwarded3]
        return
    with ThreadPoolExecutor(2) as pool:
        expected, found = pool.map(lambda side: observe(side, row, timeout), (duel.haproxy, duel.trilb))
    assert found == expected
