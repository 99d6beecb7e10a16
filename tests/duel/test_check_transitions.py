"""Rising, falling, stopping: the log of servers that answer checks with one status after the other, in both."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.support.duel import require_haproxy
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.rows import SELF_CHECK
from tests.support.syslog import Syslog

GLOBAL = """
global
    log 127.0.0.1:{syslog} local0
defaults
    log global
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    option httpchk
listen somebody
    bind 127.0.0.1:{port}
"""
UP_AND_DOWN = (200, 500, 500, 200, 500, 500, 500, 500, 200, 500, 200, 200, 200)
STOPPING = (200, 404, 404, 200, 404, 500, 500, 404, 200)
CASES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "told": ("option log-health-checks", "rise 2 fall 3", UP_AND_DOWN),
    "silent": ("", "rise 2 fall 3", UP_AND_DOWN),
    "stopping_told": ("http-check disable-on-404\n option log-health-checks", "rise 1 fall 2", STOPPING),
    "stopping": ("http-check disable-on-404", "rise 1 fall 2", STOPPING),
    "backup": ("", "rise 3 fall 1 backup", (500, 200, 200, 200, 500)),
    "weightless": ("option log-health-checks", "rise 2 fall 2 weight 0", (200, 500, 500, 200, 200)),
    "at_once": ("", "rise 1 fall 1 fastinter 20ms downinter 30ms", (200, 500, 200, 500, 200)),
}


class Sequence:
    """An HTTP server whose answers have one status after the other, the last one for ever; `asked` counts them."""

    def __init__(self, statuses: tuple[int, ...]) -> None:
        self.statuses = statuses
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    @contextmanager
    def running(self) -> Iterator[Sequence]:
        """Serve until the end of the block."""
        self._listener.settimeout(0.1)
        stopped = threading.Event()
        thread = threading.Thread(target=self._serve, args=(stopped,))
        thread.start()
        try:
            yield self
        finally:
            stopped.set()
            thread.join()
            self._listener.close()

    def _serve(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            with suppress(OSError):
                conn, _ = self._listener.accept()
                with conn:
                    conn.settimeout(2)
                    conn.recv(4096)
                    status = self.statuses[min(self.asked, len(self.statuses) - 1)]
                    self.asked += 1
                    conn.sendall(b"HTTP/1.0 %d Some\r\n\r\n" % status)


def observe(name: str) -> dict[str, list[str]]:
    """The lines about each backend."""
    lines: dict[str, list[str]] = {case: [] for case in CASES}
    with ExitStack() as stack:
        syslog = stack.enter_context(Syslog())
        text, servers = GLOBAL, []
        for case, (options, words, statuses) in CASES.items():
            server = stack.enter_context(Sequence(statuses).running())
            servers.append(server)
            text += f"backend {case}\n {options}\n server srv 127.0.0.1:{server.port} check inter 50ms {words}\n"
        start = Program.haproxy if name == "haproxy" else Program.trilb
        stack.enter_context(start(text, port=free_port(), syslog=syslog.port, timeout=20.0))
        deadline = time.monotonic() + 20
        while any(server.asked < len(server.statuses) + 3 for server in servers):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for line in syslog.pending():
            found = re.search(r"(<\d+>).*?\]: (.*?(?:backend |erver )(\w+).*)", line.rstrip("\n\0"), re.DOTALL)
            if found is not None and found[3] in lines:
                lines[found[3]].append(found[1] + re.sub(r"duration: \d+ms", "duration: Nms", found[2]))
    return lines


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What HAProxy and trilb logged."""
    require_haproxy()
    with ThreadPoolExecutor(2) as pool:
        expected, got = pool.map(observe, ("haproxy", "haproxy" if SELF_CHECK else "trilb"))
    return expected, got


@pytest.mark.parametrize("case", CASES)
def test_transitions(both: tuple[dict[str, list[str]], dict[str, list[str]]], case: str) -> None:
    """The same lines in the same order."""
    expected, got = both
    assert expected[case]
    assert got[case] == expected[case]
