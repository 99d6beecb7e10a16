"""One row of a message table: what one raw exchange looks like from every side."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from tests.support.duel import Duel, Side
from tests.support.syslog import mask
from tests.support.wire import Client, request_methods

SELF_CHECK = os.environ.get("TRILB_DUEL_SUBJECT") == "haproxy"
How = Literal["responses", "half_close", "close", "upgrade"]


@dataclass(frozen=True)
class Row:
    """What to send and, where HAProxy 3.x deliberately differs from 2.6, what to get instead."""

    id: str
    raw: bytes
    how: How = "responses"
    answers: int = 0
    logs: int = 1
    port: str = "port"
    status3: int = 0
    flags3: str = ""
    then: bytes = b""

    def __str__(self) -> str:
        """Name the row in the test id."""
        return self.id


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


def observe(side: Side, row: Row, timeout: float = 5.0) -> Seen:
    """Run the row on one program."""
    for origin in side.origins:
        origin.clear()
    side.syslog.pending()
    kept: bool | None = None
    with Client(side.ports[row.port], timeout=timeout) as client:
        client.send(row.raw, half_close=row.how == "half_close")
        if row.how == "responses":
            methods = request_methods(row.raw) or ["GET"]
            for index in range(row.answers or len(methods)):
                if not client.read_response(methods[index]):
                    break
            client.kept()
            kept = client.received.endswith(_KEPT)
            answer = client.received.removesuffix(_KEPT)
        elif row.how == "upgrade":
            client.read_response("CONNECT" if row.raw.startswith(b"CONNECT") else "GET")
            client.send(row.then, half_close=True)
            client.read_all()
            answer = client.received
        else:
            client.read_all()
            answer = client.received
    logs = [mask(line, counts=True) for line in side.syslog.take(row.logs, timeout)]
    reached = any(re.search(r" be\S*/s\d (?:[-\dN]+/){2}N", line) for line in logs)
    requests, partials = side.origin.settle(2.0 if reached else 0)
    return Seen(answer, kept, requests, partials, logs)


_KEPT = b"HTTP/1.1 204 No Content\r\n\r\n"


def check(duel: Duel, row: Row, timeout: float = 5.0) -> None:
    """Assert that trilb does what HAProxy does, or what the row says of 3.x."""
    got = observe(duel.trilb, row, timeout)
    if row.status3 and not SELF_CHECK:
        assert got.status == row.status3
        assert row.flags3 in got.logs[-1]
        assert (got.requests, got.partials) == ([], []) or row.status3 < 400
        return
    assert got == observe(duel.haproxy, row, timeout)
