"""Servers that come and go while serving: what `add server` makes and `del server` takes away (management.txt, 9.3).

A line is read by the keywords of the configuration, judged as the check judges it, and equipped as at start. A server
that was added is in maintenance, and its checks wait to be enabled.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count

from trilb.base.address import Family
from trilb.base.address import parse as parse_address
from trilb.base.diagnostic import Place, Refused, Report
from trilb.config.expressions import NotServed
from trilb.config.keywords.presets import preset
from trilb.config.keywords.registry import Context
from trilb.config.keywords.servers import apply_server_options
from trilb.config.lexer import expand_address
from trilb.config.lines import ServerLine
from trilb.config.model import Mode
from trilb.equipment import equip
from trilb.live.proxy import Backend
from trilb.live.server import CMAINT, FMAINT, MAINT, RUNNING, STOPPED, Server
from trilb.runtime import Runtime

_NUMBERS = count(1)
"""Of servers added so far: what stands for the line of a configuration."""
NOT_ACCEPTED = frozenset(
    """
init-addr log-proto max-reuse namespace no-check no-ssl non-stick redir resolve-net resolve-opts resolve-prefer
resolvers socks4 stick
""".split()
)
"""Options that HAProxy takes on server lines of the configuration only."""


class Dynamic:
    """Adds and removes servers of a runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def add_server(self, backend: Backend, name: str, words: list[str]) -> str:
        """Add a server; the words are its address and options. The answer."""
        runtime = self.runtime
        try:
            line = _read(runtime, backend, name, tuple(words))
            server = _make(runtime, backend, line)
        except NotServed as refused:
            return f"'{refused.text}' is HAProxy's and not served by trilb yet.\n"
        except Refused as refused:
            return f"{refused.text}\n"
        backend.servers.append(server)
        if server.track is not None:
            server.track.followers.insert(0, server)
        backend.renew()
        if runtime.checks is not None:
            for mine in (server.check, server.agent):
                if mine is not None and mine.prober is not None:
                    runtime.checks.begin(server, mine)
        return "New server registered.\n"

    def remove_server(self, server: Server) -> str:
        """Let go of a server, if nobody needs it. The answer."""
        runtime, backend = self.runtime, server.backend
        if server.pinned or server.followers or server.line.resolvers:
            return "This server cannot be removed at runtime due to other configuration elements pointing to it."
        if not server.admin & MAINT:
            return "Only servers in maintenance mode can be deleted."
        if server.used or server.queue or server.idle or server.muxes:
            return "Server still has connections attached to it, cannot remove it."
        if runtime.checks is not None:
            for mine in (server.check, server.agent):
                if mine is not None:
                    runtime.checks.end(mine)
        if server.slowstart is not None:
            server.slowstart.end()
        if server.track is not None:
            server.track.followers.remove(server)
        backend.servers.remove(server)
        runtime.tls.forget(server.line)
        backend.renew()
        return "Server deleted."


