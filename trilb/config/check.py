"""What only the whole configuration can tell: references, numbers, modes, what is probably forgotten."""

from __future__ import annotations

import os
from itertools import chain

from trilb.base.diagnostic import NOWHERE, Place, Report, nearest
from trilb.base.registry import Kind
from trilb.config import replies
from trilb.config.check_backends import check_backend
from trilb.config.expressions import Reference
from trilb.config.keywords.resolvers import RESOLV_CONF, system_nameservers
from trilb.config.model import Config, Mode, Proxy, Side
from trilb.config.sections import ResolversSection
from trilb.config.terms import Cond, Variable


def check(config: Config, report: Report, references: list[Reference], localpeer: str = "") -> None:
    """Number proxies and servers, resolve names, and report what does not fit together."""
    _number_proxies(config)
    for target in config.globals.logs:
        _profile(target.profile, target.place, config, report)
    for proxy in config.proxies:
        for rule in chain(*proxy.rules.values()):
            if rule.act.name == "do-log":
                _profile(str(rule.act.args[0]), rule.place, config, report)
    replies.resolve(config, report)
    for proxy in config.proxies:
        _number_servers(proxy, report)
        _acls(proxy, report)
        _groups(proxy, config, report)
        if proxy.disabled:
            continue
        _log_format(proxy, config, report)
        _http_in_tcp(proxy, report)
        if not proxy.side & Side.FRONTEND and proxy.default_backend:
            known = [other.name for other in config.proxies if other.side & Side.BACKEND]
            if proxy.default_backend_place.file and proxy.default_backend not in known and not proxy.inherits_backend:
                report.alert(proxy.default_backend_place, f"unable to find required backend '{proxy.default_backend}'")
        if proxy.side & Side.FRONTEND:
            _frontend(proxy, config, report)
        if proxy.side & Side.BACKEND:
            check_backend(proxy, config, report)
        _timeouts(proxy, report)
    config.globals.localpeer = localpeer or config.globals.localpeer or os.uname().nodename
    _tables(config, report, config.globals.localpeer)
    _guids(config, report)
    _resolvers(config, report)
    _references(config, report, references)
    for userlist in config.userlists.values():
        for user in userlist.users.values():
            for group in sorted(user.groups - set(userlist.groups)):
                report.alert(
                    userlist.place, f"userlist '{userlist.name}': no such group '{group}' of user '{user.name}'"
                )
        for name, members in userlist.groups.items():
            for member in sorted(members - set(userlist.users)):
                report.alert(userlist.place, f"userlist '{userlist.name}': no such user '{member}' of group '{name}'")


def _guids(config: Config, report: Report) -> None:
    """No two things of a configuration have the same guid."""
    known: dict[str, Place] = {}
    for proxy in config.proxies:
        found = [(proxy.guid, proxy.place)]
        for bind in proxy.binds:
            if bind.guid_prefix:
                found += [(f"{bind.guid_prefix}-{number}", bind.place) for number in range(len(bind.addresses))]
        found += [(server.guid, server.place) for server in proxy.servers]
        for guid, place in found:
            if guid and guid in known:
                report.alert(place, f"guid '{guid}' is already used at {known[guid]}")
            elif guid:
                known[guid] = place


def _resolvers(config: Config, report: Report) -> None:
    """Servers must name a section that exists; the section `default` always does, if the system has nameservers."""
    for section in config.resolvers.values():
        if not section.nameservers:
            report.warn(section.place, f"resolvers '{section.name}' has no nameservers configured!")
    if "default" not in config.resolvers:
        try:
            found = system_nameservers(RESOLV_CONF.read_text("latin-1"))
        except OSError:
            found = []
        if found:
            config.resolvers["default"] = ResolversSection("default", NOWHERE, found)
    for section in config.resolvers.values():
        section.families = config.globals.dns_families or section.families
    for proxy in config.proxies:
        for server in proxy.servers:
            if server.resolvers and server.resolvers not in config.resolvers and not proxy.disabled:
                who = f"{proxy.kind} '{proxy.name}', server '{server.name}'"
                hint = nearest(server.resolvers, config.resolvers)
                report.alert(server.place, f"{who}: unable to find required resolvers '{server.resolvers}'{hint}")


def _number_proxies(config: Config) -> None:
    """Automatic ids begin at 2, in order, around those that were set; one that was set takes its turn (observed)."""
    taken = {proxy.id for proxy in config.proxies if proxy.id}
    following = 2
    for order, proxy in enumerate(config.proxies):
        proxy.order = order
        if not proxy.id:
            while following in taken:
                following += 1
            proxy.id = following
        following += 1


