"""Commands of the runtime socket: the first few; its own issue completes them (management.txt, section 9.3).

A command is a function of the view and its words; it answers text without the blank line that ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from trilb.admin.words import split_words
from trilb.base.registry import Registry
from trilb.config.model import Config, Expr, Format
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import Server
from trilb.resolve.run import Resolvers
from trilb.samples.references import Store
from trilb.tables.store import Table
from trilb.tls.store import Binding
from trilb.tls.store import Store as TlsStore


class View(Protocol):
    """What commands look at and change: the runtime has it all."""

    config: Config
    process: ProcessState
    frontends: dict[str, Frontend]
    backends: dict[str, Backend]
    patterns: Store
    tables: dict[str, Table]
    tls: TlsStore
    bindings: dict[int, Binding]
    """The TLS of bind lines, by their `id()`."""
    resolvers: dict[str, Resolvers]
    sections: list[Any]
    """Peers sections, each a `SectionView` of admin/cmd_peers.py."""

    def open_anew(self, server: Server) -> None:
        """Whether a server's connections are secured changed."""

    def parse_variable(self, name: str, text: str, *, formatted: bool) -> tuple[str, Expr | Format]:
        """Read the words of `set var`. Raises Refused."""

    def set_variable(self, name: str, value: Expr | Format) -> None:
        """Evaluate what a `proc` variable is set to, and set it."""


Answer = str | Iterator[str]
"""What a command says; one with much to say gives it in pieces, made while the socket takes them."""
Command = Callable[..., Answer]
"""(view, words); with the fact `payload` also the text after `<<`, with `allowed` also who asks."""
commands: Registry[Command] = Registry("command")
command = commands.register
_LEVELS = ("user", "operator", "admin")


def execute(view: View, level: str, text: str, payload: str = "") -> Answer:
    """Run one command line at a level; unknown and forbidden ones answer what HAProxy answers."""
    words = split_words(text)
    if not words:
        return ""
    for count in (3, 2, 1):
        entry = commands.get(" ".join(words[:count]))
        if entry is not None and len(words) >= count:
            if _LEVELS.index(level) < _LEVELS.index(str(entry.facts["level"])):
                return "Permission denied\n"
            if entry.facts.get("payload"):
                return entry.factory(view, words[count:], payload)
            if entry.facts.get("allowed"):
                return entry.factory(view, words[count:], level)
            return entry.factory(view, words[count:])
    return "Unknown command: '" + words[0] + "'.\n" + help_text()


@command("help", source="9.3", level="user")
def show_help(view: View, words: list[str]) -> str:
    """help: this list"""
    return help_text()


def help_text() -> str:
    """Every command with what it is for."""
    lines = ["The following commands are valid at this level:"]
    lines += [f"  {entry.doc}" for _, entry in sorted(commands.entries.items())]
    lines += ["  prompt: toggle interactive mode with prompt", "  quit: disconnect"]
    return "\n".join(lines) + "\n"
