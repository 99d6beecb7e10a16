"""Commands on pattern lists: show, get, add, set, del, clear, prepare, commit acl and map (management.txt, 9.3).

Both kinds of command do the same to the same lists; they differ in which lists they see and in what they call them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trilb.admin.caller import error
from trilb.admin.commands import Answer, View, command
from trilb.base.diagnostic import Refused
from trilb.base.units import saturated
from trilb.config.patterns import Patterns
from trilb.samples import casts
from trilb.samples.indexes import Entry
from trilb.samples.references import Matching, Reference
from trilb.samples.types import matchers


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    called: str
    columns: bool

    def sees(self, reference: Reference) -> bool:
        """Whether commands of this kind see a list: maps have two columns, ACLs match without a value."""
        if self.columns:
            return bool(reference.name) and reference.columns
        return any(not use.output for use in reference.uses)

    def missing(self) -> str:
        return f"Missing {self.called} identifier.\n"

    def unknown(self) -> str:
        return f"Unknown {self.called} identifier. Please use #<id> or <file>.\n"


_MAP, _ACL = _Kind("map", "map", True), _Kind("acl", "ACL", False)


_AT_ONCE = 100
"""Entries that are shown in one piece."""


class _Answer(Exception):
    """What a command says instead of doing anything."""


def _find(view: View, kind: _Kind, text: str) -> Reference:
    store = view.patterns
    found = store.by_name.get(text)
    if text.startswith("#"):
        found = store.by_number.get(saturated(text[1:])) if text[1:].isdecimal() else None
    if found is None or not kind.sees(found):
        raise _Answer(kind.unknown())
    return found


def _version(words: list[str]) -> int | None:
    """Take `@VERSION` off the front of the words."""
    if not words or not words[0].startswith("@"):
        return None
    text = words.pop(0)[1:]
    return saturated(text) if text.isdecimal() else 0


def _entries(reference: Reference, text: str) -> list[Entry]:
    """The entries that `#POINTER` or a key names."""
    if text.startswith("#"):
        try:
            entry = reference.by_ident(int(text[1:], 16))
        except ValueError:
            entry = None
        return [entry] if entry is not None else []
    return reference.find(text.encode("latin-1", "replace"))


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def _enter(kind: _Kind, verb: str, usage: str, run: Callable[[View, _Kind, list[str], str], Answer]) -> None:
    def factory(view: View, words: list[str], payload: str = "") -> Answer:
        try:
            return run(view, kind, list(words), payload)
        except _Answer as answer:
            return error(str(answer))
        except Refused as refused:
            return error(f"{refused.text}.\n")

    factory.__doc__ = f"{verb} {kind.name} {usage.replace('LIST', f'<{kind.name}>')}"
    command(f"{verb} {kind.name}", source="9.3", level="user", payload=True)(factory)


# -- showing ------------------------------------------------------------------------------------------------------


def _show(view: View, kind: _Kind, words: list[str], payload: str) -> str | Iterator[str]:
    version = _version(words)
    if not words:
        if version is not None:
            raise _Answer(kind.unknown())
        lists = [reference for reference in view.patterns.listed() if kind.sees(reference)]
        return "# id (file) description\n" + "".join(_describe(reference) for reference in lists)
    reference = _find(view, kind, words[0])
    return _dump(list(reference.entries(version)), reference.columns)


def _dump(entries: list[Entry], columns: bool) -> Iterator[str]:
    """The entries there were when it was asked for, some at a time: others get a turn meanwhile."""
    for at in range(0, len(entries), _AT_ONCE):
        yield "".join(
            f"{entry.ident:#x} {_text(entry.key)}{f' {_text(entry.value)}' if columns else ''}\n"
            for entry in entries[at : at + _AT_ONCE]
        )


def _describe(reference: Reference) -> str:
    if reference.name:
        users = ", ".join(_user(use) for use in reference.uses)
        what = f"pattern loaded from file '{reference.name}' used {users}"
    else:
        (use,) = reference.uses
        what = f"acl '{use.criterion}' file '{use.place.file}' line {use.place.line}"
    return (
        f"{reference.number} ({reference.name}) {what}. curr_ver={reference.current} next_ver={reference.newest}"
        f" entry_cnt={reference.entry_count()}\n"
    )


def _user(use: Patterns) -> str:
    return f"by {'map' if use.columns else 'acl'} at file '{use.place.file}' line {use.place.line}"


def _get(view: View, kind: _Kind, words: list[str], payload: str) -> str:
    if len(words) < 2:
        raise _Answer(f"Missing {kind.called} identifier and/or key.\n")
    reference = _find(view, kind, words[0])
    lines = [_lookup(kind, matching, words[1].encode("latin-1", "replace")) for matching in reference.matchings]
    return "".join(f"{line}\n" for line in lines)


_TYPES = {"int": "sint", "": "str"}


def _lookup(kind: _Kind, matching: Matching, sample: bytes) -> str:
    index = matching.index
    cast = casts.cast("str", str(matchers.entries[matching.method].facts["takes"]))
    value = cast(sample) if cast is not None else sample
    entry = index.find(value) if value is not None else None
    case = "insensitive" if matching.ignore_case else "sensitive"
    name = {"version": "int", "meth": "str"}.get(matching.method, matching.method)
    found = "found" if kind.columns else "match"
    line = f"type={name}, case={case}, {found}={'no' if entry is None else 'yes'}"
    if entry is None:
        return line
    line += f", idx={'tree' if index.tree else 'list'}"
    if not kind.columns:
        return f'{line}, pattern="{_text(entry.key)}"'
    if matching.output == "ip":
        type_name = "ipv4" if len(entry.address or b"") == 4 else "ipv6"
    else:
        type_name = _TYPES[matching.output]
    return f'{line}, key="{_text(entry.key)}", value="{_text(entry.value)}", type="{type_name}"'


# -- changing -----------------------------------------------------------------------------------------------------

_ADD_MAP = (
    "'add map' expects three parameters (map identifier, key and value) or one parameter (map identifier) and a"
    " payload\n"
)
_PAYLOAD_LINE = re.compile(rb"[ \t]*([^ \t]+)[ \t]*(.*)", re.DOTALL)
"""A key and its value, which keeps the blanks at its end."""
_ADD_ACL = "'add acl' expects two parameters: ACL identifier and pattern.\n"


def _add(view: View, kind: _Kind, words: list[str], payload: str) -> str:
    version = _version(words)
    if kind.columns:
        if not words or not (payload or len(words) >= 3):
            raise _Answer(_ADD_MAP)
    elif len(words) < 2 or payload:
        raise _Answer(_ADD_ACL)
    reference = _find(view, kind, words[0])
    if not kind.columns and reference.columns:
        raise _Answer(
            "This ACL is shared with a map containing samples. You must use the command 'add map' to add values.\n"
        )
    if version is not None and version != reference.current and not reference.is_prepared(version):
        raise _Answer(f"Version number in the future, please use 'prepare {kind.name}' before.\n")
    if not payload:
        value = words[2] if kind.columns else ""
        reference.add(words[1].encode("latin-1", "replace"), value.encode("latin-1", "replace"), version)
        return ""
    for line in payload.split("\n"):
        match = _PAYLOAD_LINE.match(line.encode("latin-1", "replace"))
        if match is None:
            continue
        if not match[2]:
            raise _Answer(f"Missing value for key '{_text(match[1])}'.\n")
        reference.add(match[1], match[2], version)
    return ""


def _set(view: View, kind: _Kind, words: list[str], payload: str) -> str:
    if len(words) < 3:
        raise _Answer("'set map' expects three parameters: map identifier, key and value.\n")
    reference = _find(view, kind, words[0])
    entries = _entries(reference, words[1])
    if not entries:
        raise _Answer("key or pattern not found.\n" if words[1].startswith("#") else "entry not found.\n")
    reference.set(entries, words[2].encode("latin-1", "replace"))
    return ""


def _del(view: View, kind: _Kind, words: list[str], payload: str) -> str:
    if not words:
        raise _Answer(f"This command expects two parameters: {kind.called} identifier and key.\n")
    reference = _find(view, kind, words[0])
    if len(words) < 2:
        raise _Answer(f"This command expects two parameters: {kind.called} identifier and key.\n")
    entries = _entries(reference, words[1])
    if not entries:
        raise _Answer("Key not found.\n")
    reference.remove(entries)
    return ""


def _clear(view: View, kind: _Kind, words: list[str], payload: str) -> str:
    version = _version(words)
    if not words:
        raise _Answer(kind.missing())
    _find(view, kind, words[0]).clear(version)
    return ""


def _prepare(view: View, kind: _Kind, words: list[str], payload: str) -> str:
    reference = _find(view, kind, words[0] if words else "")
    return f"New version created: {reference.prepare()}\n"


def _commit(view: View, kind: _Kind, words: list[str], payload: str) -> str:
    version = _version(words)
    if version is None:
        raise _Answer("Missing version number.\n")
    if not words:
        raise _Answer(kind.missing())
    reference = _find(view, kind, words[0])
    if not reference.is_prepared(version):
        raise _Answer("Version number out of range.\n")
    reference.commit(version)
    return ""


for _kind in (_MAP, _ACL):
    _enter(_kind, "show", "[[@<ver>] LIST]: list them, or the entries of one", _show)
    _enter(_kind, "get", "LIST <value>: what a value would match", _get)
    _enter(_kind, "add", "[@<ver>] LIST <key>" + (" <value>" if _kind.columns else "") + ": append an entry", _add)
    _enter(_kind, "del", "LIST <key>|#<ref>: take entries out", _del)
    _enter(_kind, "clear", "[@<ver>] LIST: take all entries out", _clear)
    _enter(_kind, "prepare", "LIST: begin a new version", _prepare)
    _enter(_kind, "commit", "@<ver> LIST: match against a prepared version from now on", _commit)
_enter(_MAP, "set", "LIST <key>|#<ref> <value>: give entries another value", _set)
