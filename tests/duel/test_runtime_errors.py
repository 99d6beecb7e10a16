"""`show errors`: the last request and response that were none, and where."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.duel.test_runtime_socket import say
from tests.support.duel import Duel, Side, start_duel
from tests.support.origin import Origin
from tests.support.wire import exchange

CONFIG = """
global
    stats socket {dir}/admin mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port}
    default_backend be
backend be
    server s1 127.0.0.1:{origin1}
"""
REQUESTS = [
    b"GET /x\0y HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nbad header: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nbad/header: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nlong: " + b"y" * 200 + b"\r\nb(d: \x01\xff\x1b\\\t\r\n\r\n",
    b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTX/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nbad/header: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nbad header: x\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nlong: " + b"y" * 300 + b"\r\n(: \x01\xff\r\n\r\n\x02",
]


@pytest.fixture(scope="module")
def duel() -> Iterator[Duel]:
    def respond(raw: bytes, origin: Origin) -> bytes:
        number = re.search(rb"/r(\d+) ", raw)
        return RESPONSES[int(number[1])] if number else b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    with start_duel(CONFIG, respond, raw=True) as started:
        yield started


def told(side: Side, which: str) -> str:
    """What is told, without times, ports and what only HAProxy has (the flags of its parser)."""
    text = say(side, f"show errors {which}\n").decode("latin-1")
    text = re.sub(r"\[\d\d/\w{3}/\d{4}:[\d:.]+\]", "[TIME]", text)
    text = re.sub(r"src 127.0.0.1:\d+", "src CLIENT", text)
    assert "bytearray" not in text
    return re.sub(r"(?m)^  (H1 .*|reason: .*)\n", "", text)


def test_nothing_at_first(duel: Duel) -> None:
    duel.same(lambda side: told(side, ""))


@pytest.mark.parametrize("raw", REQUESTS, ids=range(len(REQUESTS)))
def test_a_request(duel: Duel, raw: bytes) -> None:
    def act(side: Side) -> str:
        assert exchange(side.port, raw).startswith(b"HTTP/1.1 400 ")
        return told(side, "fe request")

    assert "invalid request" in duel.same(act)


@pytest.mark.parametrize("number", range(len(RESPONSES)))
def test_a_response(duel: Duel, number: int) -> None:
    def act(side: Side) -> str:
        exchange(side.port, f"GET /r{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return told(side, "be response")

    assert "invalid response" in duel.same(act)


@pytest.mark.parametrize("which", ["", "-1", "fe", "be", "fe response", "be request", "2", "3", "3 request", "4", "x"])
def test_what_is_asked_for(duel: Duel, which: str) -> None:
    def act(side: Side) -> str:
        exchange(side.port, REQUESTS[0])
        exchange(side.port, b"GET /r0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return told(side, which)

    duel.same(act)


def test_a_buffer_is_the_most_that_is_kept(duel: Duel) -> None:
    with socket.create_connection(("127.0.0.1", duel.trilb.port), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nb(d: x\r\n\r\n" + b"z" * 200_000)
    text = say(duel.trilb, "show errors fe request\n").decode()
    assert int(re.findall(r"len (\d+)", text)[0]) <= 16384
