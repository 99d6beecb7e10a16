"""Traffic that fails: the same transitions, counters and log lines as HAProxy."""

from __future__ import annotations

import csv
import io
import re

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.origin import Held, Origin
from tests.support.runtime_socket import command
from tests.support.syslog import mask
from tests.support.wire import exchange

MODES = {
    "layer7": "observe layer7 error-limit 1 fall 20",
    "counted": "observe layer7 error-limit 2 fall 2",
    "marked": "observe layer7 error-limit 2 on-error mark-down",
    "sudden": "observe layer7 error-limit 1 on-error sudden-death fall 5",
    "fast": "observe layer7 error-limit 1 on-error fastinter",
    "layer4": "observe layer4 error-limit 1",
    "refused": "observe layer4 error-limit 2",
    "refused7": "observe layer7 error-limit 2",
}
CONFIG = """
global
    stats socket {dir}/socket level admin
    log 127.0.0.1:{syslog} local0 notice
    max-spread-checks 50ms
defaults
    log global
    mode http
    option log-health-checks
    retries 0
    timeout connect 1s
    timeout client 5s
    timeout server 300ms
listen checked
    bind 127.0.0.1:{port}
""" + "".join(
    f"listen {name}\n bind 127.0.0.1:{{port_{name}}}\n server s 127.0.0.1:"
    f"{{{'dead' if name.startswith('refused') else 'origin'}}} check inter 60s fastinter 50s port {{port}} {mode}\n"
    for name, mode in MODES.items()
)
ANSWERS = {
    "bad": b"garbage\r\n\r\n",
    "hang": Held(b""),
    "empty": None,
    "cut": b"HTTP/1.1 200 OK\r\nconte",
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
}
TRAFFIC = {
    "layer7": "500 bad hang 200 length cut 501 505 503 404 101 empty".split(),
    "counted": "500 200 500 500 500 404 503 empty 200".split(),
    "marked": "500 200 500 503 200".split(),
    "sudden": "500 500 200".split(),
    "fast": "500 500".split(),
    "layer4": "500 bad empty".split(),
    "refused": "200 200 200 200 200 200 200".split(),
    "refused7": "200 200".split(),
}
COLUMNS = "status check_status check_code check_health hanafail chkfail chkdown last_chk check_desc".split()


def respond(request: bytes, origin: Origin) -> bytes | None:
    name = request.split(b" ")[1][1:].decode()
    return ANSWERS[name] if name in ANSWERS else f"HTTP/1.1 {name} X\r\ncontent-length: 0\r\n\r\n".encode()


@pytest.fixture(scope="module")
def programs(module_duel: DuelFactory) -> Duel:
    def first(side: Side) -> None:
        for _ in MODES:
            side.syslog.take_match("Health check for server .* succeeded")

    duel = module_duel(CONFIG, respond)
    duel.both(first)
    return duel


@pytest.mark.parametrize("name", MODES)
def test_errors(programs: Duel, name: str) -> None:
    def act(side: Side) -> list[object]:
        found: list[object] = []
        for word in TRAFFIC[name]:
            request = f"GET /{word} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            answer = exchange(side.ports[f"port_{name}"], request.encode())
            rows = csv.DictReader(io.StringIO(command(side.program.dir / "socket", "show stat")[2:]))
            row = next(row for row in rows if (row["pxname"], row["svname"]) == (name, "s"))
            # Who is about to be told is still a session of the server's, or is not any more.
            logs = [re.sub(r"\d+ sessions active", "N sessions active", mask(line)) for line in side.syslog.pending()]
            found.append((word, answer[9:12], [row[column] for column in COLUMNS], logs))
        return found

    programs.same(act)
