"""Keywords of `userlist` sections (section 12.2)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.config.keywords.registry import Context, keyword
from trilb.config.lexer import Line
from trilb.config.sections import User, UserList


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
