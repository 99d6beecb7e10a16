"""`do-resolve`: the variable, the way to the server and the questions asked are HAProxy's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Side
from tests.support.nameserver import Nameserver, Records, a
from tests.support.wire import exchange

CONFIG = """
global
    log 127.0.0.1:{syslog} local0
resolvers ns
    nameserver n1 127.0.0.1:{dead_ns}
    resolve_retries 2
    timeout resolve 100ms
    timeout retry 50ms
    hold valid 1h
resolvers none
    nameserver n1 127.0.0.1:{dead_none}
    resolve_retries 1
    timeout retry 20ms
defaults
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend http
    mode http
    bind 127.0.0.1:{port}
    http-request do-resolve(txn.four,ns,ipv4) hdr(host),host_only
    http-request do-resolve(txn.six,ns) hdr(host),host_only if { path /six }
    http-request do-resolve(txn.none,none) hdr(host),host_only if { path /none }
    http-request set-var(txn.four) str(kept) if { path /missing }
    http-request do-resolve(txn.four,ns) hdr(x-missing) if { path /missing }
    http-request do-resolve(txn.four,ns) str(gone.test) if { path /missing }
    http-request set-var-fmt(txn.all) "<%[var(txn.four)] %[var(txn.six)] %[var(txn.none)]>"
    http-request return status 200 content-type text/plain lf-string %[var(txn.all)] unless { path /go }
    default_backend anywhere
backend anywhere
    mode http
    http-request set-dst var(txn.four)
    http-request do-resolve(txn.again,ns,ipv4) hdr(host),host_only
    http-request set-header x-again %[var(txn.again)]
    server s 0.0.0.0:{origin1}
frontend tcp
    mode tcp
    bind 127.0.0.1:{port2}
    tcp-request inspect-delay 5s
    tcp-request content do-resolve(sess.ip,ns,ipv4) str(tcp.test)
    tcp-request content set-dst var(sess.ip)
    tcp-request content reject unless { var(sess.ip) -m found }
    default_backend plain
backend plain
    mode tcp
    server s 0.0.0.0:{origin1}
"""


@dataclass(frozen=True)
class Row:
    """A request by path and host."""

    path: str
    host: str

    def __str__(self) -> str:
        return f"{self.path} {self.host}"


ROWS = [
    Row("/", "a.test"),
    Row("/", "a.test:8080"),
    Row("/", "A.Test"),
    Row("/", "alias.test"),
    Row("/", "six.test"),
    Row("/six", "six.test"),
    Row("/six", "both.test"),
    Row("/six", "a.test"),
    Row("/", "gone.test"),
    Row("/six", "gone.test"),
    Row("/", "refused.test"),
    Row("/", "silent.test"),
    Row("/none", "a.test"),
    Row("/missing", "a.test"),
    Row("/", "127.0.0.1"),
    Row("/", "a..test"),
    Row("/", "x" * 64 + ".test"),
    Row("/", ""),
    Row("/go", "local.test"),
]
ZONE = {
    ("a.test", "A"): a("a.test", "127.0.0.9"),
    ("alias.test", "A"): Records([("alias.test.", 1, "CNAME", "a.test."), ("a.test.", 1, "A", "127.0.0.9")]),
    ("six.test", "AAAA"): a("six.test", "2001:db8::1"),
    ("both.test", "A"): a("both.test", "127.0.0.7"),
    ("both.test", "AAAA"): a("both.test", "2001:db8::7"),
    ("refused.test", "A"): Records(code="REFUSED"),
    ("refused.test", "AAAA"): Records(code="REFUSED"),
    ("silent.test", "A"): None,
    ("silent.test", "AAAA"): None,
    ("local.test", "A"): a("local.test", "127.0.0.1"),
    ("tcp.test", "A"): a("tcp.test", "127.0.0.1"),
}


def ask(side: Side, row: Row) -> bytes:
    """The answer without what must differ."""
    raw = exchange(side.port, f"GET {row.path} HTTP/1.1\r\nHost: {row.host}\r\nConnection: close\r\n\r\n".encode())
    return raw.replace(str(side.origin.port).encode(), b"PORT")


Answers = tuple[dict[str, bytes], dict[str, bytes]]


@pytest.fixture(scope="module")
def answers(module_duel: DuelFactory) -> Iterator[Answers]:
    """What both answered, HAProxy first."""
    with Nameserver() as server, Nameserver() as silent:
        server.zone.update(ZONE)
        silent.script = lambda question: None
        duel = module_duel(CONFIG, dead_ns=str(server.port), dead_none=str(silent.port))

        def every(side: Side) -> dict[str, bytes]:
            found = {str(row): ask(side, row) for row in ROWS}
            raw = exchange(side.ports["port2"], b"GET /tcp HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
            found["tcp"] = raw.replace(str(side.origin.port).encode(), b"PORT")
            return found

        yield duel.both(every)
        # HAProxy 2.6 forgets an answer with the last rule that waits for it; the manual's `hold valid` is kept here.
        before = server.count("a.test")
        assert b"<127.0.0.9  >" in ask(duel.trilb, Row("/", "a.test"))
        assert server.count("a.test") == before


@pytest.mark.parametrize("name", [*map(str, ROWS), "tcp"])
def test_answer(answers: Answers, name: str) -> None:
    """Addresses, or that there are none."""
    expected, found = answers
    assert found[name] == expected[name]
