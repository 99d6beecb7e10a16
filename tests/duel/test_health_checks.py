"""Health checks: the same server seen by both programs; what they send, what they log, what `show stat` says.

Every row is a backend whose server is checked once. All of them run at the same time in one pair of programs.
HAProxy's words of the system's errors are those of 2.6; trilb has those of 3.x, which come first (docs/differences.md).
"""

from __future__ import annotations

import csv
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.duel.check_rows import ROWS, Row
from tests.support.duel import require_haproxy
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.rows import SELF_CHECK
from tests.support.scripted import Scripted
from tests.support.syslog import Syslog

GLOBAL = """
global
    log 127.0.0.1:{syslog} local0
    stats socket {dir}/admin level admin
    node lb1
    max-spread-checks 500
defaults
    log global
    mode tcp
    option log-health-checks
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    timeout check 500ms
listen somebody
    bind 127.0.0.1:{port}
"""
_LINE = re.compile(r"^(<\d+>).*?\]: (Health check for (?:backup )?server (\S+?)/srv .*)", re.DOTALL)
_COLUMNS = ("status", "check_status", "check_code", "last_chk", "check_desc")


@dataclass
class Seen:
    """What one program did: by backend, the line, the columns, and what the server was sent."""

    lines: dict[str, str]
    columns: dict[str, dict[str, str]]
    sent: dict[str, bytes]


def observe(name: str) -> Seen:
    """Run one program until every server was checked."""
    with Scripted({row.id: row.script for row in ROWS}) as servers, Syslog() as syslog:
        text = GLOBAL + "".join(row.backend(servers.ports[row.id]) for row in ROWS)
        start = Program.haproxy if name == "haproxy" else Program.trilb
        with start(text, port=free_port(), syslog=syslog.port, timeout=20.0) as program:
            lines: dict[str, str] = {}
            deadline = time.monotonic() + 20
            while len(lines) < len(ROWS) and time.monotonic() < deadline:
                for line in syslog.pending():
                    found = _LINE.match(line.rstrip("\n\0"))
                    if found is not None:
                        lines.setdefault(found[3], _masked(found[1] + found[2]))
                time.sleep(0.02)
            assert len(lines) == len(ROWS), {row.id for row in ROWS} - set(lines)
            columns = _columns(str(program.dir / "admin"))
        return Seen(lines, columns, dict(servers.seen))


def _columns(path: str) -> dict[str, dict[str, str]]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"show stat\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    rows = csv.DictReader(answer.decode("latin-1").lstrip("# ").splitlines())
    return {row["pxname"]: {name: _masked(row[name]) for name in _COLUMNS} for row in rows if row["svname"] == "srv"}


def _masked(text: str) -> str:
    text = re.sub(r"duration: \d+ms", "duration: Nms", text)
    return re.sub(r"E[A-Z]+ returned by OS \((.*?)\)", r"\1", text)


def _sent(data: bytes) -> bytes:
    """What was sent, without what cannot be the same: ports, the time in a hello, the randomness of TLS."""
    if data[:3] in (b"\x16\x03\x01", b"\x16\x03\x03"):
        return b"TLS"
    data = re.sub(rb"port=\d+", b"port=N", data)
    data = re.sub(rb"(PROXY TCP4 \S+ \S+) \d+ \d+", rb"\1 N N", data)
    return re.sub(rb"(?s)^(\x16\x03\x00.{8})....", rb"\1TIME", data)


@pytest.fixture(scope="module")
def both() -> tuple[Seen, Seen]:
    """What HAProxy and trilb did."""
    require_haproxy()
    with ThreadPoolExecutor(2) as pool:
        expected, got = pool.map(observe, ("haproxy", "haproxy" if SELF_CHECK else "trilb"))
    return expected, got


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_checks(both: tuple[Seen, Seen], row: Row) -> None:
    """The same line, the same columns, the same bytes."""
    expected, got = both
    assert got.lines[row.id] == expected.lines[row.id]
    if row.forgets:
        # HAProxy tells it in the log and forgets it.
        expected.columns[row.id]["last_chk"] = got.columns[row.id]["last_chk"]
    assert got.columns[row.id] == expected.columns[row.id]
    assert _sent(got.sent.get(row.id, b"")) == _sent(expected.sent.get(row.id, b""))
