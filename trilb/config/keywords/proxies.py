"""Keywords any proxy may carry: mode, limits, timeouts, retries, options, error files (section 4.2)."""

from __future__ import annotations

from trilb.base.address import Family
from trilb.base.address import parse as parse_address
from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import guid, seconds, whole
from trilb.config import known
from trilb.config.expressions import NotServed
from trilb.config.keywords import forward
from trilb.config.keywords.checks import KINDS, check_option
from trilb.config.keywords.logs import option_log
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.model import Mode, Proxy


@keyword("proxy", "mode")
def mode(line: Line, proxy: Proxy, context: Context) -> None:
    """`mode tcp|http`."""
    (value,) = only(line, 1, "mode { tcp | http }")
    if value in ("log", "spop", "haterm", "health"):
        raise NotServed(f"mode {value}")
    if value not in ("tcp", "http"):
        raise Refused(f"unknown proxy mode '{value}'{nearest(value, ('tcp', 'http'))}", column=line.columns[1])
    proxy.mode = Mode(value)


@keyword("proxy", "id", where="FLB")
def identifier(line: Line, proxy: Proxy, context: Context) -> None:
    """`id N`: the proxy's number in statistics."""
    (value,) = only(line, 1, "id <number>")
    proxy.id = whole(value, 1, 2**31 - 1, "'id'")
    proxy.forced_id = True
    for other in context.config.proxies:
        if other is not proxy and other.id == proxy.id:
            raise Refused(f"'id' {proxy.id} already used by {other.kind} '{other.name}' at {other.place}")


@keyword("proxy", "disabled", "enabled")
def disabled(line: Line, proxy: Proxy, context: Context) -> None:
    """`disabled` and `enabled`."""
    only(line, 0, line.words[0])
    proxy.disabled = line.words[0] == "disabled"


@keyword("proxy", "guid", where="FLB")
def global_id(line: Line, proxy: Proxy, context: Context) -> None:
    """`guid STRING`: by what a stats-file knows the proxy; nothing else in the configuration may have it."""
    (value,) = only(line, 1, "guid <string>")
    proxy.guid = guid(value)


@keyword("proxy", "description", where="FLB")
def description(line: Line, proxy: Proxy, context: Context) -> None:
    """`description TEXT`."""
    proxy.description = " ".join(line.words[1:])


@keyword("proxy", "maxconn", where="DFL")
def maxconn(line: Line, proxy: Proxy, context: Context) -> None:
    """`maxconn N`: concurrent connections of a frontend."""
    (value,) = only(line, 1, "maxconn <number>")
    proxy.maxconn = whole(value, 0, 2**31 - 1, "'maxconn'")


@keyword("proxy", "backlog", where="DFL")
def backlog(line: Line, proxy: Proxy, context: Context) -> None:
    """`backlog N`: the listen queue's length."""
    (value,) = only(line, 1, "backlog <number>")
    proxy.backlog = whole(value, 0, 2**31 - 1, "'backlog'")


@keyword("proxy", "fullconn", where="DLB")
def fullconn(line: Line, proxy: Proxy, context: Context) -> None:
    """`fullconn N`: load at which servers with minconn reach their maxconn."""
    (value,) = only(line, 1, "fullconn <number>")
    proxy.fullconn = whole(value, 0, 2**31 - 1, "'fullconn'")


_TIMEOUTS = {
    "client": "client",
    "clitimeout": "client",
    "server": "server",
    "srvtimeout": "server",
    "connect": "connect",
    "contimeout": "connect",
    "queue": "queue",
    "http-request": "http_request",
    "http-keep-alive": "http_keep_alive",
    "tunnel": "tunnel",
    "client-fin": "client_fin",
    "server-fin": "server_fin",
    "client-hs": "client_hs",
    "check": "check",
    "tarpit": "tarpit",
}


_SIDES = {
    **dict.fromkeys(("client", "client_fin", "client_hs"), "DFL"),
    **dict.fromkeys(("server", "server_fin", "connect", "queue", "tunnel", "check"), "DLB"),
}


