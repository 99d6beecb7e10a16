"""The lexer: any line is words or a refusal; quoting a word gives it back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilb.base.diagnostic import Place, Refused
from trilb.config.lexer import split_arguments, tokenize

PLACE = Place("t.cfg", 1)
ENV = {"HOME": "/root", "LIST": "a b  c", "EMPTY": ""}


def words(text: str) -> tuple[str, ...]:
    return tokenize(text, PLACE, ENV).words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\tc", ("a", "b", "c")),
        ("a#b", ("a",)),
        (r"a\#b \ c", ("a#b", " c")),
        ("\"a b\"'c d'e", ("a bc de",)),
        ('"$HOME/x" $HOME', ("/root/x", "$HOME")),
        ('"${NOPE-5s}" "${EMPTY-x}" "${NOPE}"', ("5s", "", "")),
        ('x"${LIST[*]}"y', ("xa", "b", "cy")),
        (r"\x41\n\q", ("A\n\\q",)),
        (r"'\n$HOME'", (r"\n$HOME",)),
        ("# nothing", ()),
    ],
)
def test_quoting(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(("text", "column"), [('a "b', 3), ("a 'b", 3), (r"\x4", 1), ('"${A"', 4)])
def test_errors_name_the_column(text: str, column: int) -> None:
    with pytest.raises(Refused) as caught:
        words(text)
    assert caught.value.column == column


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60).filter(lambda text: "\n" not in text))
def test_any_line_is_words_or_a_refusal(text: str) -> None:
    try:
        line = tokenize(text, PLACE, ENV)
    except Refused as refused:
        assert refused.column >= 1
    else:
        assert len(line.words) == len(line.columns)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="'\n", exclude_categories=["Cs"]), max_size=12), max_size=6))
def test_strong_quotes_give_a_word_back(given_words: list[str]) -> None:
    assert words(" ".join(f"'{word}'" for word in given_words)) == tuple(given_words)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_arguments_are_a_list_or_a_refusal(text: str) -> None:
    try:
        arguments, end = split_arguments("(" + text, 0)
    except Refused:
        return
    assert 1 <= end <= len(text) + 1
    assert all(isinstance(argument, str) for argument in arguments)
