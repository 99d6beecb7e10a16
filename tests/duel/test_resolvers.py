"""Names at run time: the same answers of a nameserver give the same addresses, states and log lines as HAProxy."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from functools import partial

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.nameserver import Answer, Nameserver, Records, a, srv
from tests.support.runtime_socket import command

CONFIG = """
global
    stats socket {dir}/admin level admin
    log 127.0.0.1:{syslog} local0
resolvers ns
    nameserver n1 127.0.0.1:{dead_ns}
    resolve_retries 1
    timeout resolve 30ms
    timeout retry 1s
    hold nx 80ms
    hold timeout 80ms
    hold refused 80ms
    hold other 80ms
defaults
    mode http
    log global
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen f
    bind 127.0.0.1:{port}
backend one
    server s app.test:80 resolvers ns init-addr none
backend four
    server s app.test:80 resolvers ns init-addr none resolve-prefer ipv4
backend net
    server s net.test:80 resolvers ns init-addr none resolve-prefer ipv4 resolve-net 127.0.3.0/24,127.0.1.0/24
backend pool
    server-template x 2-4 pool.test:81 resolvers ns init-addr none resolve-prefer ipv4
    server-template z 1 pool.test:82 resolvers ns init-addr none resolve-prefer ipv4 backup
backend twins
    default-server resolvers ns init-addr none resolve-prefer ipv4 resolve-opts allow-dup-ip
    server a pool.test:81
    server b pool.test:82
backend srv
    server-template y 3 _http._tcp.srv.test resolvers ns resolve-prefer ipv4
backend own
    server-template w 4 _own._tcp.srv.test resolvers ns resolve-prefer ipv4 resolve-opts ignore-weight weight 7
backend begun
    server fixed app.test:80 resolvers ns init-addr 127.0.0.9 resolve-prefer ipv4
    server plain 127.0.0.1:80 resolvers ns
backend equals
    default-server resolvers ns resolve-prefer ipv4 init-addr 127.0.0.6
    server a twin.test:1
    server b twin.test:2
backend shared
    default-server resolvers ns resolve-prefer ipv4 init-addr none
    server a twin.test:1
    server b twin.test:2 resolve-opts allow-dup-ip
    server c twin.test:3 resolve-opts prevent-dup-ip,allow-dup-ip
    server d twin.test:4 resolve-opts allow-dup-ip
    server e twin.test:5 resolve-opts allow-dup-ip,prevent-dup-ip
backend ruled
    default-server resolvers ns resolve-prefer ipv4 init-addr none
    server a ruled.test
    server b ruled.test:+5
    server c owner.test:80 check addr 127.0.0.1 port {port} inter 100ms
    server d ruled.test:80 track ruled/c resolve-opts allow-dup-ip
    server e ruled.test:80 disabled
    server g ruled.test:80 resolve-opts allow-dup-ip
