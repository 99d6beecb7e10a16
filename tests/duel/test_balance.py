"""Who is chosen, request by request: the orders of the algorithms and what they hash are HAProxy's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel, Side
from tests.support.wire import Client

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

ORDERS = {
    "rr-equal": ("roundrobin", (1, 1, 1, 1)),
    "rr-123": ("roundrobin", (1, 2, 3)),
    "rr-511": ("roundrobin", (5, 1, 1)),
    "rr-mixed": ("roundrobin", (10, 50, 7, 100)),
    "rr-primes": ("roundrobin", (3, 5, 7, 11)),
    "rr-346": ("roundrobin", (3, 4, 6)),
    "rr-many": ("roundrobin", (7, 13, 29, 31)),
    "rr-big": ("roundrobin", (256, 1, 128, 3)),
    "rr-zero": ("roundrobin", (1, 0, 2)),
    "static-123": ("static-rr", (1, 2, 3)),
    "static-511": ("static-rr", (5, 1, 1)),
    "static-mixed": ("static-rr", (10, 50, 7, 100)),
    "leastconn": ("leastconn", (3, 1, 2)),
    "first": ("first", (1, 1, 1)),
}
# HAProxy hashes nothing while one server is left, so that case is here too.
HASHES = {
    "uri": ("uri",),
    "uri-whole": ("uri whole",),
    "uri-len": ("uri len 14",),
    "uri-depth": ("uri depth 2",),
    "uri-len-depth": ("uri len 30 depth 3",),
    "uri-path-only": ("uri path-only",),
    "uri-djb2": ("uri", "hash-type map-based djb2"),
    "uri-consistent": ("uri", "hash-type consistent"),
    "uri-wt6-avalanche": ("uri", "hash-type consistent wt6 avalanche"),
    "uri-crc32": ("uri", "hash-type map-based crc32 avalanche"),
    "uri-factor": ("uri", "hash-type consistent", "hash-balance-factor 150"),
    "param": ("url_param user",),
    "param-consistent": ("url_param user", "hash-type consistent"),
    "header": ("hdr(x-user)",),
    "header-domain": ("hdr(host) use_domain_only",),
    "source": ("source",),
    "source-consistent": ("source", "hash-type consistent"),
}
TARGETS = [
    f"/{path}{query}"
    for path in ("", "a", "a/b", "a/b/c/d.html", "images/logo.png", "path/with/many/parts/in/it", "x" * 60)
    for query in ("", "?user=alice", "?q=1&user=bob", "?q=1;user=carol&z", "?user=")
]
USERS = ("alice", "bob", "carol", "10.0.0.1", "")
HOSTS = ("example.com", "www.example.com", "a.b.example.org:8080", "localhost")


def config() -> str:
    text = (
        "defaults\n mode http\n timeout connect 2s\n timeout client 10s\n timeout server 10s\n"
        "frontend fe\n bind 127.0.0.1:{port}\n"
    )
    names = [*ORDERS, *HASHES]
    text += "".join(f" use_backend {name} if {{ hdr(x-backend) {name} }}\n" for name in names)
    for name, (algorithm, weights) in ORDERS.items():
        text += f"backend {name}\n balance {algorithm}\n"
        text += "".join(f" server s{n} 127.0.0.1:{{origin{n}}} weight {w}\n" for n, w in enumerate(weights, 1))
    for name, lines in HASHES.items():
        text += f"backend {name}\n balance {lines[0]}\n" + "".join(f" {line}\n" for line in lines[1:])
        text += "".join(f" server s{n} 127.0.0.1:{{origin{n}}} weight {n}\n" for n in range(1, 5))
    return text


@pytest.fixture(scope="module")
def sides(module_duel: DuelFactory) -> Duel:
    """Both programs, started once."""
    return module_duel(config())


def chosen(side: Side, backend: str, target: str, user: str = "", host: str = "h") -> bytes:
    """The server that answers one request on a connection of its own."""
    headers = f"Host: {host}\r\nX-Backend: {backend}\r\n" + (f"X-User: {user}\r\n" if user else "")
    with Client(side.port) as client:
        client.send(f"GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())
        # Up to the close: a bounded load counts the request until its stream has ended.
        found = re.search(rb"x-server: (s\d)", client.read_all())
    return found[1] if found else b"-"


@pytest.mark.parametrize("name", ORDERS)
def test_the_order(sides: Duel, name: str) -> None:
    def order(side: Side) -> bytes:
        return b"".join(chosen(side, name, "/") for _ in range(60))

    if name == "leastconn":
        # Where the request before still counts, which is chance, the turn passes to another: only turns are compared.
        expected, got = sides.both(order)
        for server in (b"s1", b"s2", b"s3"):
            assert abs(got.count(server) - expected.count(server)) <= 6
        assert all(len(set(re.findall(rb"s\d", got[at : at + 6]))) == 3 for at in range(0, len(got), 6))
        return
    sides.same(order)


@pytest.mark.parametrize("name", HASHES)
def test_the_same_server_for_the_same_key(sides: Duel, name: str) -> None:
    def choices(side: Side) -> list[bytes]:
        made = [chosen(side, name, target, "zoe") for target in TARGETS]
        made += [chosen(side, name, "/a", user) for user in USERS if user]
        return made + [chosen(side, name, "/b?user=x", "y", host) for host in HOSTS]

    if name.startswith("param"):
        # A request without the parameter takes turns: only those that have it have one server.
        keyed = [t for t in TARGETS if re.search(r"[?&]user=.", t)]
        sides.same(lambda side: [chosen(side, name, target) for target in keyed])
        return
    if name.endswith("factor"):
        # Whether the request before still counts is chance, in HAProxy too: a difference must repeat itself.
        for _ in range(5):
            expected, got = sides.both(choices)
            if got == expected:
                return
    sides.same(choices)
