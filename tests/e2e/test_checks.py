"""Plain TCP checks: a server that dies is left and told of in the logs, one that comes back is used again."""

from __future__ import annotations

import re
import time

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.syslog import Syslog
from tests.support.wire import exchange

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def ask_until(port: int, wanted: bytes) -> None:
    """Ask until that server answers."""
    deadline = time.monotonic() + 8
    while wanted not in exchange(port, GET):
        assert time.monotonic() < deadline, wanted


def test_down_and_up() -> None:
    port, own = free_port(), free_port()
    with Syslog() as syslog, Origin(name="spare") as spare:
        config = (
            f"global\n log 127.0.0.1:{syslog.port} local0 notice\n"
            "defaults\n mode http\n log global\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n"
            f"listen l\n bind 127.0.0.1:{port}\n server one 127.0.0.1:{own} check inter 100ms fall 2 rise 2\n"
            f" server spare 127.0.0.1:{spare.port} backup\n"
        )
        with Program.trilb(config, port=port):
            ask_until(port, b"x-server: spare")
            down = syslog.take(1, 5)[0]
            assert re.search(
                r"<129>.*Server l/one is DOWN, reason: Layer4 connection problem, "
                r'info: "ECONNREFUSED returned by OS \(Connection refused\)", '
                r"check duration: \d+ms\. 0 active and 1 backup servers left\. Running on backup\. "
                r"\d+ sessions active, 0 requeued, 0 remaining in queue\.",
                down,
            )
            with Origin(name="one", port=own):
                ask_until(port, b"x-server: one")
                assert re.search(r"<133>.*Server l/one is UP, reason: Layer4 check passed, check", syslog.take(1, 5)[0])
            ask_until(port, b"x-server: spare")
