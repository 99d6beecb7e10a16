"""What happens to servers, on the standard error: the lines that a service manager's journal has of both programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from tests.duel.test_server_state_files import HEADER, line
from tests.duel.test_tables import ask
from tests.support.duel import Side, start_duel
from tests.support.ports import free_port
from tests.support.program import ROOT, TRILB
from tests.support.runtime_socket import command as tell

CONFIG = """
global
    stats socket {dir}/cli level admin
    server-state-file STATES
defaults
    mode http
    load-server-state-from-file global
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port}
    default_backend x0
backend x0
    server a 127.0.0.1:{origin1} weight 10
    server b 127.0.0.1:{origin1} weight 10
    server c 127.0.0.1:{origin1} track s/d
listen s
    bind 127.0.0.1:{port2}
    server d 127.0.0.1:{origin1} check inter 1h
"""


def shown(side: Side) -> list[str]:
    """Its lines but those of its own start, without numbers of processes."""
    lines = re.findall(r"(?m)^(\[(?:WARNING|ALERT)\]) +\(\d+\) : (.*)$", side.program.output)
    return [f"{tag} {text}" for tag, text in lines]


def test_the_same_lines_on_the_standard_error(tmp_path: Path) -> None:
    """What a file of states changed, and what is ordered while serving; the last server's end is an alert."""
    (tmp_path / "states").write_text(HEADER + line("1 a 127.0.0.1", "0 1 10 10 50"))
    with start_duel(CONFIG.replace("STATES", str(tmp_path / "states"))) as duel:
        found = []
        for side in (duel.haproxy, duel.trilb):
            for server in ("x0/b", "s/d"):
                ask(side, f"set server {server} state drain")
                ask(side, f"set server {server} state maint")
            ask(side, "enable server x0/b")
            ask(side, "disable frontend fe")
            deadline = time.monotonic() + 5
            while "Paused" not in side.program.output and time.monotonic() < deadline:
                time.sleep(0.01)
            found.append(shown(side))
        assert any("changed from server-state" in each for each in found[0])
        assert "[ALERT] backend 'x0' has no server available!" in found[0]
        assert found[1] == found[0]


def test_silence_in_the_background(tmp_path: Path) -> None:
    """A worker whose master was sent away says nothing to the terminal it was started from."""
    port, socket, pids = free_port(), tmp_path / "cli", tmp_path / "pid"
    config = tmp_path / "lb.cfg"
    config.write_text(
        f"global\n stats socket {socket} level admin\ndefaults\n mode http\n timeout connect 1s\n timeout client 1s\n"
        f" timeout server 1s\nlisten l\n bind 127.0.0.1:{port}\n server a 127.0.0.1:1\n"
    )
    with (tmp_path / "said").open("wb") as said:
        command = [*TRILB, "-W", "-D", "-f", str(config), "-p", str(pids)]
        subprocess.run(command, stdout=said, stderr=said, cwd=ROOT, check=True, timeout=30)
    try:
        tell(socket, "disable server l/a")
        assert "MAINT" in tell(socket, "show stat l 4 -1")
        assert "going DOWN" not in (tmp_path / "said").read_text()
    finally:
        os.kill(int(pids.read_text().split()[0]), signal.SIGTERM)