"""
SRV = "_http._tcp.srv.test"
OWN = "_own._tcp.srv.test"


@dataclass(frozen=True)
class Phase:
    """What the nameserver says from now on, and what must come of it."""

    id: str
    zone: dict[tuple[str, str], Answer]
    wanted: dict[str, str]
    """Servers and their states: `address weight`, or `-`."""
    clear: bool = False
    every: Answer = field(default=None)
    """The answer to everything."""
    commands: tuple[str, ...] = ()


def more(name: str, *texts: str) -> dict[tuple[str, str], Answer]:
    """A zone of one name, with the addresses of both families."""
    four = [text for text in texts if ":" not in text]
    six = [text for text in texts if ":" in text]
    return {(name, "A"): a(name, *four), (name, "AAAA"): a(name, *six)}


TARGETS = ((0, 8001, "t1.test", "127.0.2.1"), (1, 8002, "t2.test", "127.0.2.2"), (65535, 8003, "t3.test", "127.0.2.3"))
PHASES = [
    Phase("unknown names", {}, {"one/s": "-", "pool/x2": "-", "srv/y1": "-", "begun/fixed": "-"}),
    Phase(
        "first answers",
        {
            **more("app.test", "127.0.0.2"),
            **more("net.test", "127.0.2.1", "127.0.1.1"),
            **more("pool.test", "127.0.0.11", "127.0.0.12"),
            (SRV, "SRV"): srv(SRV, *TARGETS[:2]),
        },
        {"one/s": "127.0.0.2:80 1", "net/s": "127.0.1.1:80 1", "srv/y2": "127.0.2.2:8002 1", "srv/y3": "-"},
    ),
    Phase(
        "other addresses",
        {
            **more("app.test", "127.0.0.3", "::1"),
            **more("net.test", "127.0.2.1", "127.0.4.1"),
            **more("pool.test", *(f"127.0.0.{n}" for n in range(12, 17))),
            (SRV, "SRV"): srv(SRV, TARGETS[0], TARGETS[2]),
        },
        {"one/s": "[::1]:80 1", "four/s": "127.0.0.3:80 1", "srv/y3": "127.0.2.3:8003 256", "srv/y2": "-"},
    ),
    Phase(
        "fewer, weights, targets without address",
        {
            **more("pool.test", "127.0.0.15"),
            (SRV, "SRV"): srv(SRV, (512, *TARGETS[0][1:]), TARGETS[2], additional=False),
            (OWN, "SRV"): srv(OWN, (9, 9, "t9.test", ""), (9, 10, "t9.test", ""), (3, 1, "t4.test", "127.0.2.4")),
            **more("t9.test", "127.0.2.9"),
            **more("t1.test", "127.0.2.101"),
        },
        {"srv/y1": "127.0.2.101:8001 2", "srv/y3": "-", "own/w1": "127.0.2.4:1 7", "own/w2": "127.0.2.9:9 7"},
    ),
    Phase(
        "aliases",
        {
            ("app.test", "A"): Records(
                [
                    ("app.test.", 1, "CNAME", "b.test."),
                    ("b.test.", 1, "CNAME", "c.test."),
                    ("c.test.", 1, "A", "127.0.0.7"),
                ]
            ),
            ("app.test", "AAAA"): Records([("app.test.", 1, "CNAME", "c.test.")]),
        },
        {"one/s": "127.0.0.7:80 1", "four/s": "127.0.0.7:80 1"},
    ),
    Phase(
        "NXDOMAIN",
        # Targets keep their addresses: which of two names a nameserver gave up first is not the same twice.
        {**more("t1.test", "127.0.2.101"), **more("t9.test", "127.0.2.9")},
        {"one/s": "-", "pool/x2": "-", "srv/y1": "-", "own/w1": "-", "own/w2": "-", "twins/a": "-"},
        clear=True,
    ),
    Phase(
        "back",
        {
            **more("app.test", "127.0.0.2"),
            **more("pool.test", "127.0.0.11", "127.0.0.12", "127.0.0.13"),
            (SRV, "SRV"): srv(SRV, *TARGETS),
            **more("net.test", "127.0.2.1", "127.0.1.1"),
        },
        {"one/s": "127.0.0.2:80 1", "pool/x4": "127.0.0.11:81 1", "srv/y3": "127.0.2.3:8003 256"},
    ),
    Phase("refused", {}, {"one/s": "-", "srv/y1": "-"}, every=Records(code="REFUSED")),
    Phase("back again", {}, {"one/s": "127.0.0.2:80 1", "pool/x4": "127.0.0.11:81 1"}),
    Phase("nothing there", {}, {"one/s": "-", "srv/y1": "-"}, every=Records()),
    Phase("and back", {}, {"one/s": "127.0.0.2:80 1", "pool/x4": "127.0.0.11:81 1"}),
    Phase(
        "twins",
        {**more("twin.test", "127.0.0.5", "127.0.0.6", "127.0.0.7"), **more("net.test", "127.0.2.1", "127.0.1.1")},
        {"equals/a": "127.0.0.6:1 1", "equals/b": "127.0.0.7:2 1", "shared/d": "127.0.0.6:4 1", "shared/e": "-"},
    ),
    Phase(
        "what is taken is kept",
        {
            **more("twin.test", *(f"127.0.0.{n}" for n in range(5, 10))),
            **more("net.test", "127.0.2.1", "127.0.1.1", "127.0.3.1"),
        },
        {"shared/d": "127.0.0.6:4 1", "shared/e": "127.0.0.8:5 1", "net/s": "127.0.1.1:80 1"},
    ),
    Phase(
        "who tracks, drains or rests",
        {**more("ruled.test", "127.0.0.5", "127.0.0.6", "127.0.0.7")},
        {"ruled/a": "127.0.0.6:0 1", "ruled/b": "127.0.0.7:5 1", "ruled/d": "-"},
    ),
    Phase("who is tracked", {**more("owner.test", "127.0.0.8")}, {"ruled/c": "127.0.0.8:80 1"}),
    Phase(
        "moved and drained",
        {**more("ruled.test", "127.0.1.5", "127.0.1.6", "127.0.1.7")},
        {"ruled/a": "127.0.1.5:0 1", "ruled/g": "127.0.1.5:80 1"},
        commands=("set server ruled/g state drain; set server ruled/e state ready",),
    ),
    Phase("gone", {("ruled.test", "A"): Records(code="NXDOMAIN")}, {"ruled/a": "-", "ruled/g": "-"}),
    Phase(
        "back in maintenance",
        {**more("ruled.test", "127.0.1.5", "127.0.1.6", "127.0.1.7")},
        {"ruled/b": "127.0.1.7:5 1", "ruled/d": "127.0.1.6:80 1"},
        commands=("set server ruled/a state maint; set server ruled/b state drain",),
    ),
    Phase(
        "the tracked one is gone",
        {("owner.test", "A"): Records(code="NXDOMAIN")},
        {"ruled/a": "127.0.1.5:0 1", "ruled/c": "-", "ruled/d": "-"},
        commands=("set server ruled/a state ready",),
    ),
    Phase(
        "set by hand",
        {},
        {"ruled/b": "127.0.0.77:99 1", "ruled/a": "-"},
        commands=("set server ruled/b addr 127.0.0.77 port 99; set server ruled/a state maint",),
    ),
    Phase("silence", {}, {"one/s": "-", "srv/y1": "-"}, every=[]),
    Phase("and back once more", {}, {"one/s": "127.0.0.2:80 1", "pool/x4": "127.0.0.11:81 1"}),
    Phase("failing", {}, {"one/s": "-", "srv/y1": "-"}, every=Records(code="SERVFAIL")),
]


def states(side: Side) -> dict[str, str]:
    """Address and weight of every server, `-` for one without address."""
    found = {}
    for line in command(f"{side.program.dir}/admin", "show stat").splitlines()[1:]:
        fields = line.split(",")
        if len(fields) > 73 and fields[1] not in ("FRONTEND", "BACKEND"):
            known = "-" if fields[17].startswith("MAINT") else f"{fields[73]} {fields[18]}"
            found[f"{fields[0]}/{fields[1]}"] = known
    return found


def command_of(side: Side, text: str) -> str:
    """A command's answer."""
    return command(f"{side.program.dir}/admin", text)


