"""`stats socket|timeout|maxconn` of the `global` section: the runtime socket (configuration.txt, section 3.1)."""

from __future__ import annotations

from trilb.base.address import parse as parse_address
from trilb.base.diagnostic import NOWHERE, Refused
from trilb.base.units import seconds, whole
from trilb.config.expressions import NotServed
from trilb.config.keywords.registry import Context, keyword
from trilb.config.lexer import Line, expand_address
from trilb.config.settings import Global, Socket

_WITHOUT_EFFECT = ("maxconn", "process", "thread", "nice", "name", "shards", "id")
_UNSERVED = ("ssl", "crt", "crt-list", "ca-file", "verify", "accept-proxy")


@keyword("global", "stats")
def stats(line: Line, section: Global, context: Context) -> None:
    """`stats socket|timeout|maxconn`: the runtime socket (section 3.1)."""
    words = line.words
    what = words[1] if len(words) > 1 else ""
    if what == "socket" and len(words) > 2:
        made, idle = read_socket(line.shifted(2), expand_address(words[2], context.env))
        section.stats_sockets.extend(made)
        for at in idle:
            context.config.without_effect.setdefault(f"stats socket {words[at + 2]}", line.at(at + 2))
    elif what == "timeout" and len(words) == 3:
        section.stats_timeout = seconds(words[2])
    elif what == "maxconn" and len(words) == 3:
        section.stats_maxconn = whole(words[2], 1, 65535, "'stats maxconn'")
    elif what == "bind-process":
        context.config.without_effect.setdefault("stats bind-process", line.place)
    else:
        raise Refused("'stats' supports 'socket <address> ...', 'timeout <time>' and 'maxconn <number>'")


def read_socket(line: Line, address: str) -> tuple[list[Socket], list[int]]:
    """Read an address and the options behind it; also which of the words mean nothing here. Raises Refused."""
    addresses = parse_address(address, port_required=not address.startswith(("/", "unix@", "abns@", "abnsz@", "fd@")))
    options: dict[str, object] = {}
    idle: list[int] = []
    i, words = 1, line.words
    while i < len(words):
        option = words[i]
        value = words[i + 1] if i + 1 < len(words) else ""
        known = _option(option, value)
        if known is not None:
            options[known[0]] = known[1]
        elif option in _WITHOUT_EFFECT:
            idle.append(i)
        elif option in _UNSERVED:
            raise NotServed(f"stats socket {option}", column=line.columns[i])
        else:
            raise Refused(f"unknown option '{option}' of 'stats socket'", column=line.columns[i])
        i += 2
    return [Socket(each, line.place, **options) for each in addresses], idle  # type: ignore[arg-type]


def _option(option: str, value: str) -> tuple[str, object] | None:
    """The field of Socket that an option sets, and its value; None for an option that sets none. Raises Refused."""
    if option == "expose-fd":
        if value != "listeners":
            raise Refused("'expose-fd' expects 'listeners'")
        return "expose_fd", True
    if option == "level":
        if value not in ("user", "operator", "admin"):
            raise Refused(f"'level' expects user, operator or admin, not '{value}'")
        return "level", value
    if option == "severity-output":
        if value not in ("none", "number", "string"):
            raise Refused(f"'severity-output' expects none, number or string, not '{value}'")
        return "severity_output", value
    if option == "mode":
        return "mode", octal(value)
    if option in ("uid", "gid"):
        return option, whole(value, 0, 0xFFFFFFFE, f"'{option}'")
    if option in ("user", "group"):
        return ("uid" if option == "user" else "gid"), lookup_id(option, value)
    if option == "backlog":
        return "backlog", whole(value, 1, 0x7FFFFFFF, "'backlog'")
    return None


def master_socket(text: str) -> Socket:
    """Read what follows `-S`: an address, and the options of a socket separated by commas. Raises Refused."""
    words = tuple(text.split(","))
    made, _ = read_socket(Line(NOWHERE, words, (1,) * len(words)), words[0])
    if len(made) != 1:
        raise Refused("-S expects one address")
    if ",level," not in f"{text},":
        made[0].level = "admin"
    return made[0]


def octal(text: str) -> int:
    """Read the permissions of a socket. Raises Refused."""
    try:
        return int(text, 8)
    except ValueError:
        raise Refused(f"'mode' expects octal permissions such as 660, not '{text}'") from None


def lookup_id(kind: str, name: str) -> int:
    """The number of a user or group. Raises Refused."""
    import grp
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        raise Refused(f"'{name}' is not a {kind} of this system") from None
