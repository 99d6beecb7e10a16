"""Commands on files of authorities and of revocation lists: ssl ca-file, ssl crl-file (management.txt, 9.3).

Both are replaced as certificates are: `set` and `add` collect, `commit` puts in force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trilb.admin import certificate_texts as texts
from trilb.admin.cmd_certificates import OTHER, split_star
from trilb.admin.commands import Answer, View, command
from trilb.base.diagnostic import Refused
from trilb.base.units import saturated
from trilb.tls import certificates
from trilb.tls.pending import Change
from trilb.tls.store import SYSTEM, Store


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs between the two kinds of files."""

    word: str
    short: str
    contents: str
    files: Callable[[Store], dict[str, Any]]
    change: str
    """The attribute of the store that holds the change that is not in force yet."""
    read: Callable[[str, bytes], list[Any]]
    replace: Callable[[Store, str, list[Any]], int]
    show: Callable[[str, str, list[Any], int | None], Answer]
    empty: str
    """What is said of a file that has nothing in it yet."""

    def changing(self, store: Store) -> Change[list[Any]] | None:
        found: Change[list[Any]] | None = getattr(store, self.change)
        return found


_CA = _Kind(
    "ca-file",
    "CA",
    "CAs",
    lambda store: store.authorities,
    "changed_authorities",
    certificates.authorities,
    Store.replace_authorities,
    texts.authority_file,
    "",
)
_CRL = _Kind(
    "crl-file",
    "CRL",
    "CRLs",
    lambda store: store.revocations,
    "changed_revocations",
    certificates.revocations,
    Store.replace_revocations,
    texts.revocation_file,
    "Filename: {}\nStatus: Empty\n",
)


def _show(kind: _Kind, view: View, words: list[str], payload: str) -> Answer:
    store, change = view.tls, kind.changing(view.tls)
    files = _known(kind, store)
    if not words:
        said = f"# transaction\n*{_listed(kind, change.path, change.found)}" if change is not None else ""
        return said + "# filename\n" + "".join(_listed(kind, name, files[name]) for name in sorted(files))
    name, starred = split_star(words[0])
    number = None
    if name not in files and ":" in name:
        name, _, digits = name.rpartition(":")
        if not digits.isdecimal() or saturated(digits) < 1:
            return f"wrong {kind.short} index after colons in '{words[0]}'!\n"
        number = saturated(digits)
    if starred:
        if change is not None and change.path == name:
            return kind.show(f"*{name}", "Unused", change.found, number)
    elif name in files:
        if not files[name]:
            return kind.empty.format(name)
        return kind.show(name, "Used" if store.uses_authority(name) else "Unused", files[name], number)
    return f"Can't display the {kind.short} file : Not found!\n"


def _known(kind: _Kind, store: Store) -> dict[str, list[Any]]:
    """The files, with the system's own, which is always there."""
    files = kind.files(store)
    return {SYSTEM: certificates.system(), **files} if kind is _CA else files


def _listed(kind: _Kind, name: str, found: list[Any]) -> str:
    return f"{name} - {len(found)} certificate(s)\n" if kind is _CA else f"{name}\n"


def _new(kind: _Kind, view: View, words: list[str], payload: str) -> str:
    if not words:
        return f"'new ssl {kind.word}' expects a filename\n"
    if words[0] in view.tls.authorities or words[0] in view.tls.revocations or words[0] == SYSTEM:
        return f"{kind.short} file '{words[0]}' already exists!\n"
    kind.files(view.tls)[words[0]] = []
    return f"New {kind.short} file created '{words[0]}'!\n"


