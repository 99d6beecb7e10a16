"""Files of states side by side: what one program writes both can read, and come to the same states by it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.duel.test_server_states import until
from tests.duel.test_tables import ask
from tests.support.duel import Side, require_haproxy
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.syslog import Syslog

BASE = """
global
    stats socket {dir}/cli level admin
    server-state-base {states}
    server-state-file all
defaults
    mode http
    load-server-state-from-file global
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend awaited
    bind 127.0.0.1:{port}
backend y
    load-server-state-from-file local
    server a 127.0.0.1:80
backend z
    load-server-state-from-file none
    server a 127.0.0.1:80
"""
BACKEND = """
backend %s
    server a 127.0.0.1:80 weight 10
    server b 127.0.0.1:80 weight 10
    server c 127.0.0.1:80 id 33 disabled
    server d localhost:80
    server e 127.0.0.1:80 track f
    server f 127.0.0.1:80 check inter 1h
    server g 127.0.0.1:80 ssl verify none
    server h 127.0.0.1:80 check inter 1h disabled
"""
HEADER = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
    " srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state"
    " bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr"
    " srv_agent_addr srv_agent_port\n"
)


def start(name: str, states: Path, backends: int = 1) -> Side:
    """One of the two, on the files of that directory; the backends are x0, x1 ..."""
    port = free_port()
    make = Program.haproxy if name == "haproxy" else Program.trilb
    program = make(BASE + "".join(BACKEND % f"x{i}" for i in range(backends)), port=port, states=str(states))
    side = Side(name, program, Syslog(), [], {"port": port})
    until(side, "show servers state", "# be_id")
    return side


def stop(side: Side) -> None:
    """End it."""
    side.program.stop()
    side.syslog.__exit__(None, None, None)


def states(side: Side) -> list[str]:
    """Of every server but one that is being checked, without seconds."""
    found = []
    for line in ask(side, "show servers state").splitlines()[2:]:
        fields = line.split(" ")
        if len(fields) > 20 and (fields[3] not in ("e", "f") or fields[6] == "1"):
            fields[9] = str(int(fields[9]) // 20)
            found.append(" ".join(fields))
    return found


def line(server: str, state: str, rest: str = "0 0 - 80 - 0 0 - - 0", backend: str = "x0") -> str:
    """A line of the file: server and address, operation to time, check."""
    return f"2 {backend} {server} {state} 1 0 0 0 0 {rest}\n"


FILES = {
    "maintenance and weights": line("1 a 127.0.0.9", "0 1 7 10 50") + line("2 b 127.0.0.1", "2 8 3 10 50"),
    "ids differ": line("9 a 127.0.0.1", "0 1 7 10 50") + line("1 b 127.0.0.1", "3 0 10 10 50"),
    "nobody knows it": line("7 nobody 127.0.0.1", "0 1 7 10 50") + line("1 a 127.0.0.1", "0 1 1 1 50", backend="no"),
    "weight configured anew": line("1 a 127.0.0.1", "2 0 7 11 50"),
    "ports": line("1 a 127.0.0.1", "2 0 10 10 50", "0 0 - 99 - 0 0 - - 0"),
    "configured maintenance stays": line("33 c 127.0.0.1", "2 0 1 1 50", "0 1 - 81 - 0 0 - - 0"),
    "last address": line("4 d 127.0.0.5", "2 8 1 1 50", "0 0 localhost 80 - 0 0 - - 0"),
    "last address, IPv6": line("4 d ::1", "2 0 1 1 50", "0 0 localhost 80 - 0 0 - - 0"),
    "checked, maintenance": line("6 f 127.0.0.1", "0 1 1 1 50", "0 0 - 80 - 0 0 - - 0"),
    "checked, maintenance of the configuration": line("8 h 127.0.0.1", "0 5 1 1 50", "0 0 - 80 - 0 0 - - 0"),
    "checked, maintenance where that is the configuration's": line("8 h 127.0.0.1", "0 1 1 1 50"),
    "TLS off": line("7 g 127.0.0.1", "2 0 1 1 50"),
    "stopping": line("7 g 127.0.0.1", "3 0 1 1 50", "0 0 - 80 - 1 0 - - 0"),
    "down": line("1 a 127.0.0.1", "0 0 10 10 50"),
    "first line counts": line("1 a 127.0.0.1", "2 0 9 10 50") + line("1 a 127.0.0.1", "2 0 8 10 50"),
    "bad values": line("1 a 127.0.0.1", "9 0 7 10 50") + line("2 b 127.0.0.1", "2 9 7 10 50"),
    "more bad values": line("1 a 127.0.0.1", "2 0 900 10 50") + line("2 b 127.0.0.1", "2 0 7 10 x"),
    "blanks and comments": "\n# nothing\n  " + line("1 a 127.0.0.1", "2 0 9 10 50").replace(" ", "  "),
    "more words": line("1 a 127.0.0.1", "2 0 9 10 50", "0 0 - 80 - 0 0 - - 0 and more"),
    "own file": line("1 a 127.0.0.1", "2 8 1 1 50", backend="y") + line("1 a 127.0.0.1", "2 8 1 1 50", backend="z"),
}


def test_files(tmp_path: Path) -> None:
    """The same lines, the same states; every row of the table is about a backend of its own."""
    require_haproxy()
    texts = [text.replace(" x0 ", f" x{number} ") for number, text in enumerate(FILES.values())]
    (tmp_path / "all").write_text(HEADER + "".join(texts))
    (tmp_path / "y").write_text(HEADER + FILES["own file"])
    found = []
    for program in ("haproxy", "trilb"):
        side = start(program, tmp_path, len(texts))
        try:
            found.append(states(side))
        finally:
            stop(side)
    assert len(found[0]) == 6 * len(texts) + 3
    for got, expected in zip(found[1], found[0], strict=True):
        assert got == expected, list(FILES)[int(re.sub(r"\D", "", expected.split(" ")[1]) or 0)]


@pytest.mark.parametrize("writer", ["haproxy", "trilb"])
def test_round_trip(tmp_path: Path, writer: str) -> None:
    """States that one wrote are those that both begin with."""
    require_haproxy()
    side = start(writer, tmp_path)
    try:
        for command in (
            "set server x0/a state maint",
            "set server x0/b state drain",
            "set weight x0/b 3",
            "set server x0/c state ready",
            "set server x0/d addr 127.0.0.7",
            "set server x0/g health stopping",
            "set server x0/f health down",
            "set server y/a state drain",
        ):
            ask(side, command)
        written = ask(side, "show servers state")
        (tmp_path / "all").write_text(written[:-1])
        (tmp_path / "y").write_text(ask(side, "show servers state y")[:-1])
    finally:
        stop(side)
    found = []
    for program in ("haproxy", "trilb"):
        side = start(program, tmp_path)
        try:
            found.append(
                [re.sub(r"(?<=127.0.0.1) 0 (\d+) (\d+ \d+) \d+ ", r" 0 \1 \2 T ", row) for row in states(side)]
            )
        finally:
            stop(side)
    assert found[1] == found[0]
    assert any(" a 127.0.0.1 0 1 10 10 " in row for row in found[1])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, "Can't open global server state file 'FILE': No such file or directory"),
        ("", "Can't get version of the global server state file 'FILE'."),
        ("2\n", "Can't get version of the global server state file 'FILE'."),
        ("1\r\n" + HEADER, "Can't get version of the global server state file 'FILE'."),
        (HEADER + "2 x0 1 a\n", "corrupted global server state file 'FILE' at line 3."),
        (HEADER + line("1 a 127.0.0.1", "2 0 9 10 50")[:-1], "corrupted global server state file 'FILE' at line 3."),
        (HEADER + line("1 a 127.0.0.1", "9 0 9 10 50"), "failed for server 'x0/a', invalid srv_op_state value '9'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | None, wanted: str) -> None:
    """With the file and the line, and the rest is served."""
    (tmp_path / "y").write_text(HEADER)
    if text is not None:
        (tmp_path / "all").write_bytes(text.encode())
    side = start("trilb", tmp_path)
    try:
        told = wanted.replace("FILE", str(tmp_path / "all"))
        assert told in side.program.output
        assert told in ask(side, "show startup-logs")
        assert any(" x0 b 127.0.0.1 2 0 " in row.replace("2 b", "b") for row in states(side))
    finally:
        stop(side)
