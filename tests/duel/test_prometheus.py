"""The Prometheus exporter side by side: the same bytes after the same traffic, but for times, sizes and versions."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.duel.test_tables import CLOSE, ask, get, request
from tests.support.duel import Duel, Side, start_duel
from tests.support.wire import parse_response

CONFIG = """
global
    stats socket {dir}/cli level admin
    maxconn 1000
    nbthread 1
    description the "whole" thing
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    option socket-stats
frontend fe
    description the back\\slash
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{other} name second maxconn 7
    http-request deny if { path /deny }
    http-request use-service prometheus-exporter if { path /metrics }
    default_backend be
backend be
    stick-table type ip size 100 expire 10s store http_req_cnt
    stick on src
    server s1 127.0.0.1:{origin} check inter 50ms maxconn 4 maxqueue 10 pool-max-conn 42
    server s2 127.0.0.1:{dead} backup check inter 50ms
    server s3 127.0.0.1:{origin} disabled
    server s4 127.0.0.1:{origin} weight 0
listen tcp
    mode tcp
    bind 127.0.0.1:{tcp}
    server t1 127.0.0.1:{origin}
backend none
"""
MOVING = re.compile(
    r"^(haproxy_process_(uptime|max_fds|max_sockets|connections_total|requests_total|current_tasks|idle_time|bytes_out"
    r"|build_info|pool_|start_time|current_run|max_connection_rate|max_session_rate|current_connection_rate"
    r"|current_session_rate|jobs|listeners)\w*"
    r"|haproxy_\w+_(last_change_seconds|last_session_seconds|downtime_seconds_total|check_duration_seconds"
    r"|\w+_time_(average_)?seconds|max_session_rate|rate_max|(idle|need)_connections_current|bytes_out_total)"
    r"|haproxy_\w+?_(max_sessions|check_failures_total))(\{.*\})? \S+$",
    re.MULTILINE,
)


def scrape(side: Side, query: str = "") -> tuple[int, str]:
    status, fields, body = parse_response(get(side.port, request(f"/metrics{query}", CLOSE)))
    assert status != 200 or dict(fields)["content-type"] == "text/plain; version=0.0.4"
    return status, re.sub(r"(?ms)^# HELP haproxy_resolver_.*\Z", "", body.decode())


def still(text: str) -> list[str]:
    return [MOVING.sub(r"\1 N", line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def duel() -> Iterator[Duel]:
    with start_duel(CONFIG) as made:
        for side in (made.haproxy, made.trilb):
            for path in ("/", "/deny", "/", "/x"):
                get(side.port, request(path, CLOSE))
            get(side.ports["other"], b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
            get(side.ports["tcp"], request("/", CLOSE))
            until = time.monotonic() + 5
            while ",L4CON," not in ask(side, "show stat be 4 2"):
                assert time.monotonic() < until
                time.sleep(0.02)
        yield made


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?scope=*",
        "?scope=global",
        "?scope=frontend&scope=backend",
        "?scope=listener",
        "?scope=server&no-maint",
        "?no-maint=1",
        "?scope=sticktable",
        "?scope=",
        "?scope=server&scope=",
        "?scope=&scope=frontend",
        "?other=1&scope=frontend",
    ],
)
def test_the_same_metrics(duel: Duel, query: str) -> None:
    (status, expected), (got, found) = duel.both(lambda side: scrape(side, query))
    assert (got, status) == (200, 200)
    differ = [pair for pair in zip(still(expected), still(found), strict=True) if pair[0] != pair[1]]
    assert differ == []


@pytest.mark.parametrize("query", ["?scope", "?scope=x", "?scope=frontend%26"])
def test_the_same_refusals(duel: Duel, query: str) -> None:
    assert duel.same(lambda side: scrape(side, query)[0]) == 400


def test_what_newer_ones_add(duel: Duel) -> None:
    _, text = scrape(duel.trilb, "?scope=frontend&metrics=haproxy_frontend_status,haproxy_frontend_bytes_in_total")
    assert [line for line in text.splitlines() if line[0] == "#"] == [
        "# HELP haproxy_frontend_bytes_in_total Total number of request bytes since process started",
        "# TYPE haproxy_frontend_bytes_in_total counter",
        "# HELP haproxy_frontend_status Current status of the service, per state label value.",
        "# TYPE haproxy_frontend_status gauge",
    ]
    _, text = scrape(duel.trilb, "?scope=frontend&metrics=-haproxy_frontend_status")
    assert "haproxy_frontend_status" not in text and "haproxy_frontend_bytes_in_total" in text
    _, text = scrape(duel.trilb, "?scope=frontend&desc-labels")
    assert 'haproxy_frontend_current_sessions{proxy="fe",desc="the back\\\\slash"} ' in text
    _, text = scrape(duel.trilb, "?scope=frontend&extra-counters")
    assert 'haproxy_frontend_ssl_sess{proxy="fe",mod="ssl"} 0\n' in text
    assert "# TYPE haproxy_frontend_h1_open_connections gauge\n" in text
    assert "None" not in text
