"""States of servers side by side: the same commands and failures, the same answers, log lines, states, figures."""

from __future__ import annotations

import csv
import io
import random
import re
import time
from contextlib import suppress
from functools import partial

import pytest

from tests.duel.conftest import DuelFactory
from tests.duel.test_tables import ask
from tests.support.duel import Duel, Side
from tests.support.origin import Origin

CONFIG = """
global
    stats socket {dir}/cli level admin
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend awaited
    bind 127.0.0.1:{port}
backend numbered
    id 77
    server x 127.0.0.1:{origin1} id 5
    server y unix@{dir}/none.sock
    server z localhost:{origin1} ssl verify none
    server w ::1:+10 no-ssl
backend own
    server a 127.0.0.1:{origin1} check inter 40ms fall 2 rise 2 weight 10
    server b 127.0.0.1:{origin1} weight 20
    server spare 127.0.0.1:{origin1} backup
backend tracking
    server t1 127.0.0.1:{origin1} track own/a
    server t2 127.0.0.1:{origin1} track t1
    server t3 127.0.0.1:{origin1} track own/a
backend deep
    server u1 127.0.0.1:{origin1} track tracking/t2 backup
backend fixed
    balance static-rr
    server s1 127.0.0.1:{origin1} weight 5
    server s2 127.0.0.1:{origin1} disabled
backend backups
    server p1 127.0.0.1:{origin1}
    server p2 127.0.0.1:{origin1} backup
    server p3 127.0.0.1:{origin1} backup weight 0
backend off
    server d1 127.0.0.1:{origin1} track src/d
backend src
    server d 127.0.0.1:{origin1} check inter 40ms disabled rise 5 fall 4
    server e 127.0.0.1:{origin1} rise 5 fall 4
backend mark
    server m 127.0.0.1:{origin1}
    server n 127.0.0.1:{origin1}
"""


def logged(side: Side) -> list[str]:
    """The lines logged so far, all of them: a change of a server that nobody looks at comes behind them."""
    lines: list[str] = []
    for state in ("maint", "ready"):
        ask(side, f"set server mark/m state {state}")
        while "mark/m" not in (line := side.syslog.take()[0]):
            line = re.sub(r"duration: \d+ms", "duration: Nms", re.sub(r"^(<\d+>).*?\]: ", r"\1", line).rstrip())
            lines.append(re.sub(r', info: ".*?"', "", line))
    return lines


def states(side: Side) -> list[str]:
    """Of every server: without the time of its last change, and whether a check is under way."""
    found = []
    for line in ask(side, "show servers state").splitlines()[2:]:
        fields = line.split(" ")
        if len(fields) > 20 and fields[1] != "mark":
            fields[9], fields[13] = "T", str(int(fields[13]) & ~1)
            found.append(" ".join(fields).replace(str(side.origin.port), "PORT"))
    return found


def figures(side: Side) -> list[str]:
    """What the statistics say of states."""
    rows = csv.DictReader(io.StringIO(ask(side, "show stat -1 6 -1")[2:]))
    names = ("pxname", "svname", "status", "act", "bck", "chkdown", "tracked")
    return [" ".join(f"{name}={row[name]}" for name in names) for row in rows if row["pxname"] != "mark"]


def told(side: Side, command: str) -> list[str]:
    """All that a command does."""
    answer = ask(side, command).replace(str(side.program.dir), "DIR")
    return [answer.replace(str(side.origin.port), "PORT"), *logged(side), *states(side), *figures(side)]


def until(side: Side, command: str, wanted: str) -> None:
    """Ask until the answer has something like that."""
    deadline, answer = time.monotonic() + 10, ""
    while not re.search(wanted, answer):
        assert time.monotonic() < deadline, (command, wanted, answer)
        time.sleep(0.02)
        # Its socket may not be there yet.
        with suppress(OSError):
            answer = ask(side, command)


@pytest.fixture
def asked(duel: DuelFactory) -> Duel:
    """Everything has been checked once and is checked no more."""
    made = duel(CONFIG)
    for side in (made.haproxy, made.trilb):
        until(side, "show servers state own", r" a 127.0.0.1 2 0 10 10 \d+ 6 3 3")
        for server in ("own/a", "src/d"):
            ask(side, f"disable health {server}")
        side.syslog.pending()
    return made


SERVERS = (
    "own/a own/b own/spare tracking/t1 tracking/t2 tracking/t3 deep/u1 fixed/s1 fixed/s2 backups/p1 backups/p2 "
    "backups/p3 off/d1 src/d src/e numbered/x"
).split()
CHANGES = (
    "disable server {}",
    "enable server {}",
    "set server {} state ready",
    "set server {} state drain",
    "set server {} state maint",
    "set server {} health up",
    "set server {} health down",
    "set server {} health stopping",
    "set weight {} 0",
    "set weight {} 100%",
    "set weight {} 50%",
    "set server {} weight 3",
)


@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.nightly)])
def test_any_sequence_of_changes(asked: Duel, seed: int) -> None:
    """Whatever is done to servers that track each other, both come to the same states and tell the same of it."""
    dice = random.Random(seed)
    before: list[str] = []
    for _ in range(150):
        command = dice.choice(CHANGES).format(dice.choice(SERVERS))
        before.append(command)
        expected, got = asked.both(partial(told, command=command))
        assert set(got) ^ set(expected) == set() and got == expected, before[-5:]


