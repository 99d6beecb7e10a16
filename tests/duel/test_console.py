"""What happens to servers, on the standard error: the lines that a service manager's journal has of both programs."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.duel.test_server_state_files import HEADER, line
from tests.duel.test_tables import ask
from tests.support.duel import Side, start_duel

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
