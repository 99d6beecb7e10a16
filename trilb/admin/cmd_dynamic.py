"""Commands that add and remove servers (management.txt, section 9.3)."""

from __future__ import annotations

from trilb.admin.cmd_servers import find_backend, find_server
from trilb.admin.commands import View, command
from trilb.health.weights import dynamic


@command("add server", source="9.3", level="admin")
def add_server(view: View, words: list[str]) -> str:
    """add server <b>/<s> <address> [opts]: add a server, in maintenance"""
    name, slash, own = (words[0] if words else "").partition("/")
    if not slash or not own:
        return "Require 'backend/server'."
    backend = find_backend(view, name)
    if backend is None:
        return "No such backend."
    if not dynamic(backend):
        return f"backend '{backend.name}' uses a non dynamic load balancing method."
    if own in backend.by_name:
        return "Already exists a server with the same name in backend.\n"
    if view.growth is None:
        return "Servers are added once the process serves.\n"
    return view.growth.add_server(backend, own, words[1:])


@command("del server", source="9.3", level="admin")
def del_server(view: View, words: list[str]) -> str:
    """del server <b>/<s>: remove a server that is in maintenance and has no connections"""
    server = find_server(view, words)
    if isinstance(server, str):
        return server.removesuffix("\n")
    if view.growth is None:
        return "Servers are removed once the process serves.\n"
    return view.growth.remove_server(server)


@command("show default-server", source="9.3", level="operator")
def show_default_server(view: View, words: list[str]) -> str:
    """show default-server [<backend>]: list the default-server instances, which `from` can name"""
    if words and find_backend(view, words[0]) is None:
        return "Can't find backend.\n"
    text = ""
    for backend in view.backends.values():
        if words and backend is not find_backend(view, words[0]):
            continue
        config = backend.config
        text += f"* {backend.name}\n" if any(config.default_server) else ""
        text += "".join(f"  {backend.name}/{name}\n" for name in config.named_servers)
    return text
