"""What a `listen` section answers by itself: both its rows count the bytes, as HAProxy's do."""

from __future__ import annotations

import csv
import io
import time

import pytest

from tests.duel.test_tables import ask
from tests.support.duel import Duel, Side, start_duel
from tests.support.wire import exchange

REQUESTS = [
    "GET /return",
    "GET /deny",
    "GET /redirect",
    "GET /monitor",
    "POST /stats",
    "GET /server",
]
CONFIG = """
global
    stats socket {dir}/cli level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
""" + "".join(
    f"""
listen l{number}
    bind 127.0.0.1:{{port{number}}}
    monitor-uri /monitor
    stats uri /stats
    stats auth a:b
    stats admin if {{ method POST }}
    http-request return status 200 content-type text/plain string hello if {{ path /return }}
    http-request deny if {{ path /deny }}
    http-request redirect location /x if {{ path /redirect }}
    server a 127.0.0.1:{{origin}}
"""
    for number in range(len(REQUESTS))
)
COMPARED = "svname bin bout stot dreq hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx req_tot intercepted".split()


@pytest.fixture(scope="module")
def found() -> tuple[list[list[str]], list[list[str]]]:
    """The rows of both programs after every request."""

    def rows(side: Side) -> list[list[str]]:
        for number, line in enumerate(REQUESTS):
            body = "s=a&action=ready&b=l4" if line.startswith("POST") else ""
            fields = ["Host: h", "Connection: close"]
            if body:
                fields += ["Authorization: Basic YTpi", f"Content-Length: {len(body)}"]
            exchange(side.ports[f"port{number}"], "\r\n".join([f"{line} HTTP/1.1", *fields, "", body]).encode())
        deadline = time.monotonic() + 2
        table = list(csv.DictReader(io.StringIO(ask(side, "show stat").removeprefix("# "))))
        while any(row["scur"] == "1" for row in table) and time.monotonic() < deadline:
            table = list(csv.DictReader(io.StringIO(ask(side, "show stat").removeprefix("# "))))
        return [[row["pxname"], *(row[name] for name in COMPARED)] for row in table if row["svname"] != "a"]

    def both(duel: Duel) -> tuple[list[list[str]], list[list[str]]]:
        return rows(duel.haproxy), rows(duel.trilb)

    with start_duel(CONFIG) as duel:
        return both(duel)


@pytest.mark.parametrize("number", range(len(REQUESTS)), ids=REQUESTS)
def test_both_rows(found: tuple[list[list[str]], list[list[str]]], number: int) -> None:
    """Frontend and backend."""
    expected, got = ([row for row in side if row[0] == f"l{number}"] for side in found)
    assert len(expected) == 2
    assert got == expected
