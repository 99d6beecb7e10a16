"""Lists behind ACLs and maps: files, versions, changes, and who sees what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilb.admin import cmd_maps
from trilb.admin.commands import execute
from trilb.admin.words import payload_end, split_commands, split_words
from trilb.base.diagnostic import Refused
from trilb.config.patterns import Patterns, lines, list_name
from trilb.samples.references import Reference, Store, load
from trilb.samples.types import converters
from trilb.vocabulary import language

language()
assert cmd_maps


def no_names(name: str) -> bytes:
    """No name is known."""
    raise Refused(f"{name} is looked up")


def use(path: Path | str, **how: Any) -> Patterns:
    """A use of a list as a map of texts, unless said otherwise."""
    return Patterns(str(path), **{"columns": True, "output": "str", "criterion": "map", **how})


def stored(*uses: Patterns) -> Store:
    """A store of uses that are all accepted."""
    store, refused = load(uses, no_names)
    assert not refused, refused[0][1].text
    return store


def values(reference: Reference, version: int | None = None) -> list[tuple[bytes, bytes]]:
    """What a list holds."""
    return [(entry.key, entry.value) for entry in reference.entries(version)]


def value_of(store: Store, user: Patterns, sample: bytes) -> bytes | None:
    """The value a use of a list finds for a sample."""
    found = store.users[user].index.find(sample)
    return None if found is None else found.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small map."""
    path = tmp_path / "m.map"
    path.write_bytes(b"# no\na 1\nb\t2  \r\n  #c  three four \n\nonly\n")
    return path


def test_lines_of_a_map(file: Path) -> None:
    assert list(lines(str(file), "", False, True)) == [
        (2, b"a", b"1"),
        (3, b"b", b"2"),
        (4, b"#c", b"three four"),
        (6, b"only", b""),
    ]


def test_lines_of_an_acl(file: Path) -> None:
    found = [line[1] for line in lines(str(file), "", False, False)]
    assert found == [b"a 1", b"b\t2  ", b"#c  three four ", b"only"]


def test_names(tmp_path: Path) -> None:
    assert list_name("file@a/b") == ("a/b", False)
    assert list_name("opt@a/b") == ("a/b", True)
    assert list_name("virt@a") == ("virt@a", False)
    assert list_name("./virt@a") == ("./virt@a", False)
    assert list(lines("virt@a", "", False, True)) == []
    assert list(lines(str(tmp_path / "nothing"), "", True, True)) == []
    with pytest.raises(Refused, match="cannot open pattern file"):
        list(lines(str(tmp_path / "nothing"), "", False, True))
    with pytest.raises(Refused, match="name of a pattern file"):
        list_name("file@")


def test_prefixes_name_one_list(file: Path) -> None:
    plain, optional = use(file), use(file, optional=True, method="beg")
    store = stored(plain, optional)
    assert len(store.by_name) == 1
    assert store.users[plain] is not store.users[optional]


def test_one_index_for_equal_uses(file: Path) -> None:
    one, two, folded = use(file), use(file), use(file, ignore_case=True)
    store = stored(one, two, folded)
    assert store.users[one] is store.users[two]
    assert store.users[one] is not store.users[folded]


def test_columns_must_agree(file: Path) -> None:
    _, refused = load([use(file), use(file, columns=False, output="")], no_names)
    assert "'-M'" in refused[0][1].text


def test_numbers_of_lists(file: Path) -> None:
    named = Patterns(words=("x",), number=1)
    store = stored(use(file), Patterns(words=("a",)), named, Patterns(words=("b",)))
    assert [reference.number for reference in store.listed()] == [0, 1, 2, 3]
    _, refused = load([named, Patterns(words=("y",), number=1)], no_names)
    assert "already used" in refused[0][1].text


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        ("a 1\nb x\n", {"output": "int"}, "unable to parse 'x' at line 2 of file"),
        ("a 10.0.0.1\nb 10.1\n", {"output": "ip"}, "unable to parse '10.1' at line 2 of file"),
        ("( x\n", {"method": "regm"}, "at line 1 of file"),
        ("1 x\ny x\n", {"method": "int"}, "'y' is not a number at line 2 of file"),
        ("# c\nlocalhost x\n", {"method": "ip"}, "'localhost' is not a valid IPv4 or IPv6 address at line 2 of file"),
    ],
)
def test_bad_lines_are_told_with_their_place(tmp_path: Path, text: str, how: dict[str, Any], message: str) -> None:
    path = tmp_path / "bad.map"
    path.write_text(text)
    _, refused = load([use(path, **how)], no_names)
    assert message in refused[0][1].text