@keyword("proxy", "timeout")
def timeout(line: Line, proxy: Proxy, context: Context) -> None:
    """`timeout NAME TIME`; milliseconds when no unit is given, 0 means none."""
    if len(line.words) < 3:
        raise Refused("'timeout' expects a name and a time; usage: timeout <event> <time>")
    name = line.words[1]
    if name not in _TIMEOUTS:
        raise Refused(f"'timeout' does not know '{name}'{nearest(name, _TIMEOUTS)}", column=line.columns[1])
    if len(line.words) > 3:
        raise Refused(f"'timeout {name}' cannot handle unexpected argument '{line.words[3]}'", column=line.columns[3])
    try:
        value = seconds(line.words[2])
    except Refused as refused:
        raise Refused(f"'timeout {name}': {refused.text}", column=line.columns[2]) from None
    field = _TIMEOUTS[name]
    if field in proxy.timeouts_set:
        context.report.warn(line.at(1), f"overwriting 'timeout {name}' set before in the same section")
    proxy.timeouts_set = proxy.timeouts_set | {field}
    needed = _SIDES.get(field, "DFLB")
    if proxy.kind[0].upper() not in needed:
        other = "frontend" if needed == "DFL" else "backend"
        context.report.warn(
            line.at(0), f"'timeout {name}' ignored because {proxy.kind} '{proxy.name}' has no {other} capability"
        )
    setattr(proxy.timeouts, field, value or None)


@keyword("proxy", "retries", where="DLB")
def retries(line: Line, proxy: Proxy, context: Context) -> None:
    """`retries N`: how often a failed connection is tried again."""
    (value,) = only(line, 1, "retries <number>")
    proxy.retries = whole(value, 0, 2**31 - 1, "'retries'")


RETRY_ON = frozenset(
    "none conn-failure empty-response junk-response response-timeout 0rtt-rejected all-retryable-errors "
    "401 403 404 408 421 425 429 500 501 502 503 504".split()
)
_RETRYABLE = frozenset(
    "conn-failure empty-response junk-response response-timeout 0rtt-rejected 500 502 503 504".split()
)


@keyword("proxy", "retry-on", where="DLB")
def retry_on(line: Line, proxy: Proxy, context: Context) -> None:
    """`retry-on EVENT...`: replaces what was set before."""
    words = set(line.words[1:])
    if not words:
        raise Refused("'retry-on' expects at least one event")
    for word in sorted(words - RETRY_ON):
        raise Refused(f"'retry-on' does not know '{word}'{nearest(word, RETRY_ON)}")
    if "none" in words and len(words) > 1:
        raise Refused("'retry-on none' stands alone")
    if "all-retryable-errors" in words:
        words = (words - {"all-retryable-errors"}) | _RETRYABLE
    proxy.retry_on = frozenset(words - {"none"})


@keyword("proxy", "http-reuse", where="DLB")
def http_reuse(line: Line, proxy: Proxy, context: Context) -> None:
    """`http-reuse never|safe|aggressive|always`."""
    (value,) = only(line, 1, "http-reuse { never | safe | aggressive | always }")
    if value not in ("never", "safe", "aggressive", "always"):
        raise Refused(f"'http-reuse' expects never, safe, aggressive or always, not '{value}'", column=line.columns[1])
    proxy.reuse = value


@keyword("proxy", "source", where="DLB")
def source(line: Line, proxy: Proxy, context: Context) -> None:
    """`source ADDRESS`: the address connections to servers leave from."""
    if len(line.words) > 2:
        raise NotServed(f"source {line.words[2]}")
    (proxy.source,) = only(line, 1, "source <address>")
    address = parse_address(proxy.source)[0]
    if address.family not in (Family.IPV4, Family.IPV6, Family.ANY):
        raise Refused(f"'source' expects an address, not '{proxy.source}'", column=line.columns[1])


_BOTH, _FRONT, _BACK = "DFLB", "DFL", "DLB"
SWITCHES: dict[str, str] = {
    "dontlognull": _FRONT,
    "dontlog-normal": _FRONT,
    "logasap": _FRONT,
    "log-separate-errors": _FRONT,
    "http-server-close": _BOTH,
    "httpclose": _BOTH,
    "http-keep-alive": _BOTH,
    "abortonclose": _BOTH,
    "allbackups": _BACK,
    "persist": _BACK,
    "http-ignore-probes": _FRONT,
    "h1-case-adjust-bogus-client": _FRONT,
    "h1-case-adjust-bogus-server": _BACK,
    "socket-stats": _FRONT,
    "tcp-smart-connect": _BACK,
    "tcp-smart-accept": _FRONT,
    "tcpka": _BOTH,
    "clitcpka": _FRONT,
    "srvtcpka": _BACK,
    "splice-auto": _BOTH,
    "splice-request": _BOTH,
    "splice-response": _BOTH,
    "http-no-delay": _BOTH,
    "http-buffer-request": _BOTH,
    "nolinger": _BOTH,
    "contstats": _FRONT,
    "disable-h2-upgrade": _FRONT,
    "idle-close-on-response": _FRONT,
    "http-pretend-keepalive": _BACK,
    "prefer-last-server": _BACK,
    "independent-streams": _BOTH,
    "checkcache": _BACK,
    "log-health-checks": _BACK,
    "http-use-proxy-header": _FRONT,
    "accept-unsafe-violations-in-http-request": _FRONT,
    "accept-unsafe-violations-in-http-response": _BACK,
}
"""`option NAME` that is on or off, and where it may stand."""