def _read(runtime: Runtime, backend: Backend, name: str, words: tuple[str, ...]) -> ServerLine:
    proxy, config = backend.config, runtime.config
    wrong = next((c for c in name if not (c.isascii() and (c.isalnum() or c in "-_.:"))), None)
    if wrong is not None:
        raise Refused(f"character '{wrong}' is not permitted in server name '{name}'.")
    if not words:
        raise Refused("'server' expects <name> and <addr>[:<port>] as arguments.")
    addresses = parse_address(expand_address(words[0], config.env))
    if len(addresses) > 1:
        raise Refused(f"port range not permitted here in '{words[0]}'")
    address = addresses[0]
    if address.family is Family.FD or address.datagram:
        kind = "a file descriptor" if address.family is Family.FD else "a datagram socket"
        raise Refused(f"{kind} is not acceptable here in '{words[0]}'\n")
    if not address.port and address.family not in (Family.UNIX, Family.ABSTRACT):
        address = replace(address, offset=True)
    assert config.language is not None
    report = Report()
    context = Context(config, report, config.language, config.env, refused_options=NOT_ACCEPTED)
    line = ServerLine(
        name,
        address,
        Place("runtime socket", next(_NUMBERS)),
        tls_defaults=replace(config.globals.tls_server),
        added=True,
    )
    begin, taken = preset(words[1:], proxy, config, ())
    unserved = ""
    for part in begin:
        unserved = apply_server_options(line, part, (), context, proxy, True) or unserved
    line.id, line.forced_id = 0, False
    own = words[1 + taken :]
    try:
        unserved = apply_server_options(line, own, tuple(range(len(own))), context, proxy, False) or unserved
    except NotServed:
        raise
    except Refused as refused:
        raise Refused(re.sub(r"\Aunknown option (.*)", r"unknown keyword \1.", refused.text)) from None
    if unserved:
        raise NotServed(unserved)
    line.words = (*begin, own)
    _judge(runtime, backend, line, report)
    return line


def _judge(runtime: Runtime, backend: Backend, line: ServerLine, report: Report) -> None:
    """What the check of the whole configuration would say. Raises Refused."""
    proxy = backend.config
    taken = {server.id: server for server in backend.servers}
    if line.forced_id and line.id in taken:
        other = taken[line.id]
        at = "" if other.dynamic else f" at {other.line.place.file}:{other.line.place.line}"
        raise Refused(f"'id' : custom id {line.id} already used{at} ('server {other.name}').")
    if proxy.mode is Mode.TCP and line.proto in ("h1", "h2", "none"):
        raise Refused("MUX protocol is not usable for server.")
    if not line.forced_id:
        line.id = next(number for number in range(1, len(taken) + 2) if number not in taken)
    if line.minconn and not line.maxconn:
        line.maxconn = line.minconn
    port = line.address.port if not line.address.offset else 0
    without = line.address.family in (Family.UNIX, Family.ABSTRACT) or not line.address.host
    if line.check and not port and not line.check_port and not without:
        told = "has neither service port nor check port nor tcp_check rule 'connect' with port information."
        raise Refused(f"config: backend '{backend.name}': server '{line.name}' {told}")
    if line.track:
        if line.check:
            raise Refused("unable to enable checks and tracking at the same time!")
        _tracked(runtime, backend, line)


def _tracked(runtime: Runtime, backend: Backend, line: ServerLine) -> Server:
    """Whom it tracks. Raises Refused."""
    owner, slash, name = line.track.rpartition("/")
    found = runtime.backends.get(owner) if slash else backend
    if found is None:
        raise Refused(f"unable to find required proxy '{owner}' for tracking.")
    server = found.by_name.get(name)
    if server is None:
        raise Refused(f"unable to find required server '{name}' for tracking.")
    who = f"{found.name}/{name}"
    if server.dynamic:
        raise Refused(f"unable to use {who} for tracking as it is a dynamic server.")
    if server.check is None and server.agent is None and server.track is None:
        raise Refused(f"unable to use {who} for tracking as it does not have any check nor agent enabled.")
    if found.config.probe.disable_on_404 != backend.config.probe.disable_on_404:
        raise Refused(f"unable to use {who} for tracking: disable-on-404 option inconsistency.")
    return server


def _make(runtime: Runtime, backend: Backend, line: ServerLine) -> Server:
    server = Server(line, backend)
    server.dynamic = True
    equip(runtime, server)
    for mine in (server.check, server.agent):
        if mine is not None:
            mine.enabled = False
    if not line.enabled:
        server.admin |= FMAINT | (CMAINT if line.disabled else 0)
        server.operation = STOPPED
        server.health.health = 0
    else:
        server.operation = RUNNING
    if line.track:
        server.track = _tracked(runtime, backend, line)
        if not server.admin & MAINT:
            server.operation = server.track.operation
    server.last_change = runtime.plane.clock.now
    return server
