"""The reference: printed from the registries, and kept in docs/reference.md."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.program import ROOT
from trilb import doc
from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, Registry, optional
from trilb.config.language import AnyRegistry, Language
from trilb.vocabulary import language


def test_the_file_is_what_would_be_printed() -> None:
    """docs/reference.md is what `make reference` writes."""
    assert (ROOT / "docs" / "reference.md").read_text() == doc.markdown(language())


def test_everything_registered_is_told() -> None:
    """No registered name is missing."""
    words = language()
    every = doc.topics(words)
    for kind, registry in {
        "fetch": words.fetches,
        "converter": words.converters,
        "match": words.matchers,
        "balance": words.algorithms,
        "variable": words.variables,
    }.items():
        assert sorted(name for topic in every[kind] for name in topic.names) == sorted(registry.entries)
    for family, registry in words.actions.items():
        told = {topic.names[0] for topic in every["action"] if family in topic.facts[0][1].split(", ")}
        shown = {name for name, entry in registry.entries.items() if not entry.facts.get("untold")}
        assert told == shown


def _converters() -> Language:
    registry: AnyRegistry = Registry("converter")

    @registry.register(
        "cut", "cut_at", args=(Arg("at", Kind.INT), optional("mark", Kind.STR, ",")), source="7.3.1", takes="str",
        gives="same",
    )  # fmt: skip
    def cut(at: int, mark: str) -> None:
        """Cut something.

        And more of it.
        """

    return Language(converters=registry)


def test_one_entry() -> None:
    """Names, arguments with kinds and defaults, types, section and the whole docstring."""
    assert doc.show(_converters(), ["converter", "cut_at"]) == (
        "cut(<at>[,<mark>])    (configuration.txt, 7.3.1)\n"
        "    Cut something.\n"
        "\n"
        "    And more of it.\n"
        "    also: cut_at\n"
        "    takes: str\n"
        "    gives: what it takes\n"
        "    <at>: integer\n"
        "    <mark>: string, may be left out, , by default\n"
    )


def test_a_list() -> None:
    """Without a name, the names with their first lines."""
    assert doc.show(_converters(), ["converter"]) == f"{'cut, cut_at':<24} Cut something.\n"


@pytest.mark.parametrize("words", [["convert"], ["converter", "cit"], ["converter", "cut", "x"]])
def test_unknown(words: list[str]) -> None:
    """What does not exist is refused."""
    with pytest.raises(Refused):
        doc.show(_converters(), words)


def test_command() -> None:
    """`trilb doc` answers without a configuration; an unknown name is an error."""
    command = [sys.executable, "-m", "trilb", "doc"]
    shown = subprocess.run([*command, "variable", "%r"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout.startswith("%r ")
    assert "stands in: mode http" in shown.stdout
    wrong = subprocess.run([*command, "action", "set-hedar"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert wrong.returncode == 1
    assert "set-header" in wrong.stderr
