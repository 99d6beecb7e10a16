"""Lines said to the runtime socket, and what both programs answer."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.support.duel import Duel, Side, start_duel

CONFIG = """
global
    stats socket {dir}/admin mode 600 level admin
    stats socket {dir}/operator mode 600 level operator
    stats socket {dir}/user mode 600 level user
    stats socket {dir}/number mode 600 level admin severity-output number
    stats socket 127.0.0.1:{port3} level user
    stats timeout 1m
    maxconn 100
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port}
    default_backend be
frontend other
    bind 127.0.0.1:{port2}
    default_backend be
backend be
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin1}
"""


@pytest.fixture(scope="module")
def duel() -> Iterator[Duel]:
    with start_duel(CONFIG) as started:
        yield started


def say(side: Side, text: str, where: str = "admin") -> bytes:
    """Everything that is answered to a text whose sender sends no more."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(side.program.dir / where))
        said = b""
        try:
            sock.sendall(text.encode("latin-1"))
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                said += data
        except (ConnectionResetError, BrokenPipeError):
            pass
        return said


def plain(side: Side, said: bytes) -> str:
    """An answer without what cannot be the same: directories, versions, addresses in memory, times."""
    text = said.decode("latin-1").replace(str(side.program.dir), "DIR")
    text = re.sub(r"0x[0-9a-f]+", "0xPTR", text)
    text = re.sub(r"\[\d\d/\w{3}/\d{4}:[\d:.]+\]", "[TIME]", text)
    for name, port in side.ports.items():
        text = text.replace(f":{port}", f":{name}")
    # Which five commands are proposed, and which commands there are, is not compared: `help` has its own tests.
    text = re.sub(r"(?m)^  [a-z].*: .*\n", "", text)
    return re.sub(r"(?m)^(\[\d\]: )?\d+\.\d+\S*$", r"\1VERSION", text)


ADMIN = """\
show cli level
show cli level;show cli level
show cli level
show cli level x y z
 show	cli	level
show\\ cli level
SHOW cli level
;show cli level
show cli level;
show cli level;;show cli level
show cli level;quit;show cli level
quit
quit now
prompt
prompt;show cli level
show cli level;prompt
help
help show sess
help foo
foo
foo;show cli level
show
sho
se
clear
exit
@
@1
@1 show cli level
show cli
show cli foo
show schema
user
user;show cli level
operator;show cli level
operator;user;show cli level
user;operator
user;operator;show cli level
user;show errors
user;show sess
user;show env
operator;show env HOME
operator;disable frontend fe
operator;enable frontend fe
operator;shutdown frontend fe
operator;set maxconn global 10
operator;set maxconn frontend fe 10
operator;set rate-limit connections global 10
operator;shutdown session 0x1
operator;experimental-mode
operator;experimental-mode on
operator;expert-mode on
operator;disable server be/s1
operator;shutdown sessions server be/s1
user;show cli sockets
show cli sockets
set timeout
set timeout foo
set timeout cli
set timeout cli x
set timeout cli 0
set timeout cli 10
set timeout cli 10s
set timeout cli 100ms
set timeout cli 1m
set severity-output
set severity-output foo
set severity-output none
set severity-output number
set severity-output number;show cli level
set severity-output string;show cli level
set severity-output number;set timeout cli
set severity-output string;set timeout cli
set severity-output number;enable frontend
set severity-output string;show env NOPE
set severity-output number;foo
set severity-output number;help foo
set severity-output number;user;show errors
set severity-output number;experimental-mode
set severity-output number;show version x;show cli sockets
set severity-output number;set rate-limit
set severity-output number;shutdown session
set severity-output number;show sess 0x12
set severity-output number;show errors nope
set severity-output number;show env NOPE
set severity-output number;set maxconn global
set severity-output number;set maxconn frontend fe
set severity-output number;disable server x
set severity-output number;disable server be/x
set severity-output number;enable server
set severity-output number;set weight be/s1
set severity-output number;set weight be/s1 x
set severity-output number;set maxconn server be/s1 x
set severity-output number;get weight be/s1
set severity-output number;enable agent be/s1
set severity-output number;shutdown sessions server x
set severity-output number;add map x
set severity-output number;add acl x y
set severity-output number;show map nope
set severity-output number;get map a
set severity-output number;show table nope
set severity-output number;prepare map x
set severity-output number;commit map x
set severity-output number;clear map x
set severity-output number;del acl
set severity-output number;show resolvers x
experimental-mode
experimental-mode on;experimental-mode
experimental-mode on;experimental-mode off;experimental-mode
experimental-mode foo
experimental-mode on;user;experimental-mode
expert-mode
expert-mode on;expert-mode
expert-mode on;operator;expert-mode
show env HOME
show env NOPE
show env HAPROXY_CLI
show errors
show errors fe
show errors be
show errors nope
show errors -1
show errors 2
show errors 99
show errors fe request
show errors fe response
show errors fe foo
show sess 0x12
shutdown session
shutdown session foo
shutdown session 0x1
shutdown session 1
shutdown sessions
enable frontend
enable frontend nope
enable frontend be
enable frontend fe
enable frontend #2
enable frontend #99
disable frontend
disable frontend nope
disable frontend be
disable frontend fe;disable frontend fe;enable frontend fe;enable frontend fe
disable frontend #2;enable frontend #2
shutdown frontend
shutdown frontend nope
set maxconn
set maxconn foo
set maxconn frontend
set maxconn frontend fe
set maxconn frontend nope 3
set maxconn frontend nope
set maxconn frontend fe x
set maxconn frontend fe 10
set maxconn frontend fe 10x
set maxconn frontend fe -1
set maxconn frontend fe 0
set maxconn frontend be 10
set maxconn frontend #2 10
set maxconn global
set maxconn global x
set maxconn global 100000
set maxconn global 50
set maxconn global 0
set rate-limit
set rate-limit foo
set rate-limit connections
set rate-limit connections foo
set rate-limit connections global
set rate-limit connections global x
set rate-limit connections global 10
set rate-limit connections global 10x
set rate-limit connections global -10
set rate-limit connections global 0
set rate-limit sessions
set rate-limit sessions global
set rate-limit sessions global 3
set rate-limit sessions global 0
set rate-limit ssl-sessions global
set rate-limit ssl-sessions global 3
set rate-limit ssl-sessions global 0
set rate-limit ssl-sessions x
set rate-limit http-compression x
set rate-limit http-compression global
get var
get var proc.nope
get var nope
show tls-keys
show tls-keys *
show tls-keys x
show cache
show startup-logs
show peers
""".splitlines()
TEXTS = [
    "",
    "\n",
    " \n",
    "show cli level",
    "show cli level\r\n",
    "show cli level\nshow cli level\n",
    "show cli level\nshow cli",
    "prompt\nshow cli level\n",
    "prompt\nshow cli level;show cli level\n\n;\n  \nhelp user\n",
    "prompt\nshow cli level",
    "prompt;show cli level\nshow cli level\n",
    "prompt\nprompt\nshow cli level\nshow cli level\n",
    "prompt\nshow cli level;quit;show cli level\nshow cli level\n",
    "prompt\r\nshow cli level\r\nquit\r\n",
    "prompt\nprompt x\nshow cli level\n",
    "prompt\nset timeout cli 9\nuser\nshow cli level\nshow errors\n",
    "add map <<\nfoo\n\n",
    "prompt\nadd map x <<\nfoo\n\nshow cli level\n",
    "prompt\nadd map x <<\r\nfoo\r\n\r\nshow cli level\n",
    "show cli level <<\nfoo\n\n",
    "show cli level <<\nfoo\n",
    "show cli level;show cli level <<\nfoo\n\n",
    "<<\nfoo\n\n",
    "prompt\nadd map x <<",
    "prompt\nadd map x <<\nfoo",
    "show cli level " + "x " * 100 + "\n",
    "prompt\nshow cli level " + "x" * 20000 + "\n",
    "\0\1\xff\xfe\n",
    "show cli level\0foo\n",
    "\xe9t\xe9\n",
]


