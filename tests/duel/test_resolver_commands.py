"""`show resolvers` and `set server fqdn`: texts, counters and states are HAProxy's."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.nameserver import Answer, Nameserver, Question, Records, a
from tests.support.runtime_socket import command

NAMES = "ok alias nx refused servfail empty badalias wrong garbage big twice silent query".split()
CONFIG = """
global
    stats socket {dir}/admin level admin
resolvers ns
    nameserver n1 127.0.0.1:{dead_ns}
    resolve_retries 1
    timeout resolve 1h
    timeout retry 1s
resolvers pair
    nameserver silent 127.0.0.1:{dead_none}
    nameserver n1 127.0.0.1:{dead_ns}
    resolve_retries 2
    timeout resolve 1h
    timeout retry 500ms
resolvers tcp
    nameserver t1 tcp@127.0.0.1:{dead_ns}
    resolve_retries 1
    timeout resolve 50ms
    timeout retry 2s
resolvers quick
    nameserver n1 127.0.0.1:{dead_ns}
    resolve_retries 1
    timeout resolve 50ms
    timeout retry 1s
    hold nx 50ms
resolvers nobody
    nameserver n1 127.0.0.1:{dead_none}
    resolve_retries 1
    timeout resolve 1h
    timeout retry 1h
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen f
    bind 127.0.0.1:{port}
backend lost
    server x x.test:80 check resolvers nobody init-addr none
    server y x.test:80 check resolvers nobody init-addr none disabled
backend spared
    server x x.test:80 check resolvers nobody init-addr none
    server y 127.0.0.1:80
backend off
    server y x.test:80 check resolvers nobody init-addr none disabled
backend two
    server ok ok.test:80 resolvers pair init-addr none resolve-prefer ipv4
    server nx nx.test:80 resolvers pair init-addr none resolve-prefer ipv4
backend over
    server s stream.test:80 resolvers tcp init-addr none resolve-prefer ipv4
backend b
    server fixed 127.0.0.1:80 resolvers quick resolve-prefer ipv4
    server named ok.test:80 resolvers quick init-addr none resolve-prefer ipv4
    server plain 127.0.0.1:80
    server srv _a._tcp.test resolvers quick
backend c
""" + "".join(f"    server {name} {name}.test:80 resolvers ns init-addr none resolve-prefer ipv4\n" for name in NAMES)


def answer(question: Question) -> Answer:
    """One oddity a name."""
    name, four = question.name, question.type == "A"
    good = a(name, "127.0.0.2") if four else Records()
    alias = [(f"{name}.", 1, "CNAME", "x.test.")]
    answers: dict[str, Answer] = {
        "ok.test": good,
        "stream.test": a(name, "127.0.0.3") if question.stream and four else Records(),
        "other.test": a(name, "127.0.0.4") if four else Records(),
        "alias.test": Records([*alias, ("x.test.", 1, "A", "127.0.0.2")]),
        "refused.test": Records(code="REFUSED"),
        "servfail.test": Records(code="SERVFAIL"),
        "empty.test": Records(),
        "badalias.test": Records([*alias, ("y.test.", 1, "A", "127.0.0.2")]),
        "wrong.test": a("z.test", "127.0.0.2"),
        "garbage.test": (question.id ^ 1).to_bytes(2) + b"\xff" * 30,
        "big.test": a(name, *(f"127.1.0.{n}" for n in range(60))),
        "twice.test": [good.wire(question)] * 2 if four else None,
        "silent.test": None,
    }
    return answers.get(name, Records(code="NXDOMAIN"))


@pytest.fixture(scope="module")
def duel(module_duel: DuelFactory) -> Iterator[Duel]:
    """Both with the same nameserver, and with one that never answers."""
    with Nameserver() as server, Nameserver() as silent:
        server.script = answer
        silent.script = lambda question: None
        yield module_duel(CONFIG, dead_ns=str(server.port), dead_none=str(silent.port))


def ask(side: Side, text: str) -> str:
    """A command's answer."""
    return command(f"{side.program.dir}/admin", text)


