"""What the whole configuration tells of a backend and its servers: whom they track, how they are checked."""

from __future__ import annotations

from trilb.base.address import Family
from trilb.base.diagnostic import Report, nearest
from trilb.config.lines import ServerLine
from trilb.config.model import Config, Mode, Proxy, Side


def _loops(found: ServerLine, owner: Proxy, server: ServerLine, config: Config) -> bool:
    """Does the chain of whom `found` tracks come back to the server, or to anybody it has met?"""
    backends = {p.name: p for p in config.proxies if p.side & Side.BACKEND}
    met: list[ServerLine] = []
    while found is not server and found not in met:
        met.append(found)
        name, slash, own = found.track.rpartition("/")
        after = backends.get(name if slash else owner.name)
        following = next((s for s in after.servers if s.name == own), None) if after is not None and own else None
        if after is None or following is None:
            return False
        found, owner = following, after
    return True


def _tracked(server: ServerLine, proxy: Proxy, config: Config, report: Report) -> None:
    backend, slash, name = server.track.rpartition("/")
    owner = next(
        (p for p in config.proxies if p.side & Side.BACKEND and p.name == (backend if slash else proxy.name)), None
    )
    found = next((s for s in owner.servers if s.name == name), None) if owner is not None else None
    who = f"'server {proxy.name}/{server.name}' :"
    if owner is not None:
        config.pinned.add((owner.name, name))
    if owner is None:
        report.alert(server.place, f"{who} unable to find required proxy '{backend}' for tracking")
    elif found is None:
        report.alert(server.place, f"{who} unable to find required server '{name}' for tracking")
    elif _loops(found, owner, server, config):
        told = f"{owner.name}/{found.name} as it belongs to a tracking chain looping back to"
        report.alert(server.place, f"{who} unable to track {told} {proxy.name}/{server.name}")
    elif not (found.check or found.agent_check or found.track):
        report.alert(
            server.place,
            f"{who} unable to use {owner.name}/{name} for tracking as it does not have any check nor agent enabled",
        )
    elif server.check:
        report.alert(server.place, f"server '{server.name}' : 'track' and 'check' exclude each other")
    elif owner.probe.disable_on_404 != proxy.probe.disable_on_404:
        told = f"{owner.name}/{name} for tracking: 'http-check disable-on-404' is needed in both backends or in none"
        report.alert(server.place, f"{who} unable to use {told}")


def _steps_of_nothing(proxy: Proxy, report: Report) -> None:
    probe = proxy.probe
    for family, kind, own, steps in (
        ("http-check", "httpchk", "http", probe.http),
        ("tcp-check", "tcp-check", "tcp", probe.tcp),
    ):
        if steps and own in probe.own and probe.kind != kind:
            report.warn(
                proxy.place,
                f"proxy '{proxy.name}' uses {family} rules without 'option {kind}', so the rules are ignored",
            )


def check_backend(proxy: Proxy, config: Config, report: Report) -> None:
    """Report what does not fit in a backend and its servers."""
    _steps_of_nothing(proxy, report)
    names = [server.name for server in proxy.servers]
    for rule in proxy.use_server:
        if rule.dynamic is None:
            config.pinned.add((proxy.name, rule.name))
        if rule.dynamic is None and rule.name not in names:
            report.alert(
                rule.place, f"unable to find server '{rule.name}' in proxy '{proxy.name}'{nearest(rule.name, names)}"
            )
    if proxy.mode is Mode.TCP and proxy.cookie is not None:
        report.warn(proxy.place, f"'cookie' statement ignored for {proxy.kind} '{proxy.name}' as it requires HTTP mode")
        proxy.cookie = None
    if proxy.mode is Mode.TCP and proxy.balance.name in ("uri", "url_param", "hdr"):
        report.warn(
            proxy.place,
            f"'balance {proxy.balance.name}' requires HTTP mode in {proxy.kind} '{proxy.name}'; using roundrobin",
        )
        proxy.balance = type(proxy.balance)("roundrobin")
    if proxy.cookie is not None and proxy.cookie.dynamic and not proxy.dynamic_cookie_key:
        report.warn(
            proxy.place,
            f"{proxy.kind} '{proxy.name}' has 'cookie ... dynamic' but no 'dynamic-cookie-key'; the cookies are off",
        )
    _external(proxy, config, report)
    for server in proxy.servers:
        if server.agent_check and not server.agent_port:
            report.alert(server.place, f"server '{server.name}' does not have agent port; add 'agent-port <port>'")
        if server.observe == "layer7" and proxy.mode is not Mode.HTTP:
            report.alert(server.place, f"server '{server.name}' : 'observe layer7' can only be used in http proxies")
        port = server.address.port if not server.address.offset else 0
        # Wherever the client connected to, or a path: there is no port to miss.
        without = server.address.family in (Family.UNIX, Family.ABSTRACT) or not server.address.host
        if server.check and not port and not server.check_port and not without:
            report.alert(
                server.place, f"server '{server.name}' has neither service port nor check port; add 'port <port>'"
            )
        if server.healthcheck and server.healthcheck not in config.healthchecks:
            name = server.healthcheck
            hint = nearest(name, config.healthchecks)
            report.alert(server.place, f"server '{server.name}' : no healthcheck section is called '{name}'{hint}")
        if server.track and server.init_state != "none":
            report.alert(server.place, f"server '{server.name}' : 'init-state' and 'track' exclude each other")
        if server.track:
            _tracked(server, proxy, config, report)
        if server.minconn and not server.maxconn:
            server.maxconn = server.minconn


def _external(proxy: Proxy, config: Config, report: Report) -> None:
    """Programs are run only where all agree: the permission, the command, and that processes may be made at all."""
    if proxy.probe.kind != "external-check":
        for what in ("command", "path"):
            if getattr(proxy, f"external_{what}"):
                ignored = f"'external-check {what}' will be ignored for proxy '{proxy.name}'"
                report.warn(proxy.place, f"{ignored} (requires 'option external-check')")
        return
    said, needs = f"Proxy '{proxy.name}' : ", "'option external-check' unable to find required "
    if not config.globals.external_check:
        report.alert(proxy.place, f"{said}{needs}'global.external-check'")
    if not proxy.external_command:
        report.alert(proxy.place, f"{said}{needs}'external-check command'")
    if not config.globals.insecure_fork:
        what = "'insecure-fork-wanted' not enabled in the global section"
        report.warn(proxy.place, f"{said}{what}, 'option external-check' will likely fail")
