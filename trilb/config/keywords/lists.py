"""Keywords of `userlist` and `peers` sections (sections 12.2 and 11.2)."""

from __future__ import annotations

from trilb.base.address import parse as parse_address
from trilb.base.diagnostic import Refused
from trilb.config import known
from trilb.config.expressions import NotServed
from trilb.config.keywords.registry import Context, keyword
from trilb.config.keywords.traffic import read_bind
from trilb.config.lexer import Line, expand_address
from trilb.config.model import Peer, PeersSection, User, UserList


@keyword("userlist", "user")
def user(line: Line, section: UserList, context: Context) -> None:
    """`user NAME [password|insecure-password TEXT] [groups A,B]`."""
    if len(line.words) < 2:
        raise Refused("'user' expects a name")
    name = line.words[1]
    if name in section.users:
        context.report.warn(line.at(1), f"user '{name}' is already defined in userlist '{section.name}'; ignored")
        return
    made = User(name, "", True)
    i = 2
    while i < len(line.words):
        option = line.words[i]
        if i + 1 >= len(line.words):
            raise Refused(f"'{option}' expects an argument", column=line.columns[i])
        value = line.words[i + 1]
        if option == "password":
            made.password, made.plain = value, False
        elif option == "insecure-password":
            made.password, made.plain = value, True
        elif option == "groups":
            made.groups = frozenset(value.split(","))
        else:
            raise Refused(
                f"'user' knows password, insecure-password and groups, not '{option}'", column=line.columns[i]
            )
        i += 2
    section.users[name] = made


@keyword("userlist", "group")
def group(line: Line, section: UserList, context: Context) -> None:
    """`group NAME [users A,B]`."""
    if len(line.words) not in (2, 4) or (len(line.words) == 4 and line.words[2] != "users"):
        raise Refused("usage: group <name> [users <user>,<user>,...]")
    name = line.words[1]
    if name in section.groups:
        context.report.warn(line.at(1), f"group '{name}' is already defined in userlist '{section.name}'; ignored")
        return
    section.groups[name] = frozenset(line.words[3].split(",")) if len(line.words) == 4 else frozenset()


@keyword("peers", "peer", "server")
def peer(line: Line, section: PeersSection, context: Context) -> None:
    """`peer NAME ADDRESS:PORT`, `server NAME [ADDRESS:PORT] [options]`."""
    if len(line.words) < 2 or (line.words[0] == "peer" and len(line.words) < 3):
        raise Refused(f"'{line.words[0]}' expects <name> and <addr>:<port> as arguments")
    name = line.words[1]
    if any(other.name == name for other in section.peers):
        raise Refused(f"peer '{name}' is already defined in peers section '{section.name}'")
    address = None
    if len(line.words) > 2:
        address = parse_address(expand_address(line.words[2], context.env), port_required=True)[0]
    section.peers.append(Peer(name, address, line.place))


@keyword("peers", "bind", "default-bind")
def bind(line: Line, section: PeersSection, context: Context) -> None:
    """`bind ADDRESS:PORT [options]`: where this peer listens."""
    if line.words[0] == "bind":
        section.binds.append(read_bind(line, context))


@keyword("peers", "table")
def table(line: Line, section: PeersSection, context: Context) -> None:
    """`table NAME type ... size ...`."""
    if len(line.words) < 2:
        raise Refused("'table' expects a name")
    section.tables.add(line.words[1])
    context.config.tables[f"{section.name}/{line.words[1]}"] = line.place


@keyword("peers", "default-server", "log", "shards", "disabled", "enabled")
def understood(line: Line, section: PeersSection, context: Context) -> None:
    """The rest of a peers section; the whole section starts to serve with the stick tables."""
    if line.words[0] == "default-server":
        for word in line.words[1:]:
            if word not in known.SERVER_OPTIONS and not word.isdigit():
                break
    if line.words[0] == "shards" and (len(line.words) != 2 or not line.words[1].isdigit()):
        raise Refused("'shards' expects a number")


__all__ = ["NotServed"]
