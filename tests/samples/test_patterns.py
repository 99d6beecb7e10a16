"""Indexes answer what trying one pattern after the other would, whatever was added and taken out before."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilb.base.diagnostic import Refused
from trilb.samples import parsing
from trilb.samples.indexes import Entry, Index
from trilb.samples.regex import Regex, any_of
from trilb.samples.types import matchers
from trilb.vocabulary import language

language()

TEXT = st.text("aAb/.?:", max_size=6).map(str.encode)
TEXTS = st.lists(TEXT, max_size=12)


def no_names(name: str) -> bytes:
    """No name is known."""
    raise Refused(f"{name} is looked up")


def make(method: str, fold: bool = False) -> Index:
    """An empty index of a method."""
    return matchers.entries[method].factory(fold, no_names)


def fill(index: Index, texts: list[bytes]) -> list[Entry]:
    """Enter all texts."""
    entries = [Entry(ident, text, b"") for ident, text in enumerate(texts)]
    for entry in entries:
        index.add(entry)
    return entries


def words(text: bytes, delimiters: bytes, pattern: bytes) -> bool:
    """Whether the pattern stands in the text between delimiters, by looking at every place."""
    pattern = pattern.strip(delimiters)
    inside = delimiters[:1] + text + delimiters[:1]
    edge = b"[" + re.escape(delimiters) + b"]"
    return (
        bool(pattern)
        and re.search(b"(?<=" + edge + b")" + re.escape(pattern) + b"(?=" + edge + b")", inside) is not None
    )


Test = Callable[[bytes, bytes], bool]
"""Does this pattern match this value?"""
SCANS: dict[str, Test] = {
    "str": lambda pattern, value: pattern == value,
    "beg": lambda pattern, value: value.startswith(pattern),
    "end": lambda pattern, value: value.endswith(pattern),
    "sub": lambda pattern, value: pattern in value,
    "dir": lambda pattern, value: words(value, b"/?", pattern),
    "dom": lambda pattern, value: words(value, b"/?.:", pattern),
}


def scan(method: str, fold: bool, entries: list[Entry], value: bytes) -> Entry | None:
    """The entry that should be found."""
    lower = bytes.lower if fold else bytes
    found = [entry for entry in entries if SCANS[method](lower(entry.key), lower(value))]
    if method == "beg" and not fold:
        found.sort(key=lambda entry: -len(entry.key))
    return found[0] if found else None


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("method", SCANS)
@given(
    texts=TEXTS,
    values=st.lists(TEXT | st.text("aAb/.?:", max_size=14).map(str.encode)),
    gone=st.sets(st.integers(0, 11)),
)
def test_texts(method: str, fold: bool, texts: list[bytes], values: list[bytes], gone: set[int]) -> None:
    index = make(method, fold)
    find = index.find
    entries = fill(index, texts)
    for value in [*values, *texts]:
        assert find(value) is scan(method, fold, entries, value)
    for entry in entries:
        if entry.ident in gone:
            index.remove(entry)
    left = [entry for entry in entries if entry.ident not in gone]
    for value in [*values, *texts]:
        assert find(value) is scan(method, fold, left, value)
    other = make(method, fold)
    others = fill(other, [text + b"a" for text in texts])
    index.take(other)
    for value in [*values, *texts]:
        assert find(value) is scan(method, fold, others, value)


NUMBER = st.integers(-20, 20)
RANGE = st.one_of(
    NUMBER.map(str),
    st.tuples(NUMBER, NUMBER).map(lambda ends: f"{min(ends)}:{max(ends)}"),
    NUMBER.map(lambda low: f"{low}:"),
    NUMBER.map(lambda high: f":{high}"),
).map(str.encode)


def in_range(text: bytes, value: int) -> bool:
    """Whether a number lies in a written range."""
    low, colon, high = text.decode().partition(":")
    if not colon:
        return int(low) == value
    return (not low or int(low) <= value) and (not high or value <= int(high))


@given(texts=st.lists(RANGE, max_size=8), values=st.lists(NUMBER), gone=st.sets(st.integers(0, 7)))
def test_numbers(texts: list[bytes], values: list[int], gone: set[int]) -> None:
    index = make("int")
    entries = fill(index, texts)
    for entry in entries:
        if entry.ident in gone:
            index.remove(entry)
    left = [entry for entry in entries if entry.ident not in gone]
    for value in values:
        assert index.find(value) is next((entry for entry in left if in_range(entry.key, value)), None)


NET4 = st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 32)).map(
    lambda n: f"{IPv4Address(n[0])}/{n[1]}".encode()
)
NEAR4 = st.tuples(st.sampled_from([0x0A000000, 0x0A010000, 0x0A010100]), st.integers(4, 32)).map(
    lambda n: f"{IPv4Address(n[0])}/{n[1]}".encode()
)
NEAR6 = st.tuples(
    st.sampled_from([0x20010DB8 << 96, 0xFFFF0A010000, 0x0A010000, 0x20020A01 << 96]), st.integers(12, 128)
).map(lambda n: f"{IPv6Address(n[0])}/{n[1]}".encode())
ADDRESS = st.one_of(
    st.sampled_from([0x0A000001, 0x0A010001, 0x0A010101]).map(lambda n: n.to_bytes(4, "big")),
    st.sampled_from([(0x20010DB8 << 96) + 1, 0xFFFF0A010001, 0x0A010001, (0x20020A010101 << 80) + 7]).map(
        lambda n: n.to_bytes(16, "big")
    ),
    st.binary(min_size=4, max_size=4),
)


def longest(entries: list[Entry], value: bytes) -> Entry | None:
    """The entry that should be found: the value's own family first, the longest prefix, then the order."""
    number = int.from_bytes(value, "big")
    inner: int | None = number
    outer = number | 0xFFFF << 32
    if len(value) == 16:
        outer = number
        inner = number >> 80 & 0xFFFFFFFF if number >> 112 == 0x2002 else number & 0xFFFFFFFF
        if number >> 112 != 0x2002 and number >> 32 not in (0, 0xFFFF):
            inner = None
    found = []
    for entry in entries:
        net = ip_network(entry.key.decode(), strict=False)
        own = net.version == (4 if len(value) == 4 else 6)
        shown = inner if net.version == 4 else outer
        if shown is not None and shown & int(net.netmask) == int(net.network_address):
            found.append((not own, -net.prefixlen, entry.ident, entry))
    return min(found, key=lambda item: item[:3])[3] if found else None