_WITHOUT_EFFECT = frozenset(
    "tcp-smart-connect tcp-smart-accept splice-auto splice-request splice-response contstats http-no-delay "
    "independent-streams".split()
)
_NOT_SERVED = frozenset(
    "checkcache prefer-last-server nolinger idle-close-on-response accept-unsafe-violations-in-http-response".split()
)
_RENAMED = {
    "accept-invalid-http-request": "accept-unsafe-violations-in-http-request",
    "accept-invalid-http-response": "accept-unsafe-violations-in-http-response",
}
"""Options by their names before HAProxy 3.1."""
_CONNECTION_MODES = frozenset({"http-server-close", "httpclose", "http-keep-alive"})


@keyword("proxy", "option", negatable=True)
def option(line: Line, proxy: Proxy, context: Context) -> None:
    """`option NAME ...`, `no option NAME`."""
    if len(line.words) < 2:
        raise Refused("'option' expects an option name")
    name, rest = line.words[1], line.words[2:]
    name = _RENAMED.get(name, name)
    if name in SWITCHES:
        if rest:
            raise Refused(f"'option {name}' does not take any argument", column=line.columns[2])
        if name in _NOT_SERVED and not context.negated:
            raise NotServed(f"option {name}")
        if name in _WITHOUT_EFFECT:
            context.config.without_effect.setdefault(f"option {name}", line.place)
        if proxy.kind != "defaults" and not set(SWITCHES[name]) & {proxy.kind[0].upper()}:
            context.report.warn(
                line.place, f"'option {name}' ignored because {proxy.kind} '{proxy.name}' has no use for it"
            )
        proxy.options -= {name}
        if not context.negated:
            if name in _CONNECTION_MODES:
                proxy.options -= _CONNECTION_MODES
            proxy.options |= {name}
    elif (
        context.negated
        and name
        in (
            "http-restrict-req-hdr-names",
            "httplog",
            "tcplog",
            "httpslog",
            "forwardfor",
            "originalto",
            "external-check",
        )
    ) or (context.negated and name in KINDS):
        raise Refused(f"negation is not supported for option '{name}'", column=line.columns[1])
    elif name in KINDS:
        check_option(line, proxy, context)
    elif name in ("httplog", "tcplog", "httpslog"):
        option_log(line, proxy, context)
        if proxy.kind == "backend":
            context.report.warn(
                line.at(1), f"'option {name}' ignored because backend '{proxy.name}' has no frontend capability"
            )
    elif name == "http-restrict-req-hdr-names":
        if len(rest) != 1 or rest[0] not in ("preserve", "delete", "reject"):
            raise Refused("'option http-restrict-req-hdr-names' expects 'preserve', 'delete' or 'reject'")
        proxy.restrict_names = rest[0]
    elif name == "redispatch":
        if proxy.kind == "frontend":
            context.report.warn(
                line.at(1), f"'option redispatch' ignored because frontend '{proxy.name}' has no backend capability"
            )
        proxy.redispatch = None if context.negated else _interval(rest)
    elif name == "forwardfor":
        proxy.forwardfor = forward.forwardfor(line, name="x-forwarded-for", if_none=True)
    elif name == "originalto":
        proxy.originalto = forward.forwardfor(line, name="x-original-to", if_none=False)
    elif name == "forwarded":
        if proxy.kind == "frontend":
            context.report.warn(
                line.at(1), f"'option forwarded' ignored because frontend '{proxy.name}' has no backend capability"
            )
        proxy.forwarded = None if context.negated else forward.forwarded(line, proxy, context)
    elif name == "external-check":
        if rest:
            raise Refused(f"'option {name}' cannot handle unexpected argument '{rest[0]}'", column=line.columns[2])
        proxy.probe = proxy.probe.with_option("external-check", ())
    elif name in known.OPTIONS:
        if not context.negated:
            raise NotServed(f"option {name}")
    elif f"option {name}" in known.REMOVED:
        raise Refused(known.removed(f"option {name}"), column=line.columns[1])
    else:
        raise Refused(f"unknown option '{name}'{nearest(name, [*SWITCHES, *known.OPTIONS])}", column=line.columns[1])


def _interval(rest: tuple[str, ...]) -> int:
    if len(rest) > 1:
        raise Refused("'option redispatch' takes at most one number")
    return whole(rest[0], -(2**31), 2**31 - 1, "'option redispatch'") if rest else -1
