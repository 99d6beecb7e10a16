"""What HAProxy 2.6 does not have, as the manual tells it: log profiles, log steps, do-log, %OG, encodings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.syslog import Syslog
from tests.support.wire import exchange

CONFIG = """
global
    log-tag lb
log-profile short
    log-tag own
    on close format "%OG %ST" sd "[a@1 st=%ST]"
    on error format "%OG bad"
log-profile any
    on any format "%OG"
log-profile silent
    on any drop
    on error format "only %OG"
log-profile here
    on http-req format "here %HM"
defaults
    mode http
    option httplog
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen profile
    bind 127.0.0.1:{port_profile}
    log 127.0.0.1:{syslog} format rfc5424 profile short local0
    log 127.0.0.1:{syslog} format raw profile silent local0
    log 127.0.0.1:{syslog} format raw profile any local0
    server s 127.0.0.1:{origin1}
listen asap
    bind 127.0.0.1:{port_asap}
    option logasap
    log 127.0.0.1:{syslog} format raw profile any local0
    server s 127.0.0.1:{origin1}
listen steps
    bind 127.0.0.1:{port_steps}
    log 127.0.0.1:{syslog} format raw profile any local0
    log-steps all
    http-request deny if {{ path /deny }}
    server s 127.0.0.1:{origin1}
listen some
    bind 127.0.0.1:{port_some}
    log 127.0.0.1:{syslog} format raw local0
    log-format "%OG"
    log-steps connect,close
    server s 127.0.0.1:{origin1}
listen tcp
    mode tcp
    option tcplog
    bind 127.0.0.1:{port_tcp}
    log 127.0.0.1:{syslog} format raw profile any local0
    log-steps accept,connect,close
    server s 127.0.0.1:{origin1}
listen now
    bind 127.0.0.1:{port_now}
    log 127.0.0.1:{syslog} format raw local0
    log-format "%OG"
    http-request do-log
    http-request do-log profile here
    http-request set-log-level silent if {{ path /silent }}
    http-request do-log
    http-response do-log profile silent
    http-response do-log
    server s 127.0.0.1:{origin1}
listen clf
    mode tcp
    bind 127.0.0.1:{port_clf}
    option tcplog clf
    log 127.0.0.1:{syslog} format raw local0
    server s 127.0.0.1:{origin1}
listen json
    bind 127.0.0.1:{port_json}
    log 127.0.0.1:{syslog} format raw local0
    option logasap
    log-format '%{{+json}}o %(request)r %(custom_expr)[str(custom)] %ci %(bytes)B %(none)[srv_name] %(n:str)ST %(rc)rc'
    http-request deny if {{ path /deny }}
    server s 127.0.0.1:{origin1}
listen cbor
    bind 127.0.0.1:{port_cbor}
    log 127.0.0.1:{syslog} format raw local0
    log-format "%{{+cbor}}o %(m)HM %(st)ST"
    server s 127.0.0.1:{origin1}
""".replace("{{", "{").replace("}}", "}")  # fmt: skip


@pytest.fixture(scope="module")
def lb() -> Iterator[tuple[Syslog, dict[str, int]]]:
    """trilb with these listeners."""
    with ExitStack() as stack:
        syslog, origin = stack.enter_context(Syslog()), stack.enter_context(Origin())
        ports = {name: free_port() for name in re.findall(r"\{(port_\w+)\}", CONFIG)}
        stack.enter_context(Program.trilb(CONFIG, syslog=syslog.port, origin1=origin.port, **ports))
        yield syslog, {name.removeprefix("port_"): port for name, port in ports.items()}


def get(path: str) -> bytes:
    """Build a request that closes."""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()


CLOSE = ["txn_close"]
ROWS: dict[str, tuple[str, bytes, list[str]]] = {
    "steps of their own": (
        "profile", get("/"), ["<134>1 DATE - own PID - [a@1 st=200] txn_close 200", "txn_close"]
    ),
    "errors": ("profile", b"X\r\n\r\n", ["<134>1 DATE - own PID - - sess_error bad", "only sess_error", "sess_error"]),
    "asap": ("asap", get("/"), ["txn_response"]),
    "all steps": (
        "steps", get("/"), ["txn_accept", "txn_request", "txn_connect", "txn_response", "txn_close"]
    ),
    "all steps of a denied request": ("steps", get("/deny"), ["txn_accept", "txn_request", "txn_close"]),
    "all steps of what is no request": ("steps", b"X\r\n\r\n", ["sess_error"]),
    "some steps": ("some", get("/"), ["txn_connect", "txn_close"]),
    "steps of TCP": ("tcp", get("/"), ["txn_accept", "txn_connect", "txn_close"]),
    "do-log": ("now", get("/"), ["http-req", "here GET", "http-req", "http-res", "txn_close"]),
    "do-log, then silence": ("now", get("/silent"), ["http-req", "here GET"]),
    "json": (
        "json",
        get('/"\\'),
        [
            '{"request": "GET /#22\\\\ HTTP/1.1", "custom_expr": "custom", "bytes": 61, "none": "s", "n": "200", '
            '"rc": 0}'
        ],
    ),
    "json, missing": (
        "json",
        get("/deny"),
        ['{"request": "GET /deny HTTP/1.1", "custom_expr": "custom", "bytes": 192, "none": null, "n": "403", "rc": 0}'],
    ),
    "cbor": ("cbor", get("/"), ["A2616D634745546273741" + "8C8"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_lines(lb: tuple[Syslog, dict[str, int]], name: str) -> None:
    """The lines of one session, in order."""
    syslog, ports = lb
    port, raw, expected = ROWS[name]
    exchange(ports[port], raw, half_close=port == "tcp")
    found = syslog.take(len(expected))
    found = [
        re.sub(r"(?<=>1 )\S+|(?<= own )\d+", lambda m: "PID" if m[0].isdigit() else "DATE", line) for line in found
    ]
    assert [line.rstrip("\n") for line in found] == expected
    exchange(ports["some"], get("/"))
    assert syslog.take(2) == ["txn_connect\n", "txn_close\n"]


def test_tcplog_clf(lb: tuple[Syslog, dict[str, int]]) -> None:
    """`option tcplog clf`."""
    syslog, ports = lb
    exchange(ports["clf"], get("/"), half_close=True)
    line = syslog.take(1)[0]
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\S+ \+0000\] "TCP " 000 54 "" "" \d+ \d{3} "clf" "clf" "s" 0 \d+ \d+ \d+ \d+ ---- '
        r'1 1 0 0 0 0 0 "" "" \n',
        line,
    )