def _number_servers(proxy: Proxy, report: Report) -> None:
    taken: dict[int, str] = {}
    for server in proxy.servers:
        if server.forced_id:
            if server.id in taken:
                report.alert(
                    server.place, f"server '{server.name}' : id {server.id} is already used by '{taken[server.id]}'"
                )
            taken[server.id] = server.name
    following = 1
    for server in proxy.servers:
        if not server.forced_id:
            while following in taken:
                following += 1
            server.id = following
            taken[following] = server.name
        # A number that was set takes its turn all the same (observed).
        following += 1


def _conditions(proxy: Proxy) -> list[Cond]:
    conditions = [rule.when for rule in chain(*proxy.rules.values()) if rule.when is not None]
    conditions += [rule.when for rule in (*proxy.use_backend, *proxy.use_server) if rule.when is not None]
    conditions += [*proxy.force_switch, *proxy.monitor_fail, *proxy.force_persist, *proxy.ignore_persist]
    if proxy.stats is not None:
        conditions += [*proxy.stats.admin, *(rule.when for rule in proxy.stats.rules if rule.when is not None)]
    return conditions


def _acls(proxy: Proxy, report: Report) -> None:
    for when in _conditions(proxy):
        for terms in when.alternatives:
            for term in terms:
                if term.acl is None and not term.resolved and term.name not in proxy.acls:
                    report.alert(proxy.place, f"no such ACL : '{term.name}'{nearest(term.name, proxy.acls)}")


def _groups(proxy: Proxy, config: Config, report: Report) -> None:
    """A group that `http_auth_group` is compared with must be one of its userlist."""
    for name, specs in proxy.acls.items():
        for spec in specs:
            fetch = spec.expr.fetch
            known = config.userlists.get(str(fetch.args[0])) if fetch.name == "http_auth_group" else None
            if known is not None and spec.method == "str":
                for group in (word for use in spec.patterns for word in use.words):
                    if group not in known.groups:
                        report.alert(spec.place, f"acl '{name}': userlist '{known.name}' has no group '{group}'")


def _log_format(proxy: Proxy, config: Config, report: Report) -> None:
    """`option httplog` in a TCP proxy means tcplog, as HAProxy falls back; a format without target is told."""
    for target in proxy.logs:
        _profile(target.profile, target.place, config, report)
    if not proxy.side & Side.FRONTEND:
        return
    if proxy.log_kind in ("httplog", "httpslog") and proxy.mode is Mode.TCP:
        option, who = f"'option {proxy.log_kind}'", f"{proxy.kind} '{proxy.name}'"
        proxy.log_kind, proxy.log_format = "tcplog", None
        report.warn(proxy.place, f"{option} not usable with {who} (needs 'mode http'); using tcplog")
    if proxy.mode is Mode.TCP:
        for keyword, made in (
            ("log-format", proxy.log_format),
            ("log-format-sd", proxy.log_structured),
            ("error-log-format", proxy.log_error),
        ):
            for item in made or ():
                if isinstance(item, Variable) and item.http:
                    where = f"'{keyword}' of {proxy.kind} '{proxy.name}'"
                    report.alert(proxy.place, f"{where} : variable '%{item.name}' is reserved for HTTP mode")
    if (proxy.log_kind or proxy.log_format) and not proxy.logs and not (proxy.log_global and config.globals.logs):
        report.warn(proxy.place, f"log format ignored for {proxy.kind} '{proxy.name}' since it has no log address")


def _profile(name: str, place: Place, config: Config, report: Report) -> None:
    if name and name not in config.log_profiles:
        report.alert(place, f"unknown log-profile '{name}'{nearest(name, config.log_profiles)}")


def _http_in_tcp(proxy: Proxy, report: Report) -> None:
    upgrades = any(rule.act.name == "switch-mode" for rule in proxy.rules.get("tcp-request content", ()))
    if proxy.mode is Mode.TCP and not upgrades:
        for what, there in (
            ("http-request", proxy.rules.get("http-request")),
            ("http-response", proxy.rules.get("http-response")),
            ("http-after-response", proxy.rules.get("http-after-response")),
            ("option forwardfor", proxy.forwardfor),
            ("stats", proxy.stats),
        ):
            if there:
                report.warn(proxy.place, f"'{what}' ignored for {proxy.kind} '{proxy.name}' as it requires HTTP mode")


