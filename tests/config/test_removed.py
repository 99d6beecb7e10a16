"""Words that HAProxy refuses because they are gone: trilb refuses the same, and says what is written instead."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.duel import require_haproxy
from tests.support.program import HAPROXY, ROOT
from trilb.config import known


def refused(command: list[str], file: Path) -> dict[int, str]:
    """What is said of each line."""
    said = subprocess.run([*command, "-c", "-f", str(file)], capture_output=True, text=True, cwd=ROOT).stderr
    return {int(at): text for at, text in re.findall(r"\[ALERT\].*lb\.cfg:(\d+)\] ?: (.*)", said)}


def test_each_is_told(tmp_path: Path) -> None:
    """Line by line."""
    require_haproxy()
    file = tmp_path / "lb.cfg"
    file.write_text("defaults\n mode http\n" + "".join(f" {name} 1s a\n" for name in known.REMOVED))
    theirs = refused([HAPROXY or "haproxy"], file)
    ours = refused([sys.executable, "-m", "trilb"], file)
    assert len(theirs) == len(known.REMOVED)
    assert all(re.search("not supported|doesn't exist anymore", text) for text in theirs.values())
    assert ours.keys() == theirs.keys()
    assert all("is not supported any more by HAProxy; " in text for text in ours.values())
