"""Programs as checks: the same results, arguments and environment as HAProxy; nothing is left behind."""

from __future__ import annotations

import csv
import io
import os
import re
import time
from pathlib import Path

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Side
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.runtime_socket import command
from tests.support.syslog import mask

SCRIPTS = {
    "good": "exit 0",
    "three": "exit 3",
    "killed": "kill -9 $$",
    # Each of the two has a port of its own, and writes a file of its own.
    "told": 'to="$0.$HAPROXY_SERVER_NAME.$HAPROXY_PROXY_PORT"; echo "$@" > "$to"; '
    '/usr/bin/env | /usr/bin/sort >> "$to"',
    "slow": 'echo $$ > "$0.pid"; /bin/sleep 60 & echo $! >> "$0.pid"; wait',
}
CONFIG = """
global
    stats socket {dir}/socket level admin
    log 127.0.0.1:{syslog} local0 notice
    max-spread-checks 50ms
    external-check
    insecure-fork-wanted
defaults
    log global
    mode http
    option external-check
    option log-health-checks
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen told
    bind 127.0.0.1:{port}
    external-check command {scripts}/told
    external-check path "/usr/bin:/bin"
    server s1 127.0.0.1:{dead} check inter 30s maxconn 12 id 7
    server s2 127.0.0.1:{dead} check inter 30s ssl verify none port 9
    server s3 unix@/nowhere/socket check inter 30s
backend slow
    external-check command {scripts}/slow
    server s 127.0.0.1:{dead} check inter 1s
""" + "".join(
    f"backend {name}\n external-check command {{scripts}}/{name}\n server s 127.0.0.1:{{dead}} check inter 30s\n"
    for name in ("good", "three", "killed", "nowhere")
)
COLUMNS = "pxname svname status check_status check_code last_chk check_desc check_health chkfail".split()


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def rows(program: Program) -> list[list[str]]:
    """The servers' rows once every check is done once."""
    deadline = time.monotonic() + 20
    while True:
        text = command(program.dir / "socket", "show stat")[2:]
        found = [row for row in csv.DictReader(io.StringIO(text)) if row["svname"] not in ("FRONTEND", "BACKEND")]
        if not any(row["check_status"] in ("INI", "* INI") for row in found):
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    for row in found:
        row["check_status"] = row["check_status"].removeprefix("* ")
    return [[row[column] for column in COLUMNS] for row in found]


def test_results(duel: DuelFactory, scripts: Path) -> None:
    def act(side: Side) -> list[object]:
        found: list[object] = [rows(side.program)]
        for server in ("s1", "s2", "s3"):
            said = (scripts / f"told.{server}.{side.ports['port']}").read_text()
            for key, port in side.ports.items():
                said = said.replace(str(port), key)
            found.append(said.replace("\nSHLVL=0", "").replace("\nSHLVL=1", ""))
        lines = [re.sub(r"\d+ms", "Nms", mask(line)) for line in side.syslog.pending()]
        return [*found, sorted(line for line in lines if "Health check" in line and "slow" not in line)]

    duel(CONFIG, scripts=str(scripts)).same(act)


def test_nothing_is_left(scripts: Path) -> None:
    ports = {"port": free_port(), "dead": free_port(), "syslog": free_port()}
    with Program.trilb(CONFIG, scripts=str(scripts), **ports) as program:
        # The slow one was told to end; the next of its kind ends with the program.
        rows(program)
        pids = (scripts / "slow.pid").read_text().split()
    pids += (scripts / "slow.pid").read_text().split()
    deadline = time.monotonic() + 5
    for pid in pids:
        while alive(int(pid)):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def alive(pid: int) -> bool:
    """Is there such a process, which is more than a zombie somebody else has to bury?"""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