ANSWERED = """
set server
set server own
set server own/
set server zz/a state ready
set server own/zz state ready
set server own/a
set server own/a bogus 1
set server own/a state
set server own/a state READY
set server own/a health
set server own/a health sick
set server tracking/t1 health down
set server own/a agent up
set server own/a agent-send x
set server own/a agent-port 5
set server own/a agent-addr 127.0.0.1
set server own/a check-port
set server src/e check-port 5
set server src/e check-addr 127.0.0.1
set server own/a weight
set server own/a weight x
set server own/a weight 5x
set server own/a weight 5%x
set server own/a weight 257
set server own/a weight -1
set server own/a weight -1%
set server own/a weight 3000%
set server own/a weight 1%
set server fixed/s1 weight 50%
set server fixed/s1 weight 10
set server own/a fqdn
set server own/a fqdn name.example
set server numbered/z ssl off
set server numbered/z ssl on
set server numbered/z ssl
set server numbered/w ssl on
set server own/a ssl on
set weight own/a
set weight #77/#5 4
get weight #77/#5
get weight own/a
get weight fixed/s1
get weight
get weight own
get weight zz/a
get weight own/zz
set maxconn server own/a 20
set maxconn server own/a 0
set maxconn server own/a x
set maxconn server own/a 3x
set maxconn server own/a
set maxconn server own
set maxconn server own/zz 2
enable server
disable server own
enable server own/zz
enable health own/b
enable health zz/b
disable health own/b
enable agent own/a
disable agent own/a
enable health own
show servers state zz
show servers conn zz
show backend
shutdown sessions server
shutdown sessions server own
shutdown sessions server own/a
shutdown sessions server own/zz
set server own/b addr
set server own/b addr 127.0.0.2
set server own/b addr 127.0.0.2
set server own/b addr 127.0.0.1 port 81
set server own/b addr 127.0.0.1 port 81
set server own/b addr 127.0.0.1 port +1
set server own/b addr 127.0.0.1 port x
set server own/b addr 127.0.0.1 port
set server own/b addr 127.0.0.1 prt 5
set server own/b addr ::1
set server own/b addr ::1 port 443
set server own/b addr localhost
set server own/b addr 1.2.3
set server own/b addr 127.0.0.1 port 77777
set server numbered/y addr 127.0.0.1
set server numbered/z addr 127.0.0.8 port 9
set server numbered/w addr ::1
set server numbered/w addr 127.0.0.1
add server
add server own
add server own/
add server zz/n 127.0.0.1:80
add server own/n
add server own/a 127.0.0.1:80
add server own/x/y 127.0.0.1:80
add server own/n 127.0.0.1:80 bogus
add server own/n 127.0.0.1:80 resolvers r
add server own/n 127.0.0.1:80 init-addr none
add server own/n 127.0.0.1:80 no-check
add server own/n 127.0.0.1:80 stick
add server own/n 127.0.0.1:80 track own/b
add server own/n 127.0.0.1:80 track zz/b
add server own/n 127.0.0.1:80 track own/zz
add server own/n 127.0.0.1:80 track own/a check
add server own/n 127.0.0.1 check
add server own/n fd@4
add server own/n 127.0.0.1:80-90
add server own/n1 127.0.0.1:80
add server own/n2 127.0.0.1:80 weight 7 maxconn 3 id 200
add server own/n3 127.0.0.1:80 check
add server own/n4 127.0.0.1:80 track own/a
add server own/n5 127.0.0.1:80 track n4
add server own/n7 127.0.0.1:80 backup disabled
add server own/n8 name.invalid:80
enable server own/n1
enable server own/n4
set server own/a health stopping
set server own/a state maint
del server
del server own
del server zz/a
del server own/zz
del server own/a
del server own/b
del server own/n1
del server own/n4
del server own/n8
disable server own/n1
del server own/n1
disable server own/b
del server own/b
add server own/n9 127.0.0.1:80
set server own/a state ready
"""


def test_what_is_answered(asked: Duel) -> None:
    """Each answer to the byte, and what it changed."""
    for command in ANSWERED.strip().splitlines():
        expected, got = asked.both(partial(told, command=command))
        assert set(got) ^ set(expected) == set() and got == expected, command


def test_checks_change_states(duel: DuelFactory) -> None:
    """A server that fails and comes back: those that track it, those that are in maintenance or drain meanwhile."""
    made = duel(CONFIG)
    both = (made.haproxy, made.trilb)
    for side in both:
        until(side, "show servers state own", r" a 127.0.0.1 2 0 10 10 \d+ 6 3 3")
        side.syslog.pending()
        for command in ("set server tracking/t1 state maint", "set server tracking/t3 state drain"):
            ask(side, command)
    made.same(logged)
    for side in both:
        side.origin.__exit__(None, None, None)
        until(side, "show servers state own", " a 127.0.0.1 0 0 10 10")
    made.same(lambda side: (logged(side), states(side), figures(side)))
    made.same(lambda side: told(side, "set server tracking/t1 state ready"))
    made.same(lambda side: told(side, "set server own/a state drain"))
    made.same(lambda side: told(side, "set server own/b health down"))
    with Origin(name="s1", port=made.haproxy.origin.port), Origin(name="s1", port=made.trilb.origin.port):
        for side in both:
            until(side, "show servers state own", r" a 127.0.0.1 2 8 10 10 \d+ 6 3 3")
        made.same(lambda side: (logged(side), states(side), figures(side)))
        made.same(lambda side: told(side, "set server own/a state ready"))
