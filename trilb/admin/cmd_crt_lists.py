"""Commands on lists of certificates and on what they are chosen by: ssl crt-list, ssl sni (management.txt, 9.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from trilb.admin import certificate_texts as texts
from trilb.admin.commands import View, command
from trilb.base.diagnostic import Refused
from trilb.base.units import saturated
from trilb.tls.lists import CrtList, Listed, read_line
from trilb.tls.selector import Use
from trilb.tls.store import Binding, Store


@command("show ssl crt-list", source="9.3", level="admin")
def show_list(view: View, words: list[str]) -> str:
    """show ssl crt-list [-n] [<list>]: lists and directories of certificates, or the lines of one (-n: with numbers)"""
    numbered = words[:1] == ["-n"]
    if numbered:
        words = words[1:]
        if not words:
            return "'show ssl crt-list -n' expects a filename or a directory\n"
    if not words:
        return "".join(f"{name}\n" for name in sorted(view.tls.lists))
    found = view.tls.find_list(words[0])
    if found is None:
        return "didn't find the specified filename\n"
    lines = [f"{line.text(numbered=numbered)}\n" for line in found.lines]
    return f"# {found.name}\n" + "".join(lines)


@command("add ssl crt-list", source="9.3", level="admin", payload=True)
def add_list(view: View, words: list[str], payload: str) -> str:
    """add ssl crt-list <list> <certfile>|<payload>: a line for a list, with options and filters in a payload"""
    if not words or (len(words) < 2 and not payload):
        return "'add ssl crtlist' expects a filename and a certificate name\n"
    store = view.tls
    try:
        listed = store.find_list(words[0])
        if listed is None:
            raise Refused(f"crt-list '{words[0]}' does not exist!")
        line = _read(store, listed, payload or words[1])
        uses = store.extend(listed, line)
    except Refused as refused:
        return f"Can't edit the crt-list: {refused.text}\n"
    return f"Inserting certificate '{line.path}' in crt-list '{listed.name}'{'.' * uses}\nSuccess!\n"


def _read(store: Store, listed: CrtList, text: str) -> Listed:
    text = text.strip()
    if "\n" in text:
        raise Refused("only one line of payload is supported!")
    try:
        line = read_line(text, listed.length + 1, store.settings.crt_base)
    except Refused as refused:
        raise Refused(f"parsing [CLI:1]: {refused.text}") from None
    if listed.directory:
        if not line.path.startswith(f"{listed.name}/"):
            raise Refused(
                f"'{listed.name}' is a directory, certificate path '{line.path}' must contain the directory path"
            )
        if any(each.path == line.path for each in listed.lines):
            raise Refused("file already exists in this directory!")
    if line.path not in store.certificates:
        raise Refused(f"certificate '{line.path}' does not exist!")
    if store.certificates[line.path] is None:
        raise Refused(f"certificate '{line.path}' is empty!")
    return line


@command("del ssl crt-list", source="9.3", level="admin")
def del_list(view: View, words: list[str]) -> str:
    """del ssl crt-list <list> <certfile>[:<line>]: take a line out of a list"""
    if len(words) < 2:
        return "'del ssl crtlist' expects a filename and a certificate name\n"
    store = view.tls
    try:
        listed = store.find_list(words[0])
        if listed is None:
            raise Refused(f"crt-list '{words[0]}' does not exist!")
        line = _choose(store, listed, words[1])
        if defaults := store.defaults(listed, line):
            places = "".join(f"\t- {binding.place}\n" for binding in defaults)
            raise Refused(
                f"certificate '{line.path}' cannot be deleted, it is used as default certificate by the following"
                f" frontends:\n{places}"
            )
        store.shorten(listed, line)
    except Refused as refused:
        return f"Can't delete the entry: {refused.text}\n"
    return f"Entry '{line.path}' deleted in crtlist '{listed.name}'!\n"


def _choose(store: Store, listed: CrtList, given: str) -> Listed:
    """The line that `FILE[:LINE]` means. Raises Refused."""
    path, number = given, None
    if path not in store.certificates and ":" in path:
        path, _, digits = path.rpartition(":")
        if not digits.isdecimal():
            raise Refused(f"wrong line number after colons in '{given}'!")
        number = saturated(digits)
    if path not in store.certificates:
        raise Refused(f"certificate '{path}' does not exist!")
    if store.certificates[path] is None:
        raise Refused(f"certificate '{path}' is empty!")
    found = [line for line in listed.lines if line.path == path]
    if not found:
        raise Refused(f"certificate '{path}' can't be found in the crt-list!")
    numbers = ", ".join(str(line.number) for line in found)
    if number is None:
        if len(found) > 1:
            raise Refused(
                f"found the certificate '{path}' in several entries, please specify a line number preceded by colons"
                f" ({numbers})!"
            )
        return found[0]
    for line in found:
        if line.number == number:
            return line
    raise Refused(
        f"found a certificate '{path}' but the line number is incorrect, please specify a correct line number preceded"
        f" by colons ({numbers})!"
    )


# -- names ---------------------------------------------------------------------------------------------------------

_COLUMNS = ("# Frontend/Bind", "SNI", "Negative Filter", "Type", "Filename", "NotAfter", "NotBefore")
_OFFSET = re.compile(r"(\d{1,10})([smhd]?)\Z")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@command("show ssl sni", source="9.3", level="operator")
def show_sni(view: View, words: list[str]) -> str | Iterator[str]:
    """show ssl sni [-f <frontend>] [-A] [-t <offset>]: names with their certificates (-A: expired ones only)"""
    frontend, expired, offset = "", False, 0
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "-A":
            expired = True
        elif word == "-f" and rest:
            frontend = rest.pop(0)
            if frontend not in view.frontends:
                return "Couldn't find the specified frontend!\n"
        elif word == "-t" and rest:
            match = _OFFSET.match(rest.pop(0))
            if match is None:
                return "'-t' expects a number of seconds, or one with a unit: s, m, h or d\n"
            offset = int(match[1]) * _UNITS[match[2]]
        elif word in ("-f", "-t"):
            return f"'{word}' expects an argument\n"
        else:
            return f"Invalid parameters, 'show ssl sni' only supports -f, -A or -t, not '{word}'\n"
    until = datetime.now(UTC) + timedelta(seconds=offset) if expired else None
    return _names(view, frontend, until)


def _names(view: View, frontend: str, until: datetime | None) -> Iterator[str]:
    yield "\t".join(_COLUMNS) + "\n"
    for proxy in view.config.proxies:
        if frontend and proxy.name != frontend:
            continue
        for bind in proxy.binds:
            binding = view.bindings.get(id(bind))
            if binding is not None:
                rows = _rows(binding, until)
                yield "".join(f"{proxy.name}/{binding.place}\t{row}\n" for row in rows)


def _rows(binding: Binding, until: datetime | None) -> Iterator[str]:
    """Wildcards, then names, then what is chosen when nothing else is."""
    found: list[tuple[bool, str, Use]] = []
    for use in binding.selector.uses:
        found += [(not name.startswith("*"), name.lower(), use) for name in use.names()]
    found.sort(key=lambda row: row[:2])
    if not binding.selector.strict:
        found += [(False, "*", use) for use in binding.selector.defaults]
    for _, name, use in found:
        leaf = use.certificate.leaf
        if until is None or leaf.not_valid_after_utc < until:
            refused = " ".join(each for each in use.filters if each[:1] == "!") if name[:1] == "*" else ""
            dates = f"{texts.moment(leaf.not_valid_after_utc)}\t{texts.moment(leaf.not_valid_before_utc)}"
            yield f"{name}\t{refused or '-'}\t{use.certificate.kind}\t{use.certificate.path}\t{dates}"