def _frontend(proxy: Proxy, config: Config, report: Report) -> None:
    if not proxy.binds:
        report.warn(
            proxy.place,
            f"{proxy.kind} '{proxy.name}' has no 'bind' directive; please declare it as a backend if this was intended",
        )
    backends = {other.name: other for other in config.proxies if other.side & Side.BACKEND}
    targets = [(rule.name, rule.place) for rule in proxy.use_backend if rule.dynamic is None]
    if proxy.default_backend:
        targets.append((proxy.default_backend, proxy.default_backend_place))
    for name, place in targets:
        target = backends.get(name)
        if target is None:
            report.alert(
                place, f"{proxy.kind} '{proxy.name}': unable to find required backend '{name}'{nearest(name, backends)}"
            )
        elif target.mode is not proxy.mode and not (proxy.mode is Mode.TCP and target.mode is Mode.HTTP):
            report.alert(
                place,
                f"{proxy.kind} '{proxy.name}' tries to use incompatible {target.kind} '{name}' in mode "
                f"{target.mode.value}; both must have the same mode",
            )
        elif target is proxy:
            report.alert(place, f"loop detected: {proxy.kind} '{proxy.name}' names itself as its backend")


def _timeouts(proxy: Proxy, report: Report) -> None:
    times = proxy.timeouts
    front = proxy.side & Side.FRONTEND and proxy.binds and times.client is None
    back = proxy.side & Side.BACKEND and proxy.servers and (times.connect is None or times.server is None)
    if front or back:
        report.warn(
            proxy.place,
            f"missing timeouts for {proxy.kind} '{proxy.name}'; set 'client' (frontend), 'connect' and 'server' "
            "(backend),"
            " or connections may pile up for ever",
        )


def _tables(config: Config, report: Report, local: str) -> None:
    """Whom tables are shared with, where they write to, and which ones keep servers."""
    for section in config.peers.values():
        names = [peer.name for peer in section.peers]
        if not section.disabled and local not in names:
            report.warn(
                section.place,
                f"peers section '{section.name}' has no peer named '{local}' (the local peer: -L, 'localpeer', or the"
                " host's name) and shares nothing",
            )
            section.disabled = True
        for peer in section.peers:
            if peer.shard > section.shards:
                report.alert(peer.place, f"peer '{peer.name}': shard {peer.shard} is above 'shards {section.shards}'")
            if not section.disabled and peer.name != local and peer.address is None:
                report.alert(peer.place, f"peer '{peer.name}' is not the local one and needs an address and a port")
            if peer.name == local and peer.address is not None and section.binds:
                report.alert(peer.place, f"the local peer '{peer.name}' takes its address from the 'bind' line only")
    for proxy in config.proxies:
        for rule in proxy.stick:
            table = config.tables.get(rule.table or proxy.name)
            if table is None:
                if not rule.table:
                    report.alert(rule.place, f"'stick' : {proxy.kind} '{proxy.name}' has no stick-table")
            else:
                table.sticks()
    for table in config.tables.values():
        if table.peers and table.peers not in config.peers:
            report.alert(table.place, f"stick-table '{table.name}' : unable to find peers section '{table.peers}'")
        if table.write_to:
            target = config.tables.get(table.write_to)
            if target is None:
                report.alert(table.place, f"stick-table '{table.name}' : unable to find table '{table.write_to}'")
            elif target is table:
                report.alert(table.place, f"stick-table '{table.name}' : 'write-to' cannot name the table itself")
            elif (target.type, target.length) != (table.type, table.length):
                report.alert(
                    table.place,
                    f"stick-table '{table.name}' : 'write-to' needs a table of the same type and key length, and"
                    f" '{table.write_to}' is of type {target.type}",
                )


def _references(config: Config, report: Report, references: list[Reference]) -> None:
    fronts = {p.name for p in config.proxies if p.side & Side.FRONTEND}
    backs = {p.name: p for p in config.proxies if p.side & Side.BACKEND}
    for reference in references:
        if not reference.proxy and "/" not in reference.name and reference.kind in (Kind.SERVER, Kind.TABLE):
            continue
        name, found = reference.name, True
        if reference.kind is Kind.FRONTEND:
            found = name in fronts or not name
        elif reference.kind is Kind.BACKEND:
            found = name in backs or not name
        elif reference.kind is Kind.USERLIST:
            found = name in config.userlists
        elif reference.kind is Kind.RESOLVERS:
            found = name in config.resolvers
        elif reference.kind is Kind.TABLE:
            found = (name or reference.proxy) in config.tables
        else:
            backend, slash, server = name.rpartition("/")
            owner = backs.get(backend if slash else reference.proxy)
            found = owner is not None and any(s.name == server for s in owner.servers)
            if owner is not None:
                config.pinned.add((owner.name, server))
        if not found:
            report.alert(reference.place, f"{reference.what}: unable to find {reference.kind.value} '{name}'")