@given(texts=st.lists(NET4 | NEAR4 | NEAR6, max_size=10), values=st.lists(ADDRESS), gone=st.sets(st.integers(0, 9)))
def test_networks(texts: list[bytes], values: list[bytes], gone: set[int]) -> None:
    index = make("ip")
    entries = fill(index, texts)
    for value in values:
        assert index.find(value) is longest(entries, value)
    for entry in entries:
        if entry.ident in gone:
            index.remove(entry)
    left = [entry for entry in entries if entry.ident not in gone]
    for value in values:
        assert index.find(value) is longest(left, value)


def test_mask_with_holes() -> None:
    index = make("ip")
    (entry,) = fill(index, [b"10.1.2.3/255.255.0.255"])
    assert index.find(bytes([10, 1, 99, 3])) is entry
    assert index.find(bytes([10, 1, 99, 4])) is None
    index.remove(entry)
    assert index.find(bytes([10, 1, 99, 3])) is None


def test_names_are_looked_up_once() -> None:
    asked: list[str] = []

    def lookup(name: str) -> bytes:
        asked.append(name)
        return bytes([192, 0, 2, len(asked)])

    index = matchers.entries["ip"].factory(False, lookup)
    entries = fill(index, [b"a.example/24", b"127.1"])
    assert asked == ["a.example", "127.1"]
    assert index.find(bytes([192, 0, 2, 99])) is entries[0]
    index.remove(entries[0])
    assert index.find(bytes([192, 0, 2, 99])) is None
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (("gt", "5"), ("6:",)),
        (("ge", "5"), ("5:",)),
        (("lt", "5"), (":4",)),
        (("le", "5", "9"), (":5", ":9")),
        (("3", "gt", "5", "eq", "4"), ("3", "6:", "4")),
        (("gt", "1:2"), ("1:2",)),
        (("gt",), ()),
    ],
)
def test_operators(words: tuple[str, ...], made: tuple[str, ...]) -> None:
    assert parsing.fold_operators(words) == made


