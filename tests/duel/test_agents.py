"""Agents that say one thing after another: the same state, weight, maxconn and log lines as HAProxy."""

from __future__ import annotations

import csv
import io
import queue
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.support.duel import require_haproxy
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.runtime_socket import command
from tests.support.syslog import Syslog, mask

CONFIG = """
global
    stats socket {dir}/socket level admin
    log 127.0.0.1:{syslog} local0
defaults
    log global
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    timeout check 20s
backend b
    balance %s
    option log-health-checks
    server s 127.0.0.1:{dead} weight 3 agent-check agent-port {origin_agent} agent-inter 10ms agent-send "hello "
    server o 127.0.0.1:{dead}
"""
REPLIES = [
    b"75%\n",
    b"up 34%\n",
    b'down #all  is "lost" <b>\x01\n',
    b"up\n",
    b"maxconn:30\n",
    b"drain up\n",
    b"ready 100%\n",
    b"up\n",
    b"maint\n",
    b"up\n",
    b"ready down\n",
    b"ready,up\r\n",
    b"maint down\n",
    b"drain, up\n",
    b"0% stopped\n",
    b"ready\n",
    b"fail\n",
    b"nonsense up\n",
    b"5%5 DOWN\n",
    b"1000%,Up\n",
    b"maxconn:x down\n",
    b"UP\n",
    b"",
    b"down",
    b"100%\n",
    b"\n",
    b"up\n",
]
COLUMNS = "status weight slim agent_status agent_code agent_desc agent_health agent_rise agent_fall chkdown last_agt"


class ScriptedAgent:
    """Says what it is given, one connection a reply; each connection waits for its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._replies: queue.Queue[bytes | None] = queue.Queue()
        self._said = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def say(self, reply: bytes) -> None:
        """Return when the next connection has come: what was said before has been taken into account."""
        self._replies.put(reply)
        assert self._said.acquire(timeout=15)

    def stop(self) -> None:
        self._listener.close()
        self._replies.put(None)

    def _serve(self) -> None:
        first = True
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                if sock.recv(100) != b"hello ":
                    continue
                if not first:
                    self._said.release()
                first = False
                reply = self._replies.get()
                if reply is None:
                    return
                sock.sendall(reply)


@contextmanager
def run(name: str, balance: str) -> Iterator[tuple[ScriptedAgent, Program, Syslog]]:
    agent = ScriptedAgent()
    try:
        with Syslog() as syslog:
            start = Program.haproxy if name == "haproxy" else Program.trilb
            ports = {"origin_agent": agent.port, "syslog": syslog.port, "dead": free_port()}
            with start(CONFIG % balance, **ports) as program:
                yield agent, program, syslog
    finally:
        agent.stop()


def outcome(name: str, balance: str) -> list[object]:
    found: list[object] = []
    with run(name, balance) as (agent, program, syslog):
        for reply in REPLIES:
            agent.say(reply)
            path = program.dir / "socket"
            rows = csv.DictReader(io.StringIO(command(path, "show stat b 4 1").removeprefix("# ")))
            row = next(row for row in rows if row["svname"] == "s")
            state = command(path, "show servers state b").splitlines()[2].split()
            logs = [re.sub(r"\d+ms", "Nms", mask(line)) for line in syslog.pending()]
            found.append((reply, [row[column] for column in COLUMNS.split()], state[5:9], logs))
    return found


@pytest.mark.parametrize("balance", ["roundrobin", pytest.param("static-rr", marks=pytest.mark.nightly)])
def test_replies(balance: str) -> None:
    require_haproxy()
    with ThreadPoolExecutor() as pool:
        sides = [pool.submit(outcome, name, balance) for name in ("haproxy", "trilb")]
    for expected, got in zip(*(side.result() for side in sides), strict=True):
        assert got == expected
