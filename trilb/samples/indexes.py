"""Indexes of patterns: entries in, and for a value the entry that matches it, or none (section 7.1).

An index is changed in place while it serves. What a lookup costs, with n entries:
- exact text, methods and bytes: one dictionary lookup;
- prefixes, suffixes: one for each length that occurs; networks: one for each prefix length that occurs;
- `dir`, `dom`: one for each run of whole words of the value that is as long as some pattern;
- single integers: one; integer ranges, substrings and expressions: n tests in the order of the file, as in HAProxy.

Of several matching entries the first in the file's order wins, except where HAProxy keeps a tree: exact text,
prefixes in their own case and networks, where the longest wins.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

from trilb.samples.parsing import Range
from trilb.samples.regex import Regex, any_of


class Entry:
    """One pattern with its value, as it was written. `ident` grows from entry to entry: the order of the file."""

    __slots__ = ("address", "ident", "key", "line", "number", "value")

    def __init__(self, ident: int, key: bytes, value: bytes, line: int = 0) -> None:
        self.ident = ident
        self.key = key
        self.value = value
        self.line = line
        self.number: int | None = None
        self.address: bytes | None = None


Find = Callable[[Any], Entry | None]


class Index(Protocol):
    """What all of them can. `find` may be kept: it stays valid whatever changes."""

    find: Find
    tree: bool
    """Whether HAProxy says that it keeps these in a tree, for `get map`."""

    def add(self, entry: Entry) -> None:
        """Enter one more. Raises Refused when its text is no such pattern; then nothing has changed."""

    def remove(self, entry: Entry) -> None:
        """Take out one that was entered."""

    def take(self, other: Any) -> None:
        """Become what the other index, of the same kind, is."""


K = TypeVar("K", bound=Hashable)


class Keyed(Generic[K]):
    """The first entry of each key, and the ones that wait behind it."""

    __slots__ = ("first", "more")

    def __init__(self) -> None:
        self.first: dict[K, Entry] = {}
        self.more: dict[K, list[Entry]] = {}

    def put(self, key: K, entry: Entry) -> bool:
        """Add an entry; whether its key is new."""
        if key not in self.first:
            self.first[key] = entry
            return True
        self.more.setdefault(key, []).append(entry)
        return False

    def drop(self, key: K, entry: Entry) -> bool:
        """Take an entry out; whether its key is gone."""
        waiting = self.more.get(key)
        if waiting is None:
            del self.first[key]
            return True
        if self.first[key] is entry:
            self.first[key] = waiting.pop(0)
        else:
            waiting.remove(entry)
        if not waiting:
            del self.more[key]
        return False

    def take(self, other: Keyed[K]) -> None:
        """Become what the other is, in the same dictionary."""
        self.first.clear()
        self.first.update(other.first)
        self.more = other.more


class Nothing:
    """For `found` and `bool`, which look at no pattern."""

    __slots__ = ("find", "tree")

    def __init__(self) -> None:
        self.tree = False
        self.find: Find = lambda value: None

    def add(self, entry: Entry) -> None:
        """Any pattern is accepted and ignored."""

    def remove(self, entry: Entry) -> None:
        """Nothing is kept."""

    def take(self, other: Nothing) -> None:
        """Nothing is kept."""


class Exact:
    """Whole texts; `key_of` makes the key of a pattern."""

    __slots__ = ("_key_of", "_keys", "find", "tree")

    def __init__(self, key_of: Callable[[bytes], bytes], fold: bool) -> None:
        self._key_of = key_of
        self._keys: Keyed[bytes] = Keyed()
        self.tree = not fold
        get = self._keys.first.get
        self.find: Find = (lambda value: get(value.lower())) if fold else get

    def add(self, entry: Entry) -> None:
        """Enter a text."""
        self._keys.put(self._key_of(entry.key), entry)

    def remove(self, entry: Entry) -> None:
        """Take out a text."""
        self._keys.drop(self._key_of(entry.key), entry)

    def take(self, other: Exact) -> None:
        """Become what the other is."""
        self._keys.take(other._keys)


class Ends:
    """Prefixes, or suffixes with `suffix`."""

    __slots__ = ("_count", "_fold", "_keys", "_lengths", "_suffix", "find", "tree")

    def __init__(self, suffix: bool, fold: bool) -> None:
        self._suffix = suffix
        self._fold = fold
        self._keys: Keyed[bytes] = Keyed()
        self._count: dict[int, int] = {}
        self._lengths: tuple[int, ...] = ()
        self.tree = not suffix and not fold
        self.find: Find = self._longest if self.tree else self._earliest

    def _longest(self, value: bytes) -> Entry | None:
        first = self._keys.first
        for length in self._lengths:
            entry = first.get(value[:length])
            if entry is not None and length <= len(value):
                return entry
        return None

    def _earliest(self, value: bytes) -> Entry | None:
        first = self._keys.first
        if self._fold:
            value = value.lower()
        found: Entry | None = None
        size = len(value)
        for length in self._lengths:
            if length <= size:
                entry = first.get(value[size - length :] if self._suffix else value[:length])
                if entry is not None and (found is None or entry.ident < found.ident):
                    found = entry
        return found

    def add(self, entry: Entry) -> None:
        """Enter a text."""
        key = entry.key.lower() if self._fold else entry.key
        if self._keys.put(key, entry):
            known = self._count.get(len(key), 0)
            self._count[len(key)] = known + 1
            if not known:
                self._lengths = tuple(sorted(self._count, reverse=True))

    def remove(self, entry: Entry) -> None:
        """Take out a text."""
        key = entry.key.lower() if self._fold else entry.key
        if self._keys.drop(key, entry):
            self._count[len(key)] -= 1
            if not self._count[len(key)]:
                del self._count[len(key)]
                self._lengths = tuple(sorted(self._count, reverse=True))

    def take(self, other: Ends) -> None:
        """Become what the other is."""
        self._keys, self._count, self._lengths = other._keys, other._count, other._lengths


class Words:
    """Runs of whole words between delimiters; delimiters at the ends of a pattern do not count."""

    __slots__ = ("_count", "_delimiters", "_fold", "_inner", "_keys", "_table", "find", "tree")

    def __init__(self, delimiters: bytes, fold: bool) -> None:
        self._delimiters = delimiters
        self._table = bytes.maketrans(delimiters, delimiters[:1] * len(delimiters))
        self._fold = fold
        self._keys: Keyed[bytes] = Keyed()
        self._count: dict[int, int] = {}
        self._inner: tuple[int, ...] = ()
        self.tree = False
        self.find: Find = self._earliest

    def _earliest(self, value: bytes) -> Entry | None:
        if self._fold:
            value = value.lower()
        words = value.translate(self._table).split(self._delimiters[:1])
        starts = [0]
        at = 0
        for word in words:
            at += len(word) + 1
            starts.append(at)
        first = self._keys.first
        found: Entry | None = None
        for inner in self._inner:
            for begin in range(len(words) - inner):
                entry = first.get(value[starts[begin] : starts[begin + inner + 1] - 1])
                if entry is not None and (found is None or entry.ident < found.ident):
                    found = entry
        return found

    def _key(self, entry: Entry) -> tuple[bytes, int]:
        key = entry.key.strip(self._delimiters)
        inner = key.translate(self._table).count(self._delimiters[:1])
        return key.lower() if self._fold else key, inner

    def add(self, entry: Entry) -> None:
        """Enter a run; one of nothing but delimiters never matches."""
        key, inner = self._key(entry)
        if key and self._keys.put(key, entry):
            self._count[inner] = self._count.get(inner, 0) + 1
            self._inner = tuple(sorted(self._count))

    def remove(self, entry: Entry) -> None:
        """Take out a run."""
        key, inner = self._key(entry)
        if key and self._keys.drop(key, entry):
            self._count[inner] -= 1
            if not self._count[inner]:
                del self._count[inner]
            self._inner = tuple(sorted(self._count))

    def take(self, other: Words) -> None:
        """Become what the other is."""
        self._keys, self._count, self._inner = other._keys, other._count, other._inner


class Substrings:
    """Texts to be found anywhere, tried in order."""

    __slots__ = ("_entries", "_fold", "find", "tree")

    def __init__(self, fold: bool) -> None:
        self._fold = fold
        self._entries: dict[int, tuple[bytes, Entry]] = {}
        self.tree = False
        self.find: Find = self._first

    def _first(self, value: bytes) -> Entry | None:
        if self._fold:
            value = value.lower()
        for key, entry in self._entries.values():
            if key in value:
                return entry
        return None

    def add(self, entry: Entry) -> None:
        """Enter a text."""
        self._entries[entry.ident] = (entry.key.lower() if self._fold else entry.key, entry)

    def remove(self, entry: Entry) -> None:
        """Take out a text."""
        del self._entries[entry.ident]

    def take(self, other: Substrings) -> None:
        """Become what the other is."""
        self._entries = other._entries


_MANY, _AT_ONCE = 3, 200
"""From how many expressions on they are first asked together, and how many of them fit one expression."""


class Expressions:
    """Regular expressions, tried in order; most values match none, which one expression of them all can tell."""

    __slots__ = ("_any", "_fold", "_stale", "entries", "find", "tree")

    def __init__(self, fold: bool) -> None:
        self._fold = fold
        self.entries: dict[int, tuple[Regex, Entry]] = {}
        self._any: tuple[Regex, ...] = ()
        self._stale = False
        self.tree = False
        self.find: Find = self._first

    def _combine(self) -> None:
        self._stale = False
        texts = [regex.text for regex, _ in self.entries.values()]
        if len(texts) < _MANY:
            self._any = ()
            return
        made = [any_of(texts[at : at + _AT_ONCE], self._fold) for at in range(0, len(texts), _AT_ONCE)]
        whole = [one for one in made if one is not None]
        self._any = tuple(whole) if len(whole) == len(made) else ()

    def _first(self, value: bytes) -> Entry | None:
        if self._stale:
            self._combine()
        if self._any:
            for together in self._any:
                if together.may_match(value):
                    break
            else:
                return None
        for regex, entry in self.entries.values():
            if regex.search(value):
                return entry
        return None

    def add(self, entry: Entry) -> None:
        """Compile and enter an expression. Raises Refused."""
        self.entries[entry.ident] = (Regex(entry.key.decode("latin-1"), self._fold), entry)
        self._stale = True

    def remove(self, entry: Entry) -> None:
        """Take out an expression."""
        del self.entries[entry.ident]
        self._stale = True

    def take(self, other: Expressions) -> None:
        """Become what the other is."""
        self.entries = other.entries
        self._stale = True


class Numbers:
    """Integers and ranges of them; `parse` reads a pattern, `number_of` makes the number of a value."""

    __slots__ = ("_parse", "_ranges", "_single", "find", "tree")

    def __init__(self, parse: Callable[[bytes], Range], number_of: Callable[[Any], int] | None = None) -> None:
        self._parse = parse
        self._single: Keyed[int] = Keyed()
        self._ranges: dict[int, tuple[int, int, Entry]] = {}
        self.tree = False
        self.find: Find = self._first if number_of is None else lambda value: self._first(number_of(value))

    def _first(self, value: int) -> Entry | None:
        found = self._single.first.get(value)
        for low, high, entry in self._ranges.values():
            if low <= value <= high:
                return entry if found is None or entry.ident < found.ident else found
        return found

    def add(self, entry: Entry) -> None:
        """Enter an integer or a range. Raises Refused."""
        low, high = self._parse(entry.key)
        if low == high:
            self._single.put(low, entry)
        else:
            self._ranges[entry.ident] = (low, high, entry)

    def remove(self, entry: Entry) -> None:
        """Take out an integer or a range."""
        if self._ranges.pop(entry.ident, None) is None:
            self._single.drop(self._parse(entry.key)[0], entry)

    def take(self, other: Numbers) -> None:
        """Become what the other is."""
        self._single, self._ranges = other._single, other._ranges
