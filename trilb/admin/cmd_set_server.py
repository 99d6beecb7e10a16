"""`set server`: a server's state, weight, addresses, TLS and name (management.txt, section 9.3)."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from trilb.admin.cmd_resolvers import set_fqdn
from trilb.admin.cmd_servers import find_server
from trilb.admin.commands import View, command
from trilb.base import ip
from trilb.health import moves, states
from trilb.health.weights import weigh
from trilb.live.server import MAINT, Server

Setting = Callable[[View, Server, list[str]], str]
"""(view, server, what follows its name): the answer. Some of HAProxy's lack a line feed of their own."""
_CLI = "changed from CLI"


@command("set server", source="9.3", level="admin")
def set_server(view: View, words: list[str]) -> str:
    """set server <b>/<s> [opts]: change a server's state, weight, address, TLS or name"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server
    setting = _SETTINGS.get(words[1] if len(words) > 1 else "")
    if setting is None:
        # `name` is newer than the text that programs may know.
        known = " | ".join(name for name in _SETTINGS if name != "name")
        return f"usage: set server <backend>/<server> {known}\n"
    return setting(view, server, words[2:])


def _state(view: View, server: Server, words: list[str]) -> str:
    if words[:1] not in (["ready"], ["drain"], ["maint"]):
        return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"
    states.force(server, words[0], view.process.clock.now)
    return ""


def _health(view: View, server: Server, words: list[str]) -> str:
    if server.track is not None:
        return "cannot change health on a tracking server.\n"
    what, now = words[0] if words else "", view.process.clock.now
    if what not in ("up", "stopping", "down"):
        return "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n"
    server.health.health = 0 if what == "down" else server.health.top
    {"up": states.start, "stopping": states.retire, "down": states.stop}[what](server, now, _CLI)
    return ""


def _agent(view: View, server: Server, words: list[str]) -> str:
    if server.agent is None or not server.agent.enabled:
        return "agent checks are not enabled on this server.\n"
    what, now = words[0] if words else "", view.process.clock.now
    if what not in ("up", "down"):
        return "'set server <srv> agent' expects 'up' or 'down'.\n"
    server.agent.health = server.agent.top if what == "up" else 0
    {"up": states.start, "down": states.stop}[what](server, now, _CLI)
    return ""


def _weight(view: View, server: Server, words: list[str]) -> str:
    return weigh(server, words[0] if words else "", view.process.clock.now)


def _addr(view: View, server: Server, words: list[str]) -> str:
    if not words:
        return "set server <b>/<s> addr requires an address and optionally a port.\n"
    return moves.move(server, words[0], _port(words), "stats socket command") + "\n"


def _port(words: list[str]) -> str | None:
    """What follows the word "port", if it stands behind the address."""
    if words[1:2] != ["port"]:
        return None
    return words[2] if len(words) > 2 else ""


def _check_addr(view: View, server: Server, words: list[str]) -> str:
    if not words:
        return "set server <b>/<s> check-addr requires an address and optionally a port.\n"
    if server.check is None or not server.check.enabled:
        return "health checks are not enabled on this server"
    if not ip.is_literal(words[0]):
        return f"invalid addr '{words[0]}'"
    return moves.check_elsewhere(server.check, words[0], _port(words))


def _check_port(view: View, server: Server, words: list[str]) -> str:
    if not words:
        return "set server <b>/<s> check-port requires a port.\n"
    if server.check is None or not server.check.enabled:
        return "health checks are not enabled on this server"
    return moves.check_elsewhere(server.check, None, words[0])


def _agent_addr(view: View, server: Server, words: list[str]) -> str:
    if not words:
        return "set server <b>/<s> agent-addr requires an address and optionally a port.\n"
    if server.agent is None or not server.agent.enabled:
        return "agent checks are not enabled on this server"
    host = words[0]
    if not ip.is_literal(host):
        try:
            # This one may be a name (management.txt); the operator waits for it, and so does everybody else.
            host = str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        except OSError:
            return f"invalid addr '{host}'"
    return moves.check_elsewhere(server.agent, host, _port(words))


def _agent_port(view: View, server: Server, words: list[str]) -> str:
    if not words:
        return "set server <b>/<s> agent-port requires a port.\n"
    if server.agent is None or not server.agent.enabled:
        return "agent checks are not enabled on this server"
    return moves.check_elsewhere(server.agent, None, words[0])


def _agent_send(view: View, server: Server, words: list[str]) -> str:
    if server.agent is None or not server.agent.enabled:
        return "agent checks are not enabled on this server.\n"
    server.agent.send = (words[0] if words else "").encode("latin-1")
    return ""


def _ssl(view: View, server: Server, words: list[str]) -> str:
    if words[:1] not in (["on"], ["off"]):
        return "'set server <srv> ssl' expects 'on' or 'off'.\n"
    if not server.line.ssl_said:
        return "'set server <srv> ssl' cannot be set.  default-server should define ssl settings\n"
    server.line.ssl, server.line.no_ssl = words[0] == "on", False
    view.open_anew(server)
    return "server ssl setting updated.\n"


def _name(view: View, server: Server, words: list[str]) -> str:
    if not words:
        return "set server <b>/<s> name requires a new name.\n"
    name = words[0]
    if not server.admin & MAINT:
        return "Server must be in maintenance mode to change its name.\n"
    if not re.fullmatch(r"[A-Za-z0-9_:.-]+", name):
        return "Server name contains invalid characters.\n"
    if name != server.name and name in server.backend.by_name:
        return "A server with the same name already exists in this backend.\n"
    if server.pinned:
        return "Server name cannot be changed: it is statically referenced by the configuration.\n"
    server.name = name
    server.backend.renew()
    return "Server name updated.\n"


_SETTINGS: dict[str, Setting] = {
    "addr": _addr,
    "agent": _agent,
    "agent-addr": _agent_addr,
    "agent-port": _agent_port,
    "agent-send": _agent_send,
    "check-addr": _check_addr,
    "check-port": _check_port,
    "fqdn": set_fqdn,
    "health": _health,
    "name": _name,
    "ssl": _ssl,
    "state": _state,
    "weight": _weight,
}
