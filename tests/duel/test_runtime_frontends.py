"""Commands that open and close frontends, limit them and end streams: what clients, logs and statistics see."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.duel.test_runtime_socket import plain, say
from tests.support.duel import Duel, Side, start_duel
from tests.support.wire import exchange

CONFIG = """
global
    stats socket {dir}/admin mode 600 level admin
    stats timeout 1m
    maxconn 100
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend fe
    bind 127.0.0.1:{port}
    default_backend be
listen li
    bind 127.0.0.1:{port2}
    server s1 127.0.0.1:{origin1}
frontend last
    bind 127.0.0.1:{port3}
    default_backend be
frontend few
    bind 127.0.0.1:{port4}
    default_backend be
listen raw
    mode tcp
    option tcplog
    bind 127.0.0.1:{port5}
    server s1 127.0.0.1:{origin1}
backend be
    server s1 127.0.0.1:{origin1}
"""
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def duel() -> Iterator[Duel]:
    with start_duel(CONFIG) as started:
        yield started


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 8
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def status(side: Side, name: str) -> str:
    rows = [
        line.split(",")
        for line in say(side, "show stat\n").decode().splitlines()
        if line.startswith(f"{name},FRONTEND,")
    ]
    return rows[0][17]


def answered(port: int) -> bool:
    try:
        return exchange(port, GET).startswith(b"HTTP/1.1 200")
    except ConnectionRefusedError:
        return False


def lines(side: Side, count: int) -> list[str]:
    return [re.sub(r"^.*?\]: ", "", line).strip() for line in side.syslog.take(count, 5)]


@pytest.mark.parametrize(("name", "port"), [("fe", "port"), ("li", "port2")])
def test_disabled_and_enabled(duel: Duel, name: str, port: str) -> None:
    def act(side: Side) -> list[object]:
        side.syslog.pending()
        seen: list[object] = []
        for verb in ("disable", "enable"):
            seen.append(say(side, f"{verb} frontend {name}\n"))
            seen.append(status(side, name))
            seen.append(lines(side, 1))
            seen.append(answered(side.ports[port]))
        lines(side, 1)
        return seen

    assert duel.same(act)[3::4] == [False, True]


def test_shut_down(duel: Duel) -> None:
    def act(side: Side) -> list[object]:
        side.syslog.pending()
        seen: list[object] = [
            plain(side, say(side, f"{verb} frontend last\n")) for verb in ("shutdown", "shutdown", "enable", "disable")
        ]
        until(lambda: not answered(side.ports["port3"]))
        return [*seen, status(side, "last"), lines(side, 1)]

    duel.same(act)


def test_who_is_connected_stays(duel: Duel) -> None:
    def act(side: Side) -> bytes:
        with socket.create_connection(("127.0.0.1", side.port), 5) as client:
            client.sendall(GET.replace(b"Connection: close\r\n", b""))
            client.recv(4096)
            say(side, "disable frontend fe\n")
            try:
                client.sendall(GET)
                return client.recv(15)
            finally:
                say(side, "enable frontend fe\n")

    assert duel.same(act) == b"HTTP/1.1 200 OK"


def test_a_frontend_takes_no_more_than_it_may(duel: Duel) -> None:
    """The second client waits until there may be more. (HAProxy 2.6 waits as well; then its runtime socket hangs.)"""

    def act(side: Side) -> list[bool]:
        port = side.ports["port4"]
        say(side, "set maxconn frontend few 1\n")
        seen = []
        with (
            socket.create_connection(("127.0.0.1", port), 5) as first,
            socket.create_connection(("127.0.0.1", port), 5) as second,
        ):
            first.sendall(GET.replace(b"Connection: close\r\n", b""))
            first.recv(4096)
            second.sendall(GET)
            second.settimeout(0.3)
            try:
                seen.append(bool(second.recv(10)))
            except TimeoutError:
                seen.append(False)
            second.settimeout(5)
            say(side, "set maxconn frontend few 10\n")
            seen.append(bool(second.recv(10)))
        return seen

    assert act(duel.trilb) == [False, True]


def test_a_rate_is_kept(duel: Duel) -> None:
    """At two connections a second, five take more than a second."""

    def act(side: Side) -> bool:
        say(side, "set rate-limit connections global 2\n")
        begin = time.monotonic()
        try:
            for _ in range(5):
                assert answered(side.port)
        finally:
            say(side, "set rate-limit connections global 0\n")
        return time.monotonic() - begin > 1

    assert duel.same(act)


def test_a_stream_is_shown_and_ended(duel: Duel) -> None:
    def act(side: Side) -> list[object]:
        side.syslog.pending()
        with socket.create_connection(("127.0.0.1", side.ports["port5"]), 5) as client:
            client.sendall(b"GET / ")
            until(lambda: b"fe=raw be=raw srv=s1 " in say(side, "show sess\n"))
            (shown,) = [line for line in say(side, "show sess\n").decode().splitlines() if "fe=raw" in line]
            pointer, _, rest = shown.partition(": ")
            own = client.getsockname()[1]
            seen: list[object] = [rest.replace(f":{own} ", ":OWN ").split(" ")[:5]]
            whole = plain(side, say(side, f"show sess {pointer}\n"))
            seen += [
                word in whole
                for word in ("proto=tcpv4 source=", "frontend=raw (id=", "backend=raw (id=", "server=s1 (id=1)")
            ]
            seen.append(say(side, f"shutdown session {pointer}\n"))
            seen.append(client.recv(10))
        seen.append(lines(side, 1)[0].split()[-3])
        until(lambda: b"fe=raw" not in say(side, "show sess\n"))
        return seen

    duel.same(act)
