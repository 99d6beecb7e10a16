"""Commands of the runtime socket: the first few; its own issue completes them (management.txt, section 9.3).

A command is a function of the view and its words; it answers text without the blank line that ends it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from trilb import HAPROXY_VERSION, __version__
from trilb.admin.views import csv
from trilb.base.registry import Registry
from trilb.config.model import Config, Side
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import MAINT, Server


class View(Protocol):
    """What commands look at and change: the runtime has it all."""

    config: Config
    process: ProcessState
    frontends: dict[str, Frontend]
    backends: dict[str, Backend]


Command = Callable[[View, list[str]], str]
commands: Registry[Command] = Registry("command")
command = commands.register
_LEVELS = ("user", "operator", "admin")


def execute(view: View, level: str, text: str) -> str:
    """Run one command line at a level; unknown and forbidden ones answer what HAProxy answers."""
    words = text.split()
    if not words:
        return ""
    for count in (3, 2, 1):
        entry = commands.get(" ".join(words[:count]))
        if entry is not None and len(words) >= count:
            if _LEVELS.index(level) < _LEVELS.index(str(entry.facts["level"])):
                return "Permission denied\n"
            return entry.factory(view, words[count:])
    return "Unknown command: '" + words[0] + "'.\n" + help_text(view, [])


@command("help", source="9.3", level="user")
def help_text(view: View, words: list[str]) -> str:
    """help: this list"""
    lines = ["The following commands are valid at this level:"]
    lines += [f"  {entry.doc}" for _, entry in sorted(commands.entries.items())]
    lines += ["  prompt: toggle interactive mode with prompt", "  quit: disconnect"]
    return "\n".join(lines) + "\n"


@command("show info", source="9.3", level="user")
def show_info(view: View, words: list[str]) -> str:
    """show info: report information about the running process"""
    process = view.process
    now, uptime = process.clock.now, int(process.clock.wall - process.started_wall)
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
        "Stopping": int(process.stopping),
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
