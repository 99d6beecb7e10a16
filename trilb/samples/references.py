"""The live lists of patterns behind ACLs and maps, changed while serving by commands and actions (section 2.7).

A list (Reference) keeps its entries in order and in versions; of each version every way of matching it (Matching)
has an index. Lookups go to the index of the current version and to nothing else. A change is made to the list, which
brings its indexes along; committing a version puts the indexes it was prepared with in place of the old ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from trilb.base.diagnostic import Refused
from trilb.config.patterns import Patterns, is_virtual, lines
from trilb.samples import casts
from trilb.samples.indexes import Entry, Index
from trilb.samples.parsing import Lookup, fold_operators
from trilb.samples.types import matchers

_VERSIONS = 1 << 32
_INTEGER = re.compile(rb"[+-]?\d+")


class Matching:
    """One way of looking a list up: a method, with or without case."""

    __slots__ = ("_fresh", "ignore_case", "index", "method", "output", "pending")

    def __init__(self, method: str, ignore_case: bool, output: str, lookup: Lookup) -> None:
        factory = matchers.entries[method].factory
        self._fresh: Callable[[], Index] = lambda: factory(ignore_case, lookup)
        self.method = method
        self.ignore_case = ignore_case
        self.output = output
        self.index = self._fresh()
        self.pending: dict[int, Index] = {}

    def of(self, version: int, current: int) -> Index:
        """The index of a version."""
        if version == current:
            return self.index
        if version not in self.pending:
            self.pending[version] = self._fresh()
        return self.pending[version]

    def empty(self) -> None:
        """Forget all entries of the current version."""
        self.index.take(self._fresh())

    def switch(self, version: int) -> None:
        """Serve a prepared version from now on; all others are gone."""
        self.index.take(self.pending.get(version) or self._fresh())
        self.pending.clear()


class _Content:
    """The entries of one version, in order, and by their text."""

    __slots__ = ("_by_key", "entries")

    def __init__(self, loaded: bool = False) -> None:
        self.entries: dict[int, Entry] = {}
        # What a file brought is put under its texts when somebody first asks: few lists are ever changed.
        self._by_key: dict[bytes, list[Entry]] | None = None if loaded else {}

    def add(self, entry: Entry) -> None:
        self.entries[entry.ident] = entry
        if self._by_key is not None:
            self._by_key.setdefault(entry.key, []).append(entry)

    def remove(self, entry: Entry) -> None:
        del self.entries[entry.ident]
        if self._by_key is not None:
            same = self._by_key[entry.key]
            same.remove(entry)
            if not same:
                del self._by_key[entry.key]

    def of(self, key: bytes) -> list[Entry]:
        """The entries of a text."""
        if self._by_key is None:
            self._by_key = {}
            for entry in self.entries.values():
                self._by_key.setdefault(entry.key, []).append(entry)
        return list(self._by_key.get(key, ()))


_idents = count(1)


class Reference:
    """One list of patterns. `uses` are those who named it."""

    __slots__ = ("columns", "current", "matchings", "name", "newest", "number", "outputs", "uses", "versions")

    def __init__(self, name: str, columns: bool, number: int | None) -> None:
        self.name = name
        self.columns = columns
        self.number = -1 if number is None else number
        self.current = 0
        self.newest = 0
        self.versions: dict[int, _Content] = {0: _Content(loaded=True)}
        self.matchings: list[Matching] = []
        self.outputs: set[str] = set()
        self.uses: list[Patterns] = []

    def attach(self, use: Patterns, lookup: Lookup) -> Matching:
        """A way to match it as `use` says, shared with those who say the same. Raises Refused."""
        self.uses.append(use)
        if use.output not in self.outputs:
            for entry in self.entries():
                self._located(entry, lambda entry: _read_value(entry, entry.value, use.output))
            self.outputs.add(use.output)
        output = use.output if use.output in ("int", "ip") else ""
        for matching in self.matchings:
            if (matching.method, matching.ignore_case) == (use.method, use.ignore_case):
                matching.output = matching.output or output
                return matching
        matching = Matching(use.method, use.ignore_case, output, lookup)
        for entry in self.entries():
            self._located(entry, matching.index.add)
        self.matchings.append(matching)
        return matching

    def _located(self, entry: Entry, step: Callable[[Entry], None]) -> None:
        try:
            step(entry)
        except Refused as refused:
            where = f" at line {entry.line} of file '{self.name}'" if entry.line else ""
            raise Refused(refused.text + where) from None

    def load(self, loaded: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Take the lines of its file; nobody is attached yet."""
        content = self.versions[0]
        for number, key, value in loaded:
            content.add(Entry(next(_idents), key, value, number))

    # -- what commands and actions do ------------------------------------------------------------------------

    def entries(self, version: int | None = None) -> Iterator[Entry]:
        """The entries of a version, by default the one that is matched, in order."""
        content = self.versions.get(self.current if version is None else version)
        return iter(content.entries.values() if content is not None else ())

    def entry_count(self) -> int:
        """Entries of all versions."""
        return sum(len(content.entries) for content in self.versions.values())

    def add(self, key: bytes, value: bytes = b"", version: int | None = None) -> None:
        """Append an entry. Raises Refused, and nothing has changed, when some user cannot read it."""
        version = self.current if version is None else version
        entry = Entry(next(_idents), key, value)
        for output in self.outputs:
            _read_value(entry, value, output)
        done: list[Index] = []
        for matching in self.matchings:
            index = matching.of(version, self.current)
            try:
                index.add(entry)
            except Refused:
                for other in done:
                    other.remove(entry)
                raise
            done.append(index)
        self.versions.setdefault(version, _Content()).add(entry)

    def expect_changes(self) -> None:
        """Make ready, at load, for entries to be asked for by their text."""
        self.find(b"")

    def find(self, key: bytes) -> list[Entry]:
        """The entries of the current version with this text."""
        return self.versions[self.current].of(key)

    def by_ident(self, ident: int) -> Entry | None:
        """The entry of the current version with this identifier."""
        return self.versions[self.current].entries.get(ident)

    def set(self, entries: list[Entry], value: bytes) -> None:
        """Give entries another value. Raises Refused, and nothing has changed, when some user cannot read it."""
        trial = Entry(0, b"", value)
        for output in self.outputs:
            _read_value(trial, value, output)
        for entry in entries:
            entry.value, entry.number, entry.address = value, trial.number, trial.address

    def remove(self, entries: list[Entry]) -> None:
        """Take entries of the current version out."""
        content = self.versions[self.current]
        for entry in entries:
            content.remove(entry)
            for matching in self.matchings:
                matching.index.remove(entry)

    def prepare(self) -> int:
        """The number of a new, empty version."""
        self.newest = (self.newest + 1) % _VERSIONS
        return self.newest

    def is_prepared(self, version: int) -> bool:
        """Whether a version lies between the current one and the newest."""
        return 0 < (version - self.current) % _VERSIONS <= (self.newest - self.current) % _VERSIONS

    def commit(self, version: int) -> None:
        """Match against a prepared version from now on and forget all others."""
        for matching in self.matchings:
            matching.switch(version)
        self.versions = {version: self.versions.get(version) or _Content()}
        self.current = version

    def clear(self, version: int | None = None) -> None:
        """Take out all entries of a version, by default the current one."""
        if version is None or version == self.current:
            for matching in self.matchings:
                matching.empty()
            self.versions[self.current] = _Content()
            return
        self.versions.pop(version, None)
        for matching in self.matchings:
            matching.pending.pop(version, None)


