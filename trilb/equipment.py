"""What a server gets besides its line: openings, checks, agents, an observer, a slow start. Runs at load."""

from __future__ import annotations

import os

from trilb.affinity import dynamic
from trilb.base.address import Family
from trilb.base.diagnostic import Refused
from trilb.config.probes import ConnectStep
from trilb.health.agent import Agent
from trilb.health.compile import compile_probe
from trilb.health.external import External, command_of
from trilb.health.observe import Observer
from trilb.health.play import Opening as CheckOpening
from trilb.health.play import Player
from trilb.health.slowstart import SlowStart
from trilb.http.policy import Limits
from trilb.live.check import Check, Prober
from trilb.live.plan import FrontendPlan
from trilb.live.proxy import Frontend
from trilb.live.server import Server
from trilb.live.session import Session
from trilb.live.stream import CheckStream
from trilb.net.address import initial, literal
from trilb.openings import check_opening, opening_of
from trilb.runtime import Builder, Runtime


def equip_at_load(runtime: Runtime, server: Server, builder: Builder) -> None:
    """What its connections and checks begin with, and who else looks after it."""
    server.opening = opening_of(runtime.tls, server, builder)
    if server.check is not None:
        server.check.prober = prober(runtime, server)
        if server.line.observe != "none":
            server.observer = Observer(server, server.check)
    if server.agent is not None:
        server.agent.prober = _agent(runtime, server.agent, server.backend.config.timeouts.check)
    if server.line.slowstart:
        server.slowstart = SlowStart(server, runtime.plane.wheel)


def equip(runtime: Runtime, server: Server) -> None:
    """Make a server ready that is added while serving. A name is not looked up. Raises Refused."""
    server.family, server.address = initial(server.line.address, "none")
    settle(server)
    equip_at_load(runtime, server, Builder(runtime, server.backend.config))


def _agent(runtime: Runtime, check: Check, timeout: float | None) -> Agent:
    """What asks a server's agent. Raises Refused for a name nobody knows."""
    if check.address:
        check.address = literal(check.address)
    return Agent(runtime.plane.poller, timeout)


def prober(runtime: Runtime, server: Server) -> Prober:
    """What does a server's check. Raises Refused."""
    backend, config = server.backend, server.backend.config
    builder = Builder(runtime, config)
    line = server.line
    probe = runtime.config.healthchecks[line.healthcheck].probe if line.healthcheck else config.probe
    settings = runtime.config.globals
    if probe.kind == "external-check":
        permitted = settings.insecure_fork or os.geteuid() == 0
        return External(command_of(config, permitted=permitted, preserve=settings.preserve_env))
    limits = Limits(settings.bufsize, settings.maxrewrite, settings.max_headers)
    if server.check is not None and line.check_address:
        server.check.address = line.check_address = literal(line.check_address)

    def opened(step: ConnectStep) -> CheckOpening | None:
        return check_opening(runtime.tls, line, step, probe)

    try:
        script = compile_probe(probe, server, builder, limits, opened)
    except Refused as refused:
        who = f"'server {backend.name}/{line.name}'"
        raise Refused(f"{who} : {refused.text}", place=refused.place or line.place) from None
    front = Frontend(config, 0, runtime.process)
    front.plan = FrontendPlan()
    if config.unique_id_format is not None:
        front.plan.unique_id = builder.writer(config.unique_id_format, "unique")
    stream = CheckStream(Session(front, b"\0\0\0\0", 0), front)
    stream.backend, stream.server = backend, server
    times = config.timeouts
    return Player(runtime.plane.poller, script, stream, times.check, times.connect)


def settle(server: Server) -> None:
    """What follows from its line and address."""
    line, proxy = server.line, server.backend.config
    server.transparent = line.address.family is Family.ANY and not line.address.host
    if line.address.offset:
        server.port_offset = line.address.port
    source = line.source or proxy.source
    if source:
        server.source = (source.partition(":")[0], int(source.partition(":")[2] or 0))
    dynamic.settle(server)
