"""Every module that is compiled says in its first line that it is hot."""

from __future__ import annotations

import ast

import pytest

from tests.support.program import ROOT


def hot() -> list[str]:
    """The list of setup.py, which cannot be imported without building."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "HOT":
            return list(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no HOT")


@pytest.mark.parametrize("name", hot())
def test_it_says_hot(name: str) -> None:
    first = (ROOT / name).read_text().partition("\n")[0]
    assert first.startswith('"""') and " HOT" in first