def settled(duel: Duel, read: Callable[[Side], object], wanted: str) -> object:
    """Until both say the same, with `wanted` in it."""
    deadline = time.monotonic() + 8
    while True:
        expected, found = duel.both(read)
        if expected == found and wanted in str(found):
            return found
        assert time.monotonic() < deadline, f"HAProxy: {expected}\ntrilb: {found}"
        time.sleep(0.05)


def states(backend: str) -> Callable[[Side], list[str]]:
    """Servers of a backend without ages; bit 0x40 is set a little earlier here, when the name is."""

    def read(side: Side) -> list[str]:
        rows = []
        for line in ask(side, f"show servers state {backend}").splitlines()[2:]:
            fields = line.split(" ")
            fields[6], fields[9] = str(int(fields[6]) & ~0x40), "T"
            rows.append(" ".join(fields))
        return rows

    return read


def counters(side: Side) -> str:
    """How often what was answered."""
    return ask(side, "show resolvers ns")


def test_counters(duel: Duel) -> None:
    """Every kind of answer, counted as HAProxy counts it."""
    found = str(settled(duel, counters, "too_big:     1"))
    for line in ("valid:       3", "cname_error: 2", "refused:     2", "other:       2", "nx:          4"):
        assert line in found


def test_servers_without_an_address_went_down(duel: Duel) -> None:
    """They count it, and so does a backend that has no other; one that was disabled does not."""
    found = []
    for side in (duel.haproxy, duel.trilb):
        table = csv.DictReader(io.StringIO(command(side.program.dir / "admin", "show stat").removeprefix("# ")))
        rows = [row for row in table if row["pxname"] in ("lost", "spared", "off")]
        found.append([(row["pxname"], row["svname"], row["status"], row["chkdown"]) for row in rows])
    assert found[1] == found[0]
    assert ("lost", "BACKEND", "DOWN", "1") in found[0]


def test_two_nameservers(duel: Duel) -> None:
    """One answers, one does not: its valid answers count at once, its errors when the other had its time."""
    found = str(settled(duel, lambda side: ask(side, "show resolvers pair"), "nx:          3"))
    assert "valid:       1" in found
    assert "two 1 ok 127.0.0.2 2 0 " in str(settled(duel, states("two"), "127.0.0.2"))


def test_over_tcp(duel: Duel) -> None:
    """`tcp@`: the address comes over a stream."""
    assert "over 1 s 127.0.0.3 2 0 " in str(settled(duel, states("over"), "127.0.0.3"))


COMMANDS = [
    "show resolvers nope",
    "set server b/plain fqdn a.test",
    "set server b/srv fqdn a.test",
    "del server b/fixed",
    "del server b/srv",
    "add server b/new ok.test:80 resolvers quick",
    "set server b/fixed fqdn",
    "set server b/nope fqdn a.test",
    "set server nope/x fqdn a.test",
    "set server b/fixed fqdn " + "x" * 300,
    "set server b/fixed fqdn other.test",
    "set server b/fixed fqdn other.test",
    "set server b/named fqdn gone.test",
    "set server b/named fqdn other.test",
    "set server b/named fqdn ok.test more",
]


def test_commands(duel: Duel) -> None:
    """The answers, and where the servers end up."""
    settled(duel, states("b"), "named 127.0.0.2")
    for text in COMMANDS:
        duel.same(partial(ask, text=text))
    found = settled(duel, states("b"), "fixed 127.0.0.4")
    assert any("127.0.0.4 2 0 1 1" in row and "other.test 80 -" in row for row in found)  # type: ignore[attr-defined]
    duel.same(lambda side: ask(side, "set server b/named fqdn gone.test"))
    settled(duel, states("b"), "named - 0 32")
    duel.same(lambda side: ask(side, "set server b/named fqdn ok.test"))
    settled(duel, states("b"), "named 127.0.0.2 2 0")
