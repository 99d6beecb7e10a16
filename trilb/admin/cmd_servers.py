"""Commands that look at servers and change them (management.txt, section 9.3)."""

from __future__ import annotations

from trilb.admin.commands import View, command
from trilb.live.server import FMAINT, Server


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
    server.admin |= FMAINT
    server.backend.changed()
    return ""


@command("enable server", source="9.3", level="admin")
def enable_server(view: View, words: list[str]) -> str:
    """enable server <b>/<s>: take a server out of maintenance"""
    server = _server(view, words)
    if isinstance(server, str):
        return server
    server.admin &= ~FMAINT
    server.backend.changed()
    return ""


@command("shutdown sessions server", source="9.3", level="admin")
def shutdown_sessions(view: View, words: list[str]) -> str:
    """shutdown sessions server <b>/<s>: end all sessions of a server"""
    server = _server(view, words)
    if isinstance(server, str):
        return server
    server.backend.shutdown(server, "K")
    return ""
