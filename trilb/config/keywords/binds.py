"""`bind` lines: where traffic comes in (configuration.txt, section 5.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trilb.base.address import Address
from trilb.base.address import parse as parse_address
from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import guid, whole
from trilb.config import known
from trilb.config.keywords.option_words import secured, value_of
from trilb.config.keywords.registry import Context, keyword
from trilb.config.keywords.sockets import lookup_id, octal
from trilb.config.lexer import Line, expand_address
from trilb.config.lines import Bind
from trilb.config.model import Proxy
from trilb.config.sections import PeerTls

_BIND_VALUES: dict[str, Callable[[str], object]] = {
    "name": str,
    "id": lambda text: whole(text, 1, 2**31 - 1, "'id'"),
    "maxconn": lambda text: whole(text, 1, 2**31 - 1, "'maxconn'"),
    "backlog": lambda text: whole(text, 1, 2**31 - 1, "'backlog'"),
    "mode": octal,
    "uid": lambda text: whole(text, 0, 0xFFFFFFFE, "'uid'"),
    "gid": lambda text: whole(text, 0, 0xFFFFFFFE, "'gid'"),
    "user": lambda text: lookup_id("user", text),
    "group": lambda text: lookup_id("group", text),
    "interface": str,
    "guid-prefix": guid,
}
_BIND_FLAGS = {"v6only": "v6only", "v4v6": "v4v6", "transparent": "transparent", "accept-proxy": "accept_proxy"}
_BIND_WITHOUT_EFFECT = {
    "process": 1,
    "thread": 1,
    "nice": 1,
    "shards": 1,
    "tfo": 0,
    "defer-accept": 0,
    "mss": 1,
    "tcp-ut": 1,
    "severity-output": 1,
    "level": 1,
    "allow-0rtt": 0,
}


@keyword("proxy", "bind", where="FL")
def bind(line: Line, proxy: Proxy, context: Context) -> None:
    """`bind ADDRESS[,ADDRESS...] [options]`."""
    made = read_bind(line, context)
    if made.id and any(other.id == made.id for other in proxy.binds):
        raise Refused(f"bind id {made.id} is already used in this section")
    proxy.binds.append(made)


def read_bind(line: Line, context: Context, tls: PeerTls | None = None) -> Bind:
    """Read a `bind` line; what it says of TLS goes to `tls` where that is served. Raises Refused or NotServed."""
    if len(line.words) < 2:
        raise Refused("'bind' expects an address and port as argument, for instance :80")
    addresses: list[Address] = []
    for part in expand_address(line.words[1], context.env).split(","):
        try:
            addresses += parse_address(part, port_required=True)
        except Refused as refused:
            raise Refused(f"'bind' : {refused.text}", column=line.columns[1]) from None
    made = Bind(tuple(addresses), line.place)
    if any(address.datagram for address in addresses):
        raise Refused("'bind' takes stream sockets, not datagrams", column=line.columns[1])
    if any(address.offset for address in addresses):
        raise Refused("'bind' takes plain ports, not offsets", column=line.columns[1])
    made.tls_defaults = replace(context.config.globals.tls_bind)
    i, words = 2, line.words
    unserved = ""
    # An empty word ends the line, as in HAProxy: an option may come from a variable that is empty.
    while i < len(words) and words[i]:
        option = words[i]
        column = line.columns[i]
        i += 1
        if option in _BIND_FLAGS:
            setattr(made, _BIND_FLAGS[option], True)
        elif option in _BIND_WITHOUT_EFFECT:
            context.config.without_effect.setdefault(f"bind {option}", line.at(i - 1))
            i += _BIND_WITHOUT_EFFECT[option]
        elif tls is not None and option in ("ssl", *_PEER_TLS):
            made.ssl = made.ssl or option == "ssl"
            i += tls_option(tls, words, i - 1, line.columns)
        elif option == "ssl":
            made.ssl = True
        elif option in ("crt", "crt-list", "default-crt"):
            name = "crt_list" if option == "crt-list" else "crt"
            added = (value_of(words, i, option, column),)
            files = getattr(made.tls, name)
            setattr(made.tls, name, added + files if option == "default-crt" else files + added)
            i += 1
        elif taken := secured(made.tls, "bind", words, i - 1, column):
            i += taken - 1
        elif option in _BIND_VALUES:
            try:
                value = _BIND_VALUES[option](value_of(words, i, option, column))
            except Refused as refused:
                raise Refused(refused.text, column=column) from None
            names = {"user": "uid", "group": "gid", "guid-prefix": "guid_prefix"}
            setattr(made, names.get(option, option), value)
            i += 1
        elif option == "proto" and value_of(words, i, option, column) in ("h1", "h2", "none"):
            made.proto = words[i]
            i += 1
        elif option in known.BIND_OPTIONS or option == "ssl":
            unserved = unserved or f"bind {option}"
            break
        else:
            raise Refused(f"unknown 'bind' option '{option}'{nearest(option, [*known.BIND_OPTIONS])}", column=column)
    if unserved:
        context.unserved(unserved, line.place)
    return made


_PEER_TLS = {
    "crt": "crt",
    "ca-file": "ca_file",
    "crl-file": "crl_file",
    "verify": "verify",
    "verifyhost": "verify_host",
}


def tls_option(tls: PeerTls, words: tuple[str, ...], i: int, columns: tuple[int, ...]) -> int:
    """Read one option of TLS between peers at `words[i]`; returns how many arguments it had. Raises Refused."""
    option = words[i]
    if option == "ssl":
        return 0
    text = value_of(words, i + 1, option, columns[i])
    if option == "verify" and text not in ("none", "optional", "required"):
        raise Refused(f"'verify' expects none, optional or required, not '{text}'", column=columns[i])
    setattr(tls, _PEER_TLS[option], text)
    return 1