def _read_value(entry: Entry, value: bytes, output: str) -> None:
    """Check a value against what a user makes of it, and keep what was made. Raises Refused."""
    if output == "int":
        if not _INTEGER.fullmatch(value):
            raise Refused(f"unable to parse '{value.decode('latin-1')}'")
        entry.number = casts.clamped(int(value))
    elif output == "ip":
        entry.address = casts.to_address(value) if value.strip(b"0123456789.:abcdefABCDEF") == b"" else None
        if entry.address is None:
            raise Refused(f"unable to parse '{value.decode('latin-1')}'")


@dataclass(slots=True)
class Store:
    """All lists of a configuration. Made while it is checked, it goes on to serve."""

    names: Lookup | None = None
    """Looks host names up, at load only."""
    by_name: dict[str, Reference] = field(default_factory=dict)
    by_number: dict[int, Reference] = field(default_factory=dict)
    users: dict[Patterns, Matching] = field(default_factory=dict)
    _all: list[Reference] = field(default_factory=list)

    def use(self, use: Patterns) -> None:
        """Load the list of a use and attach it; one without method only names a list to change. Raises Refused."""
        if not use.method:
            return
        reference = self._file(use) if use.file else self._inline(use)
        self.users[use] = reference.attach(use, self._lookup if use.resolves else self._unknown)

    def _file(self, use: Patterns) -> Reference:
        found = self.by_name.get(use.file)
        if found is None:
            found = Reference(use.file, use.columns, None)
            found.load(lines(use.file, use.base, use.optional, use.columns))
            self.by_name[use.file] = found
            self._all.append(found)
        elif found.columns is not use.columns and not is_virtual(use.file):
            raise Refused(
                f"the file '{use.file}' is used elsewhere with {'two columns' if found.columns else 'one column'}, as"
                f" {'a map' if found.columns else 'a plain ACL'}; an ACL on a map needs '-M' before '-f'"
            )
        else:
            found.columns |= use.columns
        return found

    def _inline(self, use: Patterns) -> Reference:
        made = Reference("", False, use.number)
        if use.number is not None:
            if use.number in self.by_number:
                raise Refused(f"the id {use.number} of '-u' is already used")
            self.by_number[use.number] = made
        words = use.words
        if use.method in ("int", "len", "version"):
            words = fold_operators(words, use.method == "version")
        if matchers.entries[use.method].facts.get("patterns", True):
            made.load((0, word.encode("latin-1"), b"") for word in words)
        self._all.append(made)
        return made

    def _lookup(self, name: str) -> bytes:
        if self.names is None:
            return self._unknown(name)
        return self.names(name)

    def _unknown(self, name: str) -> bytes:
        raise Refused(f"'{name}' is no address")

    def matching(self, use: Patterns) -> Matching:
        """How a use looks its list up. Raises Refused for one that came while serving and whose list is not there."""
        found = self.users.get(use)
        if found is None:
            reference = self.by_name.get(use.file)
            if reference is None or not reference.columns:
                raise Refused(f"no map is loaded from '{use.file}'")
            found = reference.attach(use, self._unknown)
            reference.uses.pop()
        return found

    def close(self) -> None:
        """No name is looked up any more; lists without a number get the free ones, in their order."""
        self.names = None
        free = (number for number in count() if number not in self.by_number)
        for reference in self._all:
            if reference.number < 0:
                reference.number = next(free)
                self.by_number[reference.number] = reference

    def listed(self) -> list[Reference]:
        """All lists by their numbers."""
        return [self.by_number[number] for number in sorted(self.by_number)]


def load(uses: Iterable[Patterns], names: Lookup) -> tuple[Store, list[tuple[Patterns, Refused]]]:
    """A store of all uses, and what of them was refused."""
    store = Store(names)
    refused: list[tuple[Patterns, Refused]] = []
    for use in uses:
        try:
            store.use(use)
        except Refused as reason:
            refused.append((use, reason))
    store.close()
    return store, refused
