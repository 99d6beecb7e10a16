"""Programs that were written for HAProxy at work on trilb's runtime socket and log, unchanged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.duel.test_runtime_socket import say
from tests.support.duel import Side, start_duel
from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.wire import exchange

CONFIG = """
global
    stats socket {dir}/admin mode 600 level admin
    stats timeout 1m
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend fe
    bind 127.0.0.1:{port}
    default_backend web
backend web
    balance roundrobin
    server one 127.0.0.1:{origin1} weight 10
    server two 127.0.0.1:{origin2} weight 20
"""
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def require(program: str) -> str:
    """The program's path; without it skip, with CI=true fail."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return path


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Program, int]]:
    port = free_port()
    with (
        Origin(name="one") as one,
        Origin(name="two") as two,
        Program.trilb(CONFIG, port=port, origin1=one.port, origin2=two.port) as program,
    ):
        for _ in range(6):
            exchange(port, GET)
        yield program, port


def status(program: Program, server: str) -> str:
    side = Side("trilb", program, None, [])  # type: ignore[arg-type]
    return next(
        line.split(",")[17]
        for line in say(side, "show stat\n").decode().splitlines()
        if line.startswith(f"web,{server},")
    )


# -- hatop ------------------------------------------------------------------------------------------------------------


class Terminal:
    """A program in a terminal of tmux's."""

    def __init__(self, name: str, command: str) -> None:
        self.tmux = [require("tmux"), "-L", name, "-f", "/dev/null"]
        environment = {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8"}
        subprocess.run([*self.tmux, "new-session", "-d", "-x", "160", "-y", "40", command], check=True, env=environment)

    def screen(self) -> str:
        shown = subprocess.run([*self.tmux, "capture-pane", "-p"], check=False, capture_output=True, text=True)
        return shown.stdout

    def press(self, *keys: str) -> None:
        subprocess.run([*self.tmux, "send-keys", *keys], check=True)

    def close(self) -> None:
        subprocess.run([*self.tmux, "kill-server"], check=False, capture_output=True)


@contextmanager
def terminal(command: str) -> Iterator[Terminal]:
    opened = Terminal(f"trilb-{os.getpid()}", command)
    try:
        yield opened
    finally:
        opened.close()


def test_hatop_shows_servers_and_its_keys_change_them(served: tuple[Program, int]) -> None:
    program, _ = served
    hatop = require("hatop")
    with terminal(f"{hatop} -i 1 -s {program.dir}/admin 2>{program.dir}/hatop") as shown:
        until(lambda: re.search(r"two +\d", shown.screen()) is not None)
        screen = shown.screen()
        assert re.search(r"FRONTEND +0 +OPEN ", screen), screen
        assert re.search(r"one +10 .*\n *two +20 .*\n *BACKEND +30 +UP ", screen), screen
        # The mark is on a line of the list; it goes until it stands on the server.
        deadline = time.monotonic() + 20
        while (at := marked(shown)) != "one":
            assert time.monotonic() < deadline, shown.screen()
            shown.press("Up" if at in ("two", "BACKEND") else "Down")
            moved = time.monotonic() + 1
            while marked(shown) == at and time.monotonic() < moved:
                time.sleep(0.05)
        shown.press("F10")
        until(lambda: status(program, "one") == "MAINT")
        until(lambda: re.search(r"one .*MAINT", shown.screen()) is not None)
        shown.press("F9")
        until(lambda: status(program, "one") != "MAINT")
        shown.press("q")


def marked(shown: Terminal) -> str:
    """The name in the line that is shown in reverse."""
    lines = subprocess.run([*shown.tmux, "capture-pane", "-p", "-e"], check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        found = re.search(r"\x1b\[(?:\d+;)*7m\s*(one|two|FRONTEND|BACKEND)\b", line)
        if found:
            return found[1]
    return ""


# -- haproxyadmin -----------------------------------------------------------------------------------------------------


def test_haproxyadmin_reads_and_sets(served: tuple[Program, int]) -> None:
    program, port = served
    haproxyadmin = pytest.importorskip("haproxyadmin") if os.environ.get("CI") != "true" else __import__("haproxyadmin")
    haproxy = haproxyadmin.haproxy.HAProxy(socket_file=f"{program.dir}/admin", timeout=10)
    assert [int(pid) for pid in haproxy.processids] == [program.process.pid]
    assert int(haproxy.uptimesec) >= 0
    assert int(haproxy.totalrequests) > 0
    assert [frontend.name for frontend in haproxy.frontends()] == ["fe"]
    assert int(haproxy.frontend("fe").requests) >= 6
    assert sorted(server.name for server in haproxy.servers("web")) == ["one", "two"]
    server = haproxy.server("one", backend="web")[0]
    assert int(server.weight) == 10
    assert server.setweight(33)
    assert int(server.weight) == 33
    assert server.setstate("maint")
    until(lambda: status(program, "one") == "MAINT")
    assert server.status == "MAINT"
    assert {b"two"} == {server_of(exchange(port, GET)) for _ in range(4)}
    assert server.setstate("ready")
    until(lambda: status(program, "one") != "MAINT")
    assert haproxy.setmaxconn(500)
    assert int(haproxy.metric("Maxconn")) == 500
    assert haproxy.frontend("fe").setmaxconn(77)
    assert int(haproxy.frontend("fe").maxconn) == 77
    assert "Total events captured" in str(haproxy.errors())
    assert haproxy.clearcounters(all=True)
    assert haproxy.command("show version")


def server_of(answer: bytes) -> bytes:
    found = re.search(rb"(?im)^x-server: (\w+)", answer)
    assert found is not None, answer
    return found[1]


# -- halog ------------------------------------------------------------------------------------------------------------

LOGGED = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    retries 0
frontend fe
    bind 127.0.0.1:{port}
    capture request header user-agent len 20
    http-request deny deny_status 403 if { path /no }
    use_backend gone if { path /gone }
    default_backend web
backend web
    cookie S insert indirect nocache
    balance roundrobin
    server one 127.0.0.1:{origin1} cookie a
    server two 127.0.0.1:{origin2} cookie b
backend gone
    server dead 127.0.0.1:{dead}
"""


def request(path: str, *fields: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: a", "Connection: close", *fields, "", ""]
    return "\r\n".join(lines).encode()


TRAFFIC = [
    request("/"),
    request("/"),
    request("/a?b=c", "User-Agent: tester"),
    request("/", "Cookie: S=a"),
    request("/", "Cookie: S=b"),
    request("/", "Cookie: S=zz"),
    request("/no"),
    request("/gone"),
    b"nonsense\r\n\r\n",
]


def test_halog_digests_the_log_as_that_of_haproxy() -> None:
    halog = require("halog")
    with start_duel(LOGGED) as duel:

        def act(side: Side) -> str:
            for raw in TRAFFIC:
                exchange(side.port, raw)
            lines = side.syslog.take(len(TRAFFIC), 10)
            # As a syslog server writes it: without the priority, with the host.
            return "".join(
                re.sub(r"^<\d+>(\w+ +\d+ [\d:]+) (.*)", r"\1 here \2", line.strip()) + "\n" for line in lines
            )

        logs = duel.both(act)
    for words in (
        ["-c"],
        ["-c", "-H"],
        ["-c", "-e"],
        ["-c", "-E"],
        ["-st"],
        ["-tc"],
        ["-cc"],
        ["-srv"],
        ["-u"],
        ["-ic"],
        ["-hdr", "1:1"],
    ):
        expected, got = (digest(halog, words, log) for log in logs)
        assert got == expected, words
        assert expected


def digest(halog: str, words: list[str], log: str) -> list[list[str]]:
    """What halog says of a log, without times."""
    said = subprocess.run([halog, "-q", *words], input=log, capture_output=True, text=True, check=False).stdout
    rows = [line.split() for line in said.splitlines()]
    if words[0] == "-srv":
        # Requests by class, errors; the times behind are not compared.
        rows = [row[:9] for row in rows]
    if words[0] in ("-u", "-ic"):
        rows = [[row[0], row[1], row[-1]] for row in rows]
    return sorted(rows)
