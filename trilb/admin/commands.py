"""Commands of the runtime socket: the first few; its own issue completes them (management.txt, section 9.3).

A command is a function of the view and its words; it answers text without the blank line that ends it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from trilb import HAPROXY_VERSION, __version__
from trilb.admin.views import csv
from trilb.admin.words import split_words
from trilb.base import ip
from trilb.base.diagnostic import Refused
from trilb.base.registry import Registry
from trilb.config.model import Config, Expr, Format, Side
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import MAINT, Server
from trilb.samples import regex
from trilb.samples.references import Store
from trilb.samples.types import Addr, Bin
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
    sections: list[Any]
    """Peers sections, each a `SectionView` of admin/cmd_peers.py."""

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


@command("show info", source="9.3", level="user")
def show_info(view: View, words: list[str]) -> str:
    """show info: report information about the running process"""
    process = view.process
    now, uptime = process.clock.now, int(process.clock.wall - process.started_wall)
    rate, keys = process.tls_rate.read(now), process.tls_key_rate.read(now)
    values: Mapping[str, object] = {
        "Name": "trilb",
        "Version": f"{HAPROXY_VERSION}-trilb{__version__}",
        "Pid": os.getpid(),
        "Uptime_sec": uptime,
        "Maxconn": process.maxconn,
        "CurrConns": process.actconn,
        "CumConns": process.cum_conn,
        "CumReq": process.cum_req,
        "ConnRate": process.conn_rate.read(now),
        "MaxConnRate": process.conn_rate.highest,
        "SessRate": process.conn_rate.read(now),
        "MaxSslConns": 0,
        "CurrSslConns": process.tls_now,
        "CumSslConns": process.tls_tried,
        "FailedSslConns": process.tls_failed,
        "SslRate": rate,
        "SslRateLimit": 0,
        "MaxSslRate": process.tls_rate.highest,
        "SslFrontendKeyRate": keys,
        "SslFrontendMaxKeyRate": process.tls_key_rate.highest,
        "SslFrontendSessionReuse_pct": (rate - keys) * 100 // rate if rate > keys else 0,
        "Stopping": int(process.stopping),
        "RegexOverruns": regex.overruns,
        "SessionFaults": process.faults,
        "node": process.node,
    }
    return "".join(f"{name}: {value}\n" for name, value in values.items())


@command("show stat", source="9.3", level="user")
def show_stat(view: View, words: list[str]) -> str:
    """show stat: report counters of each proxy and server in CSV"""
    return csv(view.frontends, view.backends)


def _server(view: View, words: list[str]) -> Server | str:
    if not words or "/" not in words[0]:
        return "Require 'backend/server'.\n"
    backend, _, name = words[0].partition("/")
    if backend not in view.backends:
        return "No such backend.\n"
    return view.backends[backend].by_name.get(name) or "No such server.\n"


@command("disable server", source="9.3", level="admin")
def disable_server(view: View, words: list[str]) -> str:
    """disable server <b>/<s>: put a server into maintenance"""
    server = _server(view, words)
    if isinstance(server, str):
        return server
    server.admin |= MAINT
    server.backend.changed()
    return ""


@command("enable server", source="9.3", level="admin")
def enable_server(view: View, words: list[str]) -> str:
    """enable server <b>/<s>: take a server out of maintenance"""
    server = _server(view, words)
    if isinstance(server, str):
        return server
    server.admin &= ~MAINT
    server.backend.changed()
    return ""


def _publish(view: View, words: list[str], published: bool) -> str:
    name = words[0] if words else ""
    if any(p.name == name and p.disabled and p.side & Side.BACKEND for p in view.config.proxies):
        return "No effect on a disabled backend.\n"
    if name not in view.backends:
        return "No such backend.\n"
    view.backends[name].published = published
    return f"Backend {'' if published else 'un'}published.\n"


@command("publish backend", source="9.3", level="operator")
def publish_backend(view: View, words: list[str]) -> str:
    """publish backend <backend>: let switching rules choose it again"""
    return _publish(view, words, True)


@command("unpublish backend", source="9.3", level="operator")
def unpublish_backend(view: View, words: list[str]) -> str:
    """unpublish backend <backend>: switching rules of other proxies pass it over"""
    return _publish(view, words, False)


@command("get var", source="9.3", level="operator")
def get_var(view: View, words: list[str]) -> str:
    """get var <name>: report a variable of the process"""
    name = words[0] if words else ""
    value = view.process.vars.get(name.removeprefix("proc.")) if name.startswith("proc.") else None
    if value is None:
        return "Variable not found.\n"
    if isinstance(value, bool):
        return f"{name}: type=bool value=<{int(value)}>"
    if isinstance(value, int):
        return f"{name}: type=sint value=<{value}>"
    if isinstance(value, Addr):
        return f"{name}: type=ipv{4 if len(value) == 4 else 6} value=<{ip.text(value)}>"
    kind = "bin" if isinstance(value, Bin) else "str"
    return f"{name}: type={kind} value=<{value.decode('latin-1')}>"


@command("set var", source="9.3", level="operator")
def set_var(view: View, words: list[str]) -> str:
    """set var <name> [expr|fmt] <text>: set a variable of the process"""
    if len(words) < 2:
        return "Missing a variable name or its value.\n"
    name, rest, formatted = words[0], words[1:], False
    if rest[0] in ("expr", "fmt") and len(rest) > 1:
        formatted = rest[0] == "fmt"
        rest = rest[1:]
    try:
        made = view.parse_variable(name, " ".join(rest), formatted=formatted)
        view.set_variable(*made)
    except Refused as refused:
        return f"{refused.text}\n"
    return ""


@command("experimental-mode", source="9.3", level="admin")
def experimental_mode(view: View, words: list[str]) -> str:
    """experimental-mode [on|off]: commands that are new are always there, so that nothing changes"""
    return ""
