"""Commands of the runtime socket: what they are given, their registry, how a line finds its own (section 9.3).

A command is a function of the view and its words; it answers text without the blank line that ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from trilb.admin.caller import Caller, Said, error, info
from trilb.admin.shell import Answer as Answer
from trilb.admin.usages import usage
from trilb.admin.words import nearest_lines, split_words
from trilb.base.registry import Registry
from trilb.config.model import Config
from trilb.config.terms import Expr, Format
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import Server
from trilb.logs.sinks import Channels
from trilb.resolve.run import Resolvers
from trilb.samples.references import Store
from trilb.tables.store import Table
from trilb.tls.store import Binding
from trilb.tls.store import Store as TlsStore


class Growth(Protocol):
    """Adds and removes servers while serving; each answers in words."""

    def add_server(self, backend: Backend, name: str, words: list[str]) -> str: ...

    def remove_server(self, server: Server) -> str: ...


class Gate(Protocol):
    """A listening socket of a frontend."""

    @property
    def frontend(self) -> Frontend:
        """Whose it is."""

    @property
    def paused(self) -> bool:
        """Whether it refuses connections for now."""

    def pause(self) -> None:
        """Refuse connections until `resume`."""

    def resume(self) -> None:
        """Accept again. Raises OSError when another process has taken the address."""

    def stop(self) -> None:
        """Take no more connections, for good."""


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
    channels: Channels
    """Where logs go."""
    resolvers: dict[str, Resolvers]
    sections: list[Any]
    """Peers sections, each a `SectionView` of admin/cmd_peers.py."""
    gates: list[Gate]
    """The listening sockets of frontends; the worker fills it in."""
    startup: Sequence[str]
    """What was said while starting, line by line."""

    def open_anew(self, server: Server) -> None:
        """Whether a server's connections are secured changed."""

    growth: Growth | None
    """Who adds and removes servers."""

    def parse_variable(self, name: str, text: str, *, formatted: bool) -> tuple[str, Expr | Format]:
        """Read the words of `set var`. Raises Refused."""

    def set_variable(self, name: str, value: Expr | Format) -> None:
        """Evaluate what a `proc` variable is set to, and set it."""

    def shutdown_stream(self, stream: Any, waiter: Any, cause: str) -> None:
        """End a stream; `cause` is the letter for the log."""

    def say(self, proxy: str, text: str, level: str) -> None:
        """Log a line about a proxy, at a syslog level by name."""


Command = Callable[..., Answer]
"""(view, words); with the fact `payload` also the text after `<<`, with `allowed` the level of who asks, with `caller`
the Caller."""
commands: Registry[Command] = Registry("command")
command = commands.register
_SILENT = frozenset(f"{verb} {what}" for verb in ("enable", "disable") for what in ("agent", "health", "server")) | {
    "set weight",
    "set maxconn server",
    "shutdown sessions server",
}
"""Commands that say nothing when they are obeyed: what they say is an error."""
_SHELL_HELP = {
    "help [<command>]": "list matching or all commands",
    "prompt": "toggle interactive mode with prompt",
    "quit": "disconnect",
}


def execute(view: View, caller: Caller | str, text: str, payload: str = "") -> Answer:
    """Run one command line at a level; unknown and forbidden ones answer what HAProxy answers."""
    if isinstance(caller, str):
        caller = Caller(caller)
    words = split_words(text)
    for count in (4, 3, 2, 1):
        name = " ".join(words[:count])
        entry = commands.get(name) if len(words) >= count else None
        if entry is None or name.count(" ") != count - 1:
            continue
        facts = entry.facts
        if facts.get("expert") and not caller.expert:
            # As in HAProxy: who has not asked for them does not see them.
            break
        if not caller.may(str(facts["level"])):
            return error("Permission denied\n")
        if facts.get("experimental") and not caller.experimental:
            return error("This command is restricted to experimental mode only.\n")
        if facts.get("payload"):
            return entry.factory(view, words[count:], payload)
        if facts.get("allowed"):
            return entry.factory(view, words[count:], caller.level)
        if facts.get("caller"):
            return entry.factory(view, words[count:], caller)
        answer = entry.factory(view, words[count:])
        if name in _SILENT and isinstance(answer, str) and answer and not isinstance(answer, Said):
            return error(answer)
        return answer
    return info(help_text(words, wanted=False))


def help_text(words: list[str], *, wanted: bool) -> str:
    """Commands that begin as the words do, or are like them, each with what it is for; all when there is no word."""
    told = {name: entry for name, entry in commands.entries.items() if not entry.facts.get("untold")}
    names = sorted(told)
    chosen = nearest_lines(names, words) if words else names
    if wanted:
        title = "The following commands are valid at this level:"
    elif words:
        title = "Unknown command, but maybe one of the following ones is a better match:"
    else:
        title = "Unknown command. Please enter one of the following commands only:"
    lines = [usage(name, told[name].doc) for name in chosen]
    lines += _SHELL_HELP.items()
    return f"{title}\n" + "".join(f"  {use:<40}: {what}\n" for use, what in lines)
