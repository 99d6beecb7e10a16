"""Commands that take servers out of service and back, weigh and limit them (management.txt, section 9.3)."""

from __future__ import annotations

from trilb.admin.commands import View, command
from trilb.health import states
from trilb.health.weights import limit, weigh
from trilb.live.proxy import Backend
from trilb.live.server import Server


def find_server(view: View, words: list[str]) -> Server | str:
    """The server that the first word names, or the refusal."""
    name, slash, rest = (words[0] if words else "").partition("/")
    if not slash or not rest:
        return "Require 'backend/server'.\n"
    backend = find_backend(view, name)
    if backend is None:
        return "No such backend.\n"
    server = backend.by_name.get(rest)
    if server is None and rest.startswith("#"):
        server = next((s for s in backend.servers if str(s.id) == rest[1:]), None)
    return server or "No such server.\n"


def find_backend(view: View, name: str) -> Backend | None:
    """A backend by name, or by number after a sharp."""
    if name.startswith("#"):
        return next((b for b in view.backends.values() if str(b.config.id) == name[1:]), None)
    return view.backends.get(name)


def _forced(view: View, words: list[str], state: str) -> str:
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    states.force(server, state, view.process.clock.now)
    return ""


@command("disable server", source="9.3", level="admin")
def disable_server(view: View, words: list[str]) -> str:
    """disable server <b>/<s>: put a server into maintenance"""
    return _forced(view, words, "maint")


@command("enable server", source="9.3", level="admin")
def enable_server(view: View, words: list[str]) -> str:
    """enable server <b>/<s>: take a server out of maintenance"""
    return _forced(view, words, "ready")


@command("enable health", source="9.3", level="admin")
def enable_health(view: View, words: list[str]) -> str:
    """enable health <b>/<s>: go on with a server's health checks"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    if server.check is None:
        return "Health check was not configured on this server, cannot enable.\n"
    server.check.enabled = True
    return ""


@command("disable health", source="9.3", level="admin")
def disable_health(view: View, words: list[str]) -> str:
    """disable health <b>/<s>: check a server's health no more"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    if server.check is not None:
        server.check.enabled = False
    return ""


@command("enable agent", source="9.3", level="admin")
def enable_agent(view: View, words: list[str]) -> str:
    """enable agent <b>/<s>: go on with a server's agent checks"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    if server.agent is None:
        return "Agent was not configured on this server, cannot enable.\n"
    server.agent.enabled = True
    return ""


@command("disable agent", source="9.3", level="admin")
def disable_agent(view: View, words: list[str]) -> str:
    """disable agent <b>/<s>: ask a server's agent no more"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    if server.agent is not None:
        server.agent.enabled = False
    return ""


@command("get weight", source="9.3", level="user")
def get_weight(view: View, words: list[str]) -> str:
    """get weight <b>/<s>: report a server's weight, and the one it began with"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    return f"{server.weight} (initial {server.initial})\n"


@command("set weight", source="9.3", level="admin")
def set_weight(view: View, words: list[str]) -> str:
    """set weight <b>/<s> <n>[%]: change a server's weight"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    return weigh(server, words[1] if len(words) > 1 else "", view.process.clock.now)


@command("set maxconn server", source="9.3", level="admin")
def set_maxconn(view: View, words: list[str]) -> str:
    """set maxconn server <b>/<s> <n>: change how many connections a server is given at a time"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    return limit(server, words[1] if len(words) > 1 else "")


@command("shutdown sessions server", source="9.3", level="admin")
def shutdown_sessions(view: View, words: list[str]) -> str:
    """shutdown sessions server <b>/<s>: end all sessions of a server"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    server.backend.shutdown(server, "K")
    return ""
