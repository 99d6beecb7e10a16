"""Dynamic cookies changed on the runtime socket: the answers, and the cookies that clients get afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.duel.test_runtime_socket import plain, say
from tests.support.duel import Duel, Side, start_duel
from tests.support.wire import exchange

CONFIG = """
global
    stats socket {dir}/admin mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    cookie C insert dynamic
    dynamic-cookie-key first
listen l
    bind 127.0.0.1:{port}
    server s1 127.0.0.1:80 weight 0
    server s2 127.0.0.1:{origin1}
    server s3 127.0.0.1:{origin1} cookie own weight 0
"""
LINES = """\
disable dynamic-cookie backend l
enable dynamic-cookie backend l
set dynamic-cookie-key backend l second
disable dynamic-cookie backend l
set dynamic-cookie-key backend l third
enable dynamic-cookie backend l more
enable dynamic-cookie backend
enable dynamic-cookie
disable dynamic-cookie backend
enable dynamic-cookie backend nope
disable dynamic-cookie backend nope
enable dynamic-cookie frontend l
set dynamic-cookie-key
set dynamic-cookie-key backend
set dynamic-cookie-key backend l
set dynamic-cookie-key backend nope x
operator;enable dynamic-cookie backend l
""".splitlines()
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def duel() -> Iterator[Duel]:
    with start_duel(CONFIG) as started:
        yield started


def given(side: Side) -> bool:
    """Whether a new client gets a cookie. Its value is told by the port, which differs."""
    return re.search(rb"(?i)set-cookie: C=", exchange(side.ports["port"], GET)) is not None


def cookies(side: Side) -> list[str]:
    """Those of s1, whose address is the same for both, and of s3."""
    found = re.findall(r"(?m)^l,s[13],.*", say(side, "show stat l 4 -1\n").decode())
    return [line.split(",")[74] for line in found]


@pytest.mark.parametrize("line", LINES)
def test_both_answer_and_do_the_same(duel: Duel, line: str) -> None:
    """One line after the other."""
    theirs = plain(duel.haproxy, say(duel.haproxy, line + "\n")), given(duel.haproxy), cookies(duel.haproxy)
    ours = plain(duel.trilb, say(duel.trilb, line + "\n")), given(duel.trilb), cookies(duel.trilb)
    assert ours == theirs
