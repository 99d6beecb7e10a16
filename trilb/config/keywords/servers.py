"""`server`, `default-server`: where traffic goes (configuration.txt, section 5.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from trilb.base.address import Address, Family, is_service
from trilb.base.address import parse as parse_address
from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import guid, seconds, whole
from trilb.config import known
from trilb.config.expressions import NotServed, parse_expr, parse_format
from trilb.config.keywords import agents
from trilb.config.keywords import resolvers as resolving
from trilb.config.keywords.option_words import secured, value_of
from trilb.config.keywords.presets import preset
from trilb.config.keywords.registry import Context, keyword
from trilb.config.lexer import Line, expand_address
from trilb.config.lines import ServerLine
from trilb.config.model import Proxy

_NAME = re.compile(r"[A-Za-z0-9_.:-]+\Z")


def _interval(text: str) -> float:
    value = seconds(text)
    if not value:
        raise Refused("must be above zero")
    return value


def _cookie_value(text: str) -> str:
    if not text:
        raise Refused("'cookie' expects a value")
    return text


def _one_of(text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise Refused(f"expects {', '.join(allowed)}, not '{text}'")
    return text


def _check_address(text: str, column: int) -> tuple[str, int]:
    """Where a server is checked instead of its own address: `port` goes before a port in it."""
    found = parse_address(text)[0]
    if found.family not in (Family.IPV4, Family.IPV6, Family.ANY) or not found.host:
        raise Refused(f"'addr' expects an address, not '{text}'", column=column)
    return found.host, found.port


def _hash_key(text: str) -> str:
    if text == "guid":
        raise NotServed("server hash-key guid")
    if text not in ("id", "id32", "addr", "addr-port"):
        raise Refused(f"expects id, id32, addr or addr-port, not '{text}'")
    return text


_INIT_STATES = ("fully-up", "up", "down", "fully-down", "none")
_SERVER_VALUES: dict[str, tuple[str, Callable[[str], object]]] = {
    "weight": ("weight", lambda text: whole(text, 0, 256, "'weight'")),
    "maxconn": ("maxconn", lambda text: whole(text, 0, 2**31 - 1, "'maxconn'")),
    "minconn": ("minconn", lambda text: whole(text, 0, 2**31 - 1, "'minconn'")),
    "maxqueue": ("maxqueue", lambda text: whole(text, 0, 2**31 - 1, "'maxqueue'")),
    "inter": ("inter", lambda text: _interval(text)),
    "fastinter": ("fastinter", lambda text: _interval(text)),
    "downinter": ("downinter", lambda text: _interval(text)),
    "rise": ("rise", lambda text: whole(text, 1, 65535, "'rise'")),
    "fall": ("fall", lambda text: whole(text, 1, 65535, "'fall'")),
    "port": ("check_port", lambda text: whole(text, 1, 65535, "'port'")),
    "cookie": ("cookie", _cookie_value),
    "id": ("id", lambda text: whole(text, 1, 2**31 - 1, "'id'")),
    "guid": ("guid", guid),
    "source": ("source", str),
    "pool-max-conn": ("pool_max_conn", lambda text: whole(text, -1, 2**31 - 1, "'pool-max-conn'")),
    "pool-purge-delay": ("pool_purge_delay", seconds),
    "init-addr": ("init_address", resolving.initial),
    "resolvers": ("resolvers", str),
    "resolve-prefer": ("resolve_ipv4", resolving.prefers_ipv4),
    "resolve-net": ("resolve_networks", resolving.networks),
    "resolve-opts": ("resolve_options", resolving.options),
    "hash-key": ("hash_key", _hash_key),
    "track": ("track", str),
    "healthcheck": ("healthcheck", str),
    "init-state": ("init_state", lambda text: _one_of(text, _INIT_STATES)),
    "check-proto": ("check_proto", lambda text: _one_of(text, ("h1", "h2", "none"))),
    "check-sni": ("check_sni", str),
    **agents.SERVER_VALUES,
    "check-alpn": ("check_alpn", lambda text: tuple(name.encode("latin-1") for name in text.split(",") if name)),
}
_PROXY_OPTIONS = frozenset("ssl cert-cn ssl-cipher cert-sig cert-key authority crc32c unique-id".split())
_TLV = re.compile(r"set-proxy-v2-tlv-fmt\((0[xX][0-9a-fA-F]+|\d+)\)\Z")
_SERVER_FLAGS: dict[str, tuple[str, bool | str]] = {
    "check": ("check", True),
    "no-check": ("check", False),
    "backup": ("backup", True),
    "no-backup": ("backup", False),
    "disabled": ("disabled", True),
    "enabled": ("disabled", False),
    "non-stick": ("non_stick", True),
    "stick": ("non_stick", False),
    "ssl": ("ssl", True),
    "no-ssl": ("ssl", False),
    "check-ssl": ("check_ssl", True),
    "no-check-ssl": ("check_ssl", False),
    "check-sni-auto": ("check_sni_auto", True),
    "no-check-sni-auto": ("check_sni_auto", False),
    "send-proxy-v2": ("send_proxy", "v2"),
    "check-send-proxy": ("check_send_proxy", True),
    **agents.SERVER_FLAGS,
}
_ON_MARKED = {
    "on-marked-down": ("down_shuts_sessions", "shutdown-sessions"),
    "on-marked-up": ("up_shuts_backups", "shutdown-backup-sessions"),
}
_SERVER_WITHOUT_EFFECT = {"allow-0rtt": 0, "tfo": 0, "no-tfo": 0, "pool-low-conn": 1, "log-bufsize": 1}
_NOT_IN_DEFAULT = frozenset({"id"})


def apply_server_options(
    made: ServerLine, words: tuple[str, ...], columns: tuple[int, ...], context: Context, proxy: Proxy, default: bool
) -> str:
    """Apply the options of a `server` or `default-server` line; returns the first one not served, or ''."""
    i, unserved = 0, ""
    while i < len(words) and words[i]:
        option, column = words[i], columns[i] if i < len(columns) else 0
        i += 1
        if option in context.refused_options:
            raise Refused(f"'{option}' option is not accepted for dynamic server", column=column)
        if default and option in _NOT_IN_DEFAULT:
            raise Refused(f"'{option}' cannot stand in 'default-server'", column=column)
        if option in _SERVER_FLAGS:
            name, value = _SERVER_FLAGS[option]
            setattr(made, name, value)
            if name == "disabled":
                made.enabled = not made.disabled
            if name == "ssl":
                made.ssl_said, made.no_ssl = made.ssl_said or made.ssl, not made.ssl
        elif option in _SERVER_VALUES:
            text = value_of(words, i, option, column)
            i += 1
            name, read = _SERVER_VALUES[option]
            try:
                setattr(made, name, read(text))
            except NotServed:
                raise
            except Refused as refused:
                raise Refused(f"'{option}': {refused.text}", column=column) from None
            if option == "id":
                made.forced_id = True
        elif taken := secured(made.tls, "server", words, i - 1, column) or _proxy_header(
            made, words, i - 1, context, proxy, column
        ):
            i += taken - 1
        elif option == "crt":
            made.tls.crt = (value_of(words, i, option, column),)
            i += 1
        elif option in ("sni", "pool-conn-name"):
            text = value_of(words, i, option, column)
            i += 1
            made_expr, _, _ = parse_expr(text, context.scope(proxy, made.place))
            if option == "sni":
                made.tls.sni = made_expr
            else:
                made.pool_conn_name = made_expr
        elif option == "addr":
            made.check_address, port = _check_address(value_of(words, i, option, column), column)
            made.check_port = made.check_port or port
            i += 1
        elif option == "proto" and value_of(words, i, option, column) in ("h1", "h2", "none"):
            made.proto = words[i]
            i += 1
        elif option in _ON_MARKED:
            name, action = _ON_MARKED[option]
            text = value_of(words, i, option, column)
            if text != action:
                raise Refused(f"'{option}' expects '{action}', not '{text}'", column=column)
            setattr(made, name, True)
            i += 1
        elif option == "ws":
            made.ws = value_of(words, i, option, column)
            if made.ws not in ("auto", "h1", "h2"):
                raise Refused(f"'ws' expects auto, h1 or h2, not '{made.ws}'", column=columns[i])
            i += 1
        elif option == "redirect":
            continue
        elif option in _SERVER_WITHOUT_EFFECT:
            context.config.without_effect.setdefault(f"server {option}", made.place)
            i += _SERVER_WITHOUT_EFFECT[option]
        elif option in known.SERVER_OPTIONS:
            return f"server {option}"
        else:
            raise Refused(
                f"unknown option '{option}'{nearest(option, [*known.SERVER_OPTIONS, *_SERVER_VALUES])}", column=column
            )
    return unserved


def _proxy_header(made: ServerLine, words: tuple[str, ...], i: int, context: Context, proxy: Proxy, column: int) -> int:
    """An option about the PROXY header towards the server; how many words it took, 0 when it is something else."""
    option = words[i]
    if option == "send-proxy":
        # Where both versions are asked for, the second is sent.
        made.send_proxy = made.send_proxy or "v1"
        return 1
    if option in ("no-send-proxy", "no-send-proxy-v2"):
        if made.send_proxy == ("v2" if option.endswith("v2") else "v1"):
            made.send_proxy = ""
        return 1
    if option.removeprefix("no-") in ("send-proxy-v2-ssl", "send-proxy-v2-ssl-cn"):
        wanted = {"ssl", "cert-cn"} if option.endswith("-cn") else {"ssl"}
        if option.startswith("no-"):
            made.proxy_options -= wanted
        else:
            made.send_proxy = "v2"
            made.proxy_options |= wanted
        return 1
    if option == "proxy-v2-options":
        names = value_of(words, i + 1, option, column).split(",")
        for name in names:
            if name not in _PROXY_OPTIONS:
                raise Refused(f"'{option}' knows no '{name}'{nearest(name, _PROXY_OPTIONS)}", column=column)
        made.proxy_options |= frozenset(names)
        return 2
    match = _TLV.match(option)
    if match is None:
        return 0
    number = int(match[1], 0)
    if not 0 <= number <= 255:
        raise Refused("the number of a TLV is one of 0 to 255", column=column)
    text = parse_format(words[i + 1] if i + 1 < len(words) else "", context.scope(proxy, made.place))
    made.proxy_tlvs = (*made.proxy_tlvs, (number, text))
    return 2


@keyword("proxy", "server", where="LB")
def server(line: Line, proxy: Proxy, context: Context) -> None:
    """`server NAME ADDRESS[:PORT] [options]`."""
    if len(line.words) < 3:
        raise Refused("'server' expects <name> and <addr>[:<port>] as arguments")
    _add_server(line, proxy, context, line.words[1], _server_address(line, line.words[1], context, 2), 3)


_RANGE = re.compile(r"(\d+)(?:-(\d+))?\Z")
_MOST_SERVERS = 100_000
"""Of one template. Arbitrary: a number mistyped is to be told, not tried."""


@keyword("proxy", "server-template", where="LB")
def server_template(line: Line, proxy: Proxy, context: Context) -> None:
    """`server-template PREFIX NUMBER|LOW-HIGH NAME[:PORT] [options]`: servers that differ in their number only."""
    if len(line.words) < 4:
        raise Refused("'server-template' expects <prefix> <nb | range> <addr>[:<port>] as arguments")
    prefix, count = line.words[1:3]
    match = _RANGE.match(count)
    low, high = (int(match[1]), int(match[2])) if match and match[2] else (1, int(match[1]) if match else 0)
    if not 1 <= low <= high < low + _MOST_SERVERS:
        raise Refused(f"wrong server-template number or range arg '{count}'", column=line.columns[2])
    address = _server_address(line, prefix, context, 3)
    for number in range(low, high + 1):
        made = _add_server(line, proxy, context, f"{prefix}{number}", address, 4)
        if number > low:
            # An id can be said of one server only.
            made.id, made.forced_id = 0, False


def _server_address(line: Line, name: str, context: Context, at: int) -> Address:
    """The address of a server line or template. Raises Refused."""
    column = line.columns[at]
    if not _NAME.match(name):
        raise Refused(
            f"character not permitted in server name '{name}'; use A-Z a-z 0-9 - _ . :", column=line.columns[1]
        )
    text = expand_address(line.words[at], context.env)
    try:
        addresses = parse_address(text)
    except Refused as refused:
        raise Refused(f"'server {name}' : {refused.text}", column=column) from None
    if len(addresses) > 1:
        raise Refused(f"'server {name}' : port range not supported in '{text}'", column=column)
    address = addresses[0]
    if address.datagram:
        raise Refused(f"'server {name}' : a server is no datagram socket", column=column)
    if address.family is Family.FD:
        raise Refused(f"'server {name}' : a server cannot be a file descriptor", column=column)
    if not address.port and address.family not in (Family.UNIX, Family.ABSTRACT) and not is_service(address):
        # HAProxy: no port means the port of the incoming connection.
        address = replace(address, offset=True)
    return address


def _add_server(line: Line, proxy: Proxy, context: Context, name: str, address: Address, options: int) -> ServerLine:
    """Add one server with the options that begin at that word. Raises Refused."""
    if any(other.name == name for other in proxy.servers):
        raise Refused(
            f"{proxy.kind} '{proxy.name}' : server '{name}' is already defined; give it another name",
            column=line.columns[1],
        )
    made = ServerLine(name, address, line.place, tls_defaults=replace(context.config.globals.tls_server))
    unserved = ""
    begin, taken = preset(line.words[options:], proxy, context.config, proxy.default_server)
    for words in begin:
        unserved = apply_server_options(made, words, (), context, proxy, True) or unserved
    made.id, made.forced_id = 0, False
    own = line.words[options + taken :]
    unserved = apply_server_options(made, own, line.columns[options + taken :], context, proxy, False) or unserved
    made.words = (*begin, own)
    proxy.servers.append(made)
    if unserved:
        context.unserved(unserved, line.place)
    return made


@keyword("proxy", "default-server", where="DLB")
def default_server(line: Line, proxy: Proxy, context: Context) -> None:
    """`default-server [name NAME] [from ORIGIN] OPTIONS`: what the server lines after it begin with."""
    scratch = ServerLine("", Address(Family.ANY, ""), line.place)
    words, name = line.words[1:], ""
    if words[:1] == ("name",):
        name, words = value_of(words, 1, "name", line.columns[1]), words[2:]
        if any(other.name == name for other in proxy.servers):
            raise Refused(f"'default-server name {name}' : a server has that name", column=line.columns[1])
    before = proxy.named_servers.get(name, []) if name else proxy.default_server
    begin, taken = preset(words, proxy, context.config, before)
    words = words[taken:]
    unserved = apply_server_options(scratch, words, line.columns[-len(words) :], context, proxy, True)
    made = [*begin, words] if words else [*begin]
    if name:
        proxy.named_servers = {**proxy.named_servers, name: made}
    else:
        proxy.default_server = made
    if unserved:
        context.unserved(unserved.replace("server", "default-server", 1), line.place)