@pytest.mark.parametrize("line", ADMIN)
def test_a_line_is_answered_alike(duel: Duel, line: str) -> None:
    expected, got = duel.both(lambda side: plain(side, say(side, line + "\n")))
    assert got == expected


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_text_is_answered_alike(duel: Duel, text: str) -> None:
    expected, got = duel.both(lambda side: plain(side, say(side, text)))
    assert got == expected


@pytest.mark.parametrize("where", ["user", "operator", "number"])
def test_levels_and_severity_of_a_socket(duel: Duel, where: str) -> None:
    lines = (
        "show cli level;operator;show cli level;user;show errors;disable frontend fe;experimental-mode;set timeout cli"
    )
    expected, got = duel.both(lambda side: plain(side, say(side, lines + "\n", where)))
    assert got == expected


@pytest.mark.parametrize("where", ["admin", "operator", "user"])
def test_who_may_do_what(duel: Duel, where: str) -> None:
    """Every command that both have: forbidden to one, forbidden to the other."""
    theirs, ours = (set(say(side, "help\n").decode().splitlines()) for side in (duel.haproxy, duel.trilb))
    names = {re.sub(r" [@<\[({].*| *: .*", "", line[2:42].rstrip()) for line in theirs & ours if line.startswith("  ")}

    # HAProxy looks at the level later: behind usage, and where the files are looked up ("Can't allocate memory!").
    unlike = {"clear table", "set table", "show ssl ca-file", "show ssl cert", "show ssl crl-file"}
    # The manual of 3.x says so; 2.6 shows them to everybody.
    unlike |= {"show servers state", "show servers conn"}

    def forbidden(side: Side) -> list[str]:
        return sorted(name for name in names - unlike if say(side, f"{name}\n", where) == b"Permission denied\n\n")

    expected, got = duel.both(forbidden)
    assert got == expected


def test_help_has_the_words_of_haproxy(duel: Duel) -> None:
    """What HAProxy has too is worded and ordered alike, whatever else there is in either."""
    theirs, ours = (say(side, "help\n").decode().splitlines() for side in (duel.haproxy, duel.trilb))
    assert [line for line in ours if line in theirs] == [line for line in theirs if line in ours]
    usages = {line[:42] for line in theirs}
    assert [line for line in ours if line[:42] in usages and line not in theirs] == []
    assert len(set(ours) & set(theirs)) > 60