def _set(kind: _Kind, view: View, words: list[str], payload: str, *, more: bool = False) -> str:
    if not words or not payload:
        return f"'set ssl {kind.word} expects a filename and {kind.contents} as a payload\n"
    store, name, change = view.tls, words[0], kind.changing(view.tls)
    failed = f"Can't update {name}!\n"
    if change is not None and change.path != name:
        return OTHER.format(change.path, "set", name) + failed
    files = _known(kind, store)
    if name not in files:
        return f"Can't replace a {kind.short} file which is not referenced by the configuration!\n{failed}"
    try:
        found = kind.read(name, payload.encode("latin-1", "replace"))
    except Refused:
        return f"Invalid payload\n{failed}"
    if more:
        found = list(dict.fromkeys((*(change.found if change is not None else files[name]), *found)))
    setattr(store, kind.change, Change(name, found))
    return f"transaction {'created' if change is None else 'updated'} for {kind.short} {name}!\n"


def _add(kind: _Kind, view: View, words: list[str], payload: str) -> str:
    return _set(kind, view, words, payload, more=True)


def _commit(kind: _Kind, view: View, words: list[str], payload: str) -> str:
    if not words:
        return "'commit ssl ca-file expects a filename\n"
    change = kind.changing(view.tls)
    failed = f"Can't commit {words[0]}!\n"
    if change is None:
        return f"No ongoing transaction! !\n{failed}"
    if change.path != words[0]:
        return OTHER.format(change.path, "set", words[0]) + failed
    try:
        uses = kind.replace(view.tls, change.path, change.found)
    except Refused as refused:
        return f"{refused.text}\n{failed}"
    setattr(view.tls, kind.change, None)
    return f"Committing {change.path}{'.' * uses}\nSuccess!\n"


def _abort(kind: _Kind, view: View, words: list[str], payload: str) -> str:
    if not words:
        return f"'abort ssl {kind.word}' expects a filename\n"
    change = kind.changing(view.tls)
    if change is None:
        return "No ongoing transaction!\n"
    if change.path != words[0]:
        return OTHER.format(change.path, "abort a transaction for", words[0])
    setattr(view.tls, kind.change, None)
    return f"Transaction aborted for certificate '{words[0]}'!\n"


def _del(kind: _Kind, view: View, words: list[str], payload: str) -> str:
    if not words:
        return f"'del ssl {kind.word}' expects a {kind.short} file name\n"
    store, name, change = view.tls, words[0], kind.changing(view.tls)
    if change is not None and change.path == name:
        return f"Can't remove the {kind.short} file: ongoing transaction for the {kind.short} file '{name}'\n"
    if name not in kind.files(store):
        return f"Can't remove the {kind.short} file: {kind.short} file '{name}' doesn't exist!\n\n"
    if store.uses_authority(name):
        return f"Can't remove the {kind.short} file: {kind.short} file '{name}' in use, can't be deleted!\n\n"
    del kind.files(store)[name]
    return f"{kind.short} file '{name}' deleted!\n"


def _enter(kind: _Kind, verb: str, usage: str, run: Callable[[_Kind, View, list[str], str], Answer]) -> None:
    def factory(view: View, words: list[str], payload: str = "") -> Answer:
        return run(kind, view, words, payload)

    factory.__doc__ = f"{verb} ssl {kind.word} {usage}".replace("FILE", f"<{kind.short.lower()}file>")
    level = "operator" if verb == "show" else "admin"
    command(f"{verb} ssl {kind.word}", source="9.3", level=level, payload=True)(factory)


for _kind in (_CA, _CRL):
    _enter(_kind, "show", "[[*]FILE[:<index>]]: those in memory, or what is in one", _show)
    _enter(_kind, "new", "FILE: a name for a file that is to come", _new)
    _enter(_kind, "set", f"FILE <payload>: the {_kind.contents} that are to replace a file's with commit", _set)
    _enter(_kind, "commit", "FILE: put what was set in force", _commit)
    _enter(_kind, "abort", "FILE: forget what was set", _abort)
    _enter(_kind, "del", "FILE: forget a file that nothing uses", _del)
_enter(_CA, "add", "FILE <payload>: more CAs for what is to replace a file's with commit", _add)