def wait(duel: Duel, phase: Phase) -> dict[str, str]:
    """Until both are where the phase wants them, and equal."""
    deadline = time.monotonic() + 8
    while True:
        expected, found = states(duel.haproxy), states(duel.trilb)
        if expected == found and all(expected.get(name) == state for name, state in phase.wanted.items()):
            return expected
        odd = {name: (expected[name], found.get(name), phase.wanted.get(name)) for name in expected}
        odd = {
            name: (one, two, three) for name, (one, two, three) in odd.items() if one != two or three not in (None, one)
        }
        assert time.monotonic() < deadline, f"{phase.id}: HAProxy, trilb, wanted: {odd}"
        time.sleep(0.02)


def lines(side: Side) -> dict[str, list[str]]:
    """What was logged about each server and backend, without date and process.

    Between servers of different names the order says only which answer came first.
    """
    found: dict[str, list[str]] = {}
    for line in side.syslog.pending():
        text = re.sub(r"^(<\d+>).*?\]: ", r"\1", line).strip()
        about = re.search(r"(\w+/\w+)|backend (\w+)", text)
        assert about is not None, text
        found.setdefault(about[1] or about[2], []).append(text)
    return found


def test_answers(duel: DuelFactory) -> None:
    """Phase after phase, addresses, weights, states and log lines are HAProxy's."""
    odd: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {}
    with Nameserver() as server:
        both = duel(CONFIG, dead_ns=str(server.port))
        for phase in PHASES:
            if phase.clear:
                server.zone.clear()
            server.zone.update(phase.zone)
            every = phase.every
            server.script = None if every is None else lambda question, every=every: every
            for text in phase.commands:
                both.same(partial(command_of, text=text))
            wait(both, phase)
            # What goes on to change once the wanted state is reached is over after some more rounds.
            server.wait(SRV, 4)
            server.wait("app.test", 4)
            wait(both, phase)
            expected, found = lines(both.haproxy), lines(both.trilb)
            if found != expected:
                odd[phase.id] = (expected, found)
    assert not odd
