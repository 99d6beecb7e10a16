"""Every small measurement of the list runs, and tells the figures that decided."""

from __future__ import annotations

import importlib

import pytest

from tests.support.program import ROOT

FOLDER = ROOT / "bench" / "micro"
NAMES = [line.split("`")[1] for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"bench.micro.{name}")
    assert " us" in (module.__doc__ or "")
    module.main(2)
    assert " us" in capsys.readouterr().out


def test_there_are_some() -> None:
    assert len(NAMES) >= 10