def test_versions() -> None:
    assert parsing.version_range(b"3:3.1") == (3 << 16, (3 << 16) + 1)
    assert parsing.version_range(b"3.1") == ((3 << 16) + 1, (3 << 16) + 1)
    assert parsing.fold_operators(("gt", "3.2", "3"), versions=True) == ("3.3:", "3.1:")
    assert parsing.fold_operators(("lt", "3.0"), versions=True) == (":2.65535",)
    index = make("version")
    fill(index, [b"3:3.1"])
    assert [index.find((3 << 16) + minor) is not None for minor in range(3)] == [True, True, False]


@pytest.mark.parametrize("text", [b"x", b"", b":", b"5:1", b"1.5", b"1:2:3", b"\xb2"])
def test_no_numbers(text: bytes) -> None:
    with pytest.raises(Refused):
        parsing.integer_range(text)


@pytest.mark.parametrize("text", [b"x", b"", b":", b"3.1:3", b"3.70000", b"3.1.1"])
def test_no_versions(text: bytes) -> None:
    with pytest.raises(Refused):
        parsing.version_range(text)


@pytest.mark.parametrize(
    "text", [b"", b"/8", b"1.2.3.4/33", b"1.2.3.4/x", b"1.2.3.300", b"::1/129", b"::1/ffff::", b"fe80::1%lo", b"a b"]
)
def test_no_networks(text: bytes) -> None:
    with pytest.raises(Refused, match="is not a valid IPv4 or IPv6 address"):
        parsing.network(text, no_names)


@pytest.mark.parametrize("text", [b"6", b"zz", b"61 62", b"\xe9\xe9"])
def test_no_bytes(text: bytes) -> None:
    with pytest.raises(Refused, match="hexadecimal"):
        parsing.hexadecimal(text)


def test_a_refused_expression_changes_nothing() -> None:
    index = make("reg")
    (entry,) = fill(index, [b"^a"])
    with pytest.raises(Refused, match="invalid"):
        index.add(Entry(2, b"(", b""))
    assert index.find(b"abc") is entry


def test_an_expression_that_takes_for_ever_does_not_match() -> None:
    from trilb.samples import regex

    index = make("reg")
    fill(index, [b"^(a+)+$", b"b$"])
    before = regex.overruns
    found = index.find(b"a" * 60 + b"b")
    assert found is not None and found.key == b"b$"
    assert regex.overruns == before + 1


@pytest.mark.parametrize(
    "texts",
    [
        ["^/a", "b$", "c+d"],
        ["(a|b)c", "^(?:x|y)z", "q(?=r)"],
        [r"\d+\.", r"^\(", r"a\\"],
        [r"(a)\1", "b", "c"],
        ["(?i)abc", "d", "e"],
        [r"\Qa|b", "c", "d"],
        ["[(?]x", "y", "z"],
    ],
)
@given(value=st.text(alphabet="abcdeqrxyzABC/.()?|\\1 ", max_size=8))
def test_many_expressions_at_once_are_each_of_them(texts: list[str], value: str) -> None:
    """What stands in front of a list of expressions never hides a match."""
    combined = any_of(texts, False)
    data = value.encode("latin-1")
    each = any(Regex(text).search(data) for text in texts)
    assert combined is None or combined.may_match(data) is each
