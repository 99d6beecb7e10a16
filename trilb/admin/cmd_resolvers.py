"""Commands about names: counters of nameservers, another name for a server (management.txt, section 9.3)."""

from __future__ import annotations

from trilb.admin.caller import error
from trilb.admin.commands import View, command
from trilb.live.server import Server
from trilb.resolve import wire

_BY = "stats socket command"


@command("show resolvers", source="9.3", level="user")
def show_resolvers(view: View, words: list[str]) -> str:
    """show resolvers [<section>]: how often nameservers were asked, and what they answered"""
    if words and words[0] not in view.resolvers:
        return error("Can't find that resolvers section\n")
    said = ""
    for section in view.resolvers.values():
        if words and section.name != words[0]:
            continue
        said += f"Resolvers section {section.name}\n"
        for nameserver in section.nameservers:
            said += f" nameserver {nameserver.name}:\n"
            for name, count in nameserver.counters.items():
                said += f"  {name + ':':<13}{count}\n"
    return said


def set_fqdn(view: View, server: Server, words: list[str]) -> str:
    """`set server <b>/<s> fqdn <name>`: look the server up by another name."""
    if not words:
        return "set server <b>/<s> fqdn requires a FQDN.\n"
    if not server.line.resolvers:
        return "set server <b>/<s> fqdn failed because no resolution is configured.\n"
    if server.srv_record:
        return "set server <b>/<s> fqdn failed because SRV resolution is configured.\n"
    fqdn = words[0]
    if fqdn == server.fqdn:
        return f"no need to change the FDQN by '{_BY}'\n"
    if wire.name(fqdn) is None:
        return f"invalid fqdn '{fqdn}' by '{_BY}'\n"
    return view.resolvers[server.line.resolvers].rename(server, fqdn, _BY) + "\n"
