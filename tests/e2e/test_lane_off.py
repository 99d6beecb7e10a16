"""`tune.h1.fast-lane off`: nothing goes through the lane, of clients, of servers, or of tunnels that are looked at."""

from __future__ import annotations

import sys

import pytest

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import LANE_OFF, Program
from tests.support.wire import exchange

NO_LANE = """
from trilb.http import lane
def refuse(data):
    raise RuntimeError("the lane was asked")
lane.request = lane.response = refuse
from trilb.__main__ import run
run()
"""
CONFIG = """
defaults
    timeout connect 2s
    timeout client 5s
    timeout server 5s
frontend web
    mode http
    bind 127.0.0.1:{port}
    default_backend app
frontend looked-at
    mode tcp
    bind 127.0.0.1:{tunnel}
    tcp-request inspect-delay 2s
    tcp-request content reject if !{ path /here }
    default_backend app
backend app
    mode http
    server one 127.0.0.1:{origin}
frontend named
    mode tcp
    bind 127.0.0.1:{named}
    use_backend there if { path /here }
backend there
    mode tcp
    server one 127.0.0.1:{origin}
"""
REQUEST = b"GET /here HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.pure
@pytest.mark.parametrize("off", [True, False])
def test_the_lane_is_not_asked(off: bool) -> None:
    """And it is asked when the line is not there: else this would prove nothing."""
    ports = {name: free_port() for name in ("port", "tunnel", "named")}
    command = [sys.executable, "-c", NO_LANE, *(["-f", str(LANE_OFF)] if off else [])]
    with Origin() as origin, Program(command, CONFIG, {**ports, "origin": origin.port}, 20.0):
        for port in ports.values():
            said = exchange(port, REQUEST)
            assert said.startswith(b"HTTP/1.1 200") is off, port
