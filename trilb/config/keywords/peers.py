"""Keywords of `peers` sections (section 11.2)."""

from __future__ import annotations

import re
from dataclasses import replace

from trilb.base.address import parse as parse_address
from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import whole
from trilb.config import known
from trilb.config.keywords.binds import read_bind, tls_option
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.keywords.tables import read_table
from trilb.config.lexer import Line, expand_address
from trilb.config.sections import Peer, PeersSection, PeerTls

_NAME = re.compile(r"[A-Za-z0-9_.:-]+\Z")
_TLS = ("ssl", "crt", "ca-file", "crl-file", "verify", "verifyhost")
_POINTLESS = {"check": 0, "weight": 1, "cookie": 1, "inter": 1, "rise": 1, "fall": 1, "maxconn": 1, "disabled": 0}
"""Server options that mean nothing between peers (section 11.2), with their arguments."""


@keyword("peers", "peer", "server")
def peer(line: Line, section: PeersSection, context: Context) -> None:
    """`peer NAME ADDRESS:PORT [options]`, `server NAME [ADDRESS:PORT] [options]`: one of those who share the tables.

    Options: `ssl`, `crt`, `ca-file`, `crl-file`, `verify none|required`, `verifyhost NAME`, `shard N`.
    """
    if len(line.words) < 2 or (line.words[0] == "peer" and len(line.words) < 3):
        raise Refused(f"'{line.words[0]}' expects <name> and <addr>:<port> as arguments")
    name = line.words[1]
    if not _NAME.match(name):
        raise Refused(f"character not permitted in peer name '{name}'; use A-Z a-z 0-9 - _ . :", column=line.columns[1])
    if any(other.name == name for other in section.peers):
        raise Refused(f"peer '{name}' is already defined in peers section '{section.name}'")
    address, rest = None, 2
    if len(line.words) > 2 and line.words[2] not in known.SERVER_OPTIONS:
        address, rest = parse_address(expand_address(line.words[2], context.env), port_required=True)[0], 3
    made = Peer(name, address, line.place)
    _options(made, section.server_defaults, (0,) * len(section.server_defaults), context)
    _options(made, line.words[rest:], line.columns[rest:], context)
    section.peers.append(made)


def _options(made: Peer, words: tuple[str, ...], columns: tuple[int, ...], context: Context) -> None:
    i = 0
    tls = replace(made.tls) if made.tls is not None else PeerTls()
    secured = made.tls is not None
    while i < len(words):
        option = words[i]
        if option in _TLS:
            secured = secured or option == "ssl"
            i += tls_option(tls, words, i, columns)
        elif option == "no-ssl":
            secured = False
        elif option == "shard":
            if i + 1 >= len(words):
                raise Refused("'shard' expects a number", column=columns[i])
            made.shard = whole(words[i + 1], 0, 1 << 16, "'shard'")
            i += 1
        elif option in _POINTLESS:
            i += _POINTLESS[option]
        elif option in known.SERVER_OPTIONS:
            context.unserved(f"peer {option}", made.place)
            break
        else:
            raise Refused(f"unknown option '{option}'{nearest(option, known.SERVER_OPTIONS)}", column=columns[i])
        i += 1
    made.tls = tls if secured else None


@keyword("peers", "bind")
def bind(line: Line, section: PeersSection, context: Context) -> None:
    """`bind ADDRESS:PORT [ssl crt FILE [ca-file FILE verify required]] [options]`: where this peer listens."""
    words = (*line.words[:2], *section.bind_defaults, *line.words[2:])
    columns = (*line.columns[:2], *(0 for _ in section.bind_defaults), *line.columns[2:])
    tls = PeerTls()
    made = read_bind(replace(line, words=words, columns=columns), context, tls)
    if section.binds:
        raise Refused("one 'bind' line is all a peers section may have")
    if made.ssl and not tls.crt:
        raise Refused("'bind ... ssl' needs 'crt' with a file that holds the certificate and its key")
    section.binds.append(made)
    section.bind_tls = tls if made.ssl else None


@keyword("peers", "default-bind")
def default_bind(line: Line, section: PeersSection, context: Context) -> None:
    """`default-bind OPTIONS`: options of the `bind` lines that follow."""
    section.bind_defaults = line.words[1:]


@keyword("peers", "default-server")
def default_server(line: Line, section: PeersSection, context: Context) -> None:
    """`default-server OPTIONS`: options of the `server` lines that follow."""
    _options(Peer("", None, line.place), line.words[1:], line.columns[1:], context)
    section.server_defaults = (*section.server_defaults, *line.words[1:])


@keyword("peers", "table")
def table(line: Line, section: PeersSection, context: Context) -> None:
    """`table NAME type TYPE size SIZE ...`: a stick table of the section, called SECTION/NAME elsewhere."""
    if len(line.words) < 2:
        raise Refused("'table' expects a name")
    name = f"{section.name}/{line.words[1]}"
    there = context.config.tables.get(name)
    if there is not None:
        raise Refused(f"table '{line.words[1]}' is already defined at {there.place}")
    section.tables.add(line.words[1])
    context.config.tables[name] = read_table(line, name, 2, peers=section.name)


@keyword("peers", "shards")
def shards(line: Line, section: PeersSection, context: Context) -> None:
    """`shards N`: entries are spread over N parts, and a peer with `shard` gets one of them."""
    (text,) = only(line, 1, "shards <number>")
    section.shards = whole(text, 1, 1 << 16, "'shards'")


@keyword("peers", "disabled", "enabled")
def disabled(line: Line, section: PeersSection, context: Context) -> None:
    """`disabled` makes the section share nothing; `enabled` takes that back."""
    section.disabled = line.words[0] == "disabled"


@keyword("peers", "log")
def log(line: Line, section: PeersSection, context: Context) -> None:
    """`log TARGET FACILITY`: accepted; what happens between peers is told to the proxies' and global targets."""
    if len(line.words) < 2:
        raise Refused("'log' expects a target")
    context.config.without_effect.setdefault("peers log", line.place)