def test_a_refused_change_changes_nothing(file: Path) -> None:
    file.write_text("a 1\n")
    text, number, ranges = use(file), use(file, output="int"), use(file, method="reg")
    reference = next(iter(stored(text, number, ranges).by_name.values()))
    before = values(reference)
    for key, value in ((b"b", b"x"), (b"(", b"5")):
        with pytest.raises(Refused):
            reference.add(key, value)
        assert values(reference) == before
        assert all(matching.index.find(b"b") is None for matching in reference.matchings)
    with pytest.raises(Refused):
        reference.set(reference.find(b"a"), b"x")
    assert values(reference) == before


def test_versions(file: Path) -> None:
    file.write_text("a 1\nb 2\n")
    one = use(file)
    store = stored(one)
    reference = store.by_name[str(file)]
    first, second = reference.prepare(), reference.prepare()
    assert (first, second) == (1, 2)
    reference.add(b"a", b"new", first)
    reference.add(b"a", b"newer", second)
    assert value_of(store, one, b"a") == b"1"
    assert reference.entry_count() == 4
    reference.commit(first)
    assert value_of(store, one, b"a") == b"new"
    assert value_of(store, one, b"b") is None
    assert reference.entry_count() == 1
    assert reference.is_prepared(second) and not reference.is_prepared(first) and not reference.is_prepared(7)
    reference.commit(second)
    # What another version held went with the commit of the first.
    assert value_of(store, one, b"a") is None
    assert (reference.current, reference.newest) == (2, 2)


def test_versions_wrap() -> None:
    reference = Reference("x", True, None)
    reference.newest = reference.current = (1 << 32) - 1
    assert reference.prepare() == 0
    assert reference.is_prepared(0)
    reference.commit(0)
    assert not reference.is_prepared(0)


STEP = st.one_of(
    st.tuples(st.just("add"), st.sampled_from([b"a", b"ab", b"b"]), st.sampled_from([b"1", b"2"])),
    st.tuples(st.just("set"), st.sampled_from([b"a", b"ab", b"b"]), st.sampled_from([b"3", b"4"])),
    st.tuples(st.just("del"), st.sampled_from([b"a", b"ab", b"b"]), st.just(b"")),
    st.tuples(st.sampled_from(["clear", "prepare", "commit"]), st.just(b""), st.just(b"")),
)


@given(st.lists(STEP, max_size=20))
def test_any_changes(steps: list[tuple[str, bytes, bytes]]) -> None:
    exact, prefix = use("virt@x"), use("virt@x", method="beg")
    store = stored(exact, prefix)
    reference = store.by_name["virt@x"]
    finds = [store.users[one].index.find for one in (exact, prefix)]
    model: list[list[bytes]] = []
    prepared = 0
    for verb, key, value in steps:
        if verb == "add":
            reference.add(key, value)
            model.append([key, value])
        elif verb == "set":
            reference.set(reference.find(key), value)
            for pair in model:
                pair[1] = value if pair[0] == key else pair[1]
        elif verb == "del":
            reference.remove(reference.find(key))
            model = [pair for pair in model if pair[0] != key]
        elif verb == "clear":
            reference.clear()
            model = []
        elif verb == "prepare":
            prepared = reference.prepare()
        elif prepared and reference.is_prepared(prepared):
            reference.commit(prepared)
            model = []
        assert values(reference) == [(pair[0], pair[1]) for pair in model]
        for sample in (b"a", b"ab", b"abc", b"b", b"c"):
            same = [pair[1] for pair in model if pair[0] == sample]
            found = finds[0](sample)
            assert (found and found.value) == (same[0] if same else None)
            longest = sorted((pair for pair in model if sample.startswith(pair[0])), key=lambda pair: -len(pair[0]))
            found = finds[1](sample)
            assert (found and found.value) == (longest[0][1] if longest else None)


