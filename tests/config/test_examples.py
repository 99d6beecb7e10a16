"""The files in conf/ are accepted as they stand, without a warning."""

from __future__ import annotations

import pytest

from tests.support.program import ROOT
from trilb.cli import main


@pytest.mark.parametrize("name", ["quickstart.cfg", "source-hash.cfg", "checks.cfg"])
def test_examples_are_valid(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """`trilb -c -f conf/NAME`."""
    assert main(["-c", "-f", str(ROOT / "conf" / name)]) == 0
    assert "[WARNING]" not in capfd.readouterr().err
