"""Commands that report what was counted, and those that clear it (management.txt, section 9.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trilb.admin import formats, info, stats_file, views
from trilb.admin.commands import Answer, View, command
from trilb.admin.figures import Moment
from trilb.admin.views import Selection
from trilb.live.counters import Counters

_NUMBER = re.compile(r"-?\d{1,9}\Z")


@command("show info", source="9.3", level="user")
def show_info(view: View, words: list[str]) -> str:
    """show info [desc|json|typed|float]* : report information about the running process"""
    if "json" in words:
        return info.as_json(view, floats="float" in words)
    write = info.typed if "typed" in words else info.plain
    return write(view, described="desc" in words, floats="float" in words)


@command("show stat", source="9.3", level="user", allowed=True)
def show_stat(view: View, words: list[str], level: str) -> Answer:
    """show stat [desc|json|no-maint|typed|up]* : report counters for each proxy and server"""
    if words[:1] == ["domain"]:
        if words[1:2] == ["resolvers"]:
            return "".join(_resolvers(view))
        if words[1:2] != ["proxy"]:
            return "Invalid statistics domain.\n"
        words = words[2:]
    proxy, types, number = -1, -1, -1
    if len(words) >= 3:
        found = _proxy(view, words[0])
        if found is None:
            return "No such proxy.\n"
        proxy, types, number = found, _number(words[1]), _number(words[2])
        words = words[3:]
    which = Selection(proxy, types, number, up="up" in words, no_maint="no-maint" in words)
    found_rows = views.rows(view, Moment(view.process, legends=level != "user"), which)
    if "json" in words:
        return formats.as_json(found_rows)
    if "typed" in words:
        return formats.typed(found_rows, described="desc" in words)
    return views.csv(found_rows)


_RESOLVERS = (
    "sent snd_error valid update cname cname_error any_err nx timeout refused other invalid too_big truncated outdated"
).split()


def _resolvers(view: View) -> Iterator[str]:
    """A row for each nameserver, in CSV."""
    yield f"# id,pid,{','.join(_RESOLVERS).replace('snd_error', 'send_error')},\n"
    for section in view.resolvers.values():
        for nameserver in section.nameservers:
            counted = ",".join(str(nameserver.counters.get(name, 0)) for name in _RESOLVERS)
            yield f"{nameserver.name},{section.name},{counted},\n"


def _number(word: str) -> int:
    """What is no number is 0, and selects nothing."""
    return int(word) if _NUMBER.match(word) else 0


def _proxy(view: View, word: str) -> int | None:
    """A proxy's id from an id or a name; an id that nobody has selects nothing."""
    if _NUMBER.match(word):
        return int(word)
    known = view.frontends.get(word) or view.backends.get(word)
    return known.config.id if known is not None else None


@command("show schema json", source="9.3", level="user")
def show_schema(view: View, words: list[str]) -> str:
    """show schema json: report schema used for stats"""
    return formats.schema()


@command("dump stats-file", source="9.3", level="user")
def dump_stats_file(view: View, words: list[str]) -> Answer:
    """dump stats-file : dump counters as a file that `stats-file` reads"""
    return stats_file.dump(view)


@command("clear counters", source="9.3", level="operator", allowed=True)
def clear_counters(view: View, words: list[str], level: str) -> str:
    """clear counters [all|server <bk>/<srv> [force]]: clear max statistics counters, all counters, or all of one
    server's
    """
    if not words:
        for counters in _all(view):
            counters.clear_highest()
        process = view.process
        for rate in (process.conn_rate, process.req_rate, process.tls_rate, process.tls_key_rate):
            rate.highest = 0
        return ""
    if words[0] not in ("all", "server"):
        return "'clear counters' only supports 'all' and 'server <backend>/<server>'.\n"
    if level != "admin":
        return "Permission denied\n"
    if words[0] == "all":
        for counters in _all(view):
            counters.clear()
        return ""
    backend_name, _, name = (words[1] if len(words) > 1 else "").partition("/")
    if not name:
        return "'clear counters server' expects <backend>/<server>.\n"
    backend = view.backends.get(backend_name)
    if backend is None:
        return "No such backend.\n"
    server = backend.by_name.get(name)
    if server is None:
        return "No such server.\n"
    server.counters.clear()
    return "Server counters cleared.\n"


def _all(view: View) -> Iterator[Counters]:
    for frontend in view.frontends.values():
        yield frontend.counters
        for listener in frontend.listeners:
            yield listener.counters
    for backend in view.backends.values():
        yield backend.counters
        for server in backend.servers:
            yield server.counters