@pytest.mark.parametrize(
    ("name", "lines_", "sample", "wanted"),
    [
        ("map_beg_key", "/a 1\n/a/b 2\n", b"/a/b/c", b"/a/b"),
        ("map_str_key", "a 1\n", b"b", None),
        ("map_dom_key", "example.com x\n", b"www.example.com:80", b"example.com"),
        ("map_int_key", "1:10 x\n", 5, b"1:10"),
        ("map_ip_key", "10.0.0.0/8 x\n", bytes([10, 1, 1, 1]), b"10.0.0.0/8"),
        ("map_end_ip", "x ::1\n", b"ax", bytes(15) + b"\1"),
        ("map_int_int", "5 -6\n", 5, -6),
        ("map_ip_ip", "10.0.0.1 10.0.0.2\n", bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])),
    ],
)
def test_converters(tmp_path: Path, name: str, lines_: str, sample: Any, wanted: Any) -> None:
    path = tmp_path / "c.map"
    path.write_text(lines_)
    entry = converters.entries[name]
    one = use(path, method=entry.facts["match"], output=entry.facts["output"])
    run: Any = entry.factory(stored(one).users[one])
    assert run(sample) == wanted


def test_the_key_output_takes_no_default() -> None:
    assert len(converters.entries["map_str_key"].args) == 1


class View:
    """What the commands on lists look at."""

    def __init__(self, store: Store) -> None:
        self.patterns = store


def say(store: Store, text: str, payload: str = "") -> str:
    """The answer to a command."""
    view: Any = View(store)
    return "".join(execute(view, "user", text, payload))


def test_commands_by_pointer(file: Path) -> None:
    one = use(file)
    store = stored(one)
    shown = say(store, f"show map {file}").splitlines()
    assert [line.split(" ", 1)[1] for line in shown] == ["a 1", "b 2", "#c three four", "only "]
    pointer = shown[1].split(" ")[0]
    assert say(store, f"set map {file} #{pointer} two") == ""
    assert value_of(store, one, b"b") == b"two"
    assert say(store, f"del map #0 #{pointer}") == ""
    assert store.users[one].index.find(b"b") is None
    assert say(store, f"del map #0 #{pointer}") == "Key not found.\n"


def test_commands_on_virtual_lists() -> None:
    one = use("virt@v")
    store = stored(one)
    assert say(store, "add map virt@v", "k some value\n\n l\tother ") == ""
    assert value_of(store, one, b"k") == b"some value"
    assert value_of(store, one, b"l") == b"other "
    assert "entry_cnt=2" in say(store, "show map")


def test_a_value_nobody_can_read(tmp_path: Path) -> None:
    path = tmp_path / "n.map"
    path.write_text("a 1\n")
    store = stored(use(path, output="int"))
    assert say(store, f"set map {path} a x") == "unable to parse 'x'.\n"
    assert say(store, f"show map {path}").endswith(" a 1\n")


def test_words_of_a_command_line() -> None:
    assert split_commands(r"a b\;c;d") == [r"a b\;c", "d"]
    assert split_commands("") == [""]
    assert split_words(r"add acl f a\ b\;c\\d  e") == ["add", "acl", "f", r"a b;c\d", "e"]
    assert split_words("a\\") == ["a\\"]
    assert payload_end("add map x <<") == ("add map x", "")
    assert payload_end("add map x <<EOF") == ("add map x", "EOF")
    assert payload_end("add map x<<") == ("add map x<<", None)
    assert payload_end("add map x <<" + "a" * 65)[1] is None


@given(st.text("a\\; ", max_size=20))
def test_any_command_line(text: str) -> None:
    parts = split_commands(text)
    assert ";".join(parts) == text
    assert all(split_words(part) is not None for part in parts)
