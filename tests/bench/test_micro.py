"""Every small measurement runs, tells its figures, and stands in the list."""

from __future__ import annotations

import importlib

import pytest

from tests.support.program import ROOT

FOLDER = ROOT / "bench" / "micro"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"bench.micro.{name}")
    assert " us" in (module.__doc__ or ""), "the figures that decided"
    module.main(2)
    assert " us" in capsys.readouterr().out


def test_all_are_listed() -> None:
    listed = [line.split("`")[1] for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert sorted(listed) == NAMES
