"""The conversation on the runtime socket, without a socket."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilb.admin.caller import Caller, Mode, Said, error
from trilb.admin.shell import LONGEST_PAYLOAD, Answer, Deed, Handover, Shell, clock, prompt_of
from trilb.admin.words import nearest_lines, split_commands, split_words

LONGEST = 200


class Talk:
    """A shell whose commands say what they were given."""

    def __init__(self, mode: Mode = Mode.ONCE, longest: int = LONGEST) -> None:
        self.caller = Caller("admin", mode=mode)
        self.shell = Shell(self.run, self.caller, longest=longest, prompt=lambda: "> ")
        self.given: list[tuple[str, str]] = []

    def run(self, caller: Caller, text: str, payload: str) -> Answer | Deed | None:
        self.given.append((text, payload))
        if text == "quit":
            caller.quitting = True
        if text == "prompt":
            caller.mode = Mode.ONCE if caller.mode is Mode.PROMPT else Mode.PROMPT
            return ""
        if text == "nothing":
            return None
        if text == "pieces":
            return iter(["a", error("b"), "c\n"])
        return f"<{text}|{payload}>\n"

    def say(self, *parts: bytes) -> str:
        said = ""
        for part in parts:
            if self.caller.quitting:
                break
            self.shell.receive(part)
            said += "".join(
                piece if isinstance(piece, str) else f"[{type(piece).__name__}]" for piece in self.answers()
            )
        return said

    def answers(self) -> Iterator[str | Deed]:
        return self.shell.answers()


@pytest.mark.parametrize(
    ("text", "said", "ends"),
    [
        (b"a b\n", "<a b|>\n\n", True),
        (b"a b\r\n", "<a b|>\n\n", True),
        (b"  a ;b\\;c; \n", "<a|>\n\n<b\\;c|>\n\n<|>\n\n", True),
        (b"a\nb\n", "<a|>\n\n<b|>\n\n", True),
        (b"a\nb", "<a|>\n\n", False),
        (b"a", "", False),
        (b"\n", "<|>\n\n", True),
        (b"a\0b\n", "<a|>\n\n", True),
        (b"a;quit;b\n", "<a|>\n\n", True),
        (b"nothing;a\n", "<a|>\n\n", True),
        (b"pieces\n", "abc\n\n", True),
        (b"prompt\n", "\n> ", False),
        (b"prompt;a\n\nb", "\n> <a|>\n\n> <|>\n\n> ", False),
        (b"prompt\nprompt\n", "\n> \n", True),
        (b"a;b <<\nx\ny\n\n", "<a|>\n\n<b|x\ny>\n\n", True),
        (b"b <<END\nx\n\nEND\n", "<b|x\n>\n\n", True),
        (b"b <<\nx\n", "", False),
        (b"prompt\nb <<\r\nx\r\n\r\na\n", "\n> + + <b|x>\n\n> <a|>\n\n> ", False),
        (b"b <<" + b"E" * 65 + b"\n", "<b <<" + "E" * 65 + "|>\n\n", True),
        (b"x" * (LONGEST - 2) + b"\n", f"<{'x' * (LONGEST - 2)}|>\n\n", True),
        (b"x" * (LONGEST - 1) + b"\n", "", True),
        (b"x" * LONGEST, "", True),
        (b"prompt\n" + b"x" * LONGEST, "\n> ", True),
    ],
)
def test_what_is_said(text: bytes, said: str, ends: bool) -> None:
    talk = Talk()
    assert talk.say(text) == said
    assert talk.caller.quitting is ends


lines = st.lists(
    st.sampled_from(
        [b"a", b"b c", b"", b"a;b", b";", b"d <<", b"d <<END", b"END", b"pieces", b"nothing", b"x" * 150, b"x" * 250]
    )
    | st.binary(max_size=20).filter(lambda raw: b"\n" not in raw),
    max_size=12,
)


def cut(text: bytes, places: list[int]) -> list[bytes]:
    """The text in packets that end at those places."""
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(edges)]


@given(lines, st.lists(st.integers(0, 4000), max_size=30), st.sampled_from([Mode.PROMPT, Mode.LINES]))
def test_packets_do_not_matter(said: list[bytes], places: list[int], mode: Mode) -> None:
    """However lines come in packets: the same commands, the same answers, the same end."""
    text = b"".join(line + b"\n" for line in said)
    whole, parts = Talk(mode), Talk(mode)
    assert parts.say(*cut(text, places)) == whole.say(text)
    assert parts.given == whole.given
    assert parts.caller.quitting == whole.caller.quitting


@given(
    st.binary(max_size=60).filter(lambda raw: b"\n" not in raw and b"<<" not in raw),
    st.lists(st.integers(0, 80), max_size=9),
)
def test_one_line_is_answered_once_however_it_comes(line: bytes, places: list[int]) -> None:
    whole, parts = Talk(), Talk()
    assert parts.say(*cut(line + b"\n", places)) == whole.say(line + b"\n")
    assert parts.caller.quitting and whole.caller.quitting


@given(st.lists(st.binary(max_size=300), max_size=60))
def test_what_is_kept_is_bounded(parts: list[bytes]) -> None:
    talk = Talk(Mode.PROMPT)
    for part in parts:
        talk.say(part)
        assert len(talk.shell._buffer) <= LONGEST + 300


def test_a_payload_that_never_ends_is_not_kept() -> None:
    talk = Talk(Mode.PROMPT)
    talk.say(b"add map m <<\n")
    said = ""
    for _ in range(2 * LONGEST_PAYLOAD // 100):
        said += talk.say(b"x" * 99 + b"\n")
    assert talk.caller.quitting
    assert said.endswith("The payload is too long: 131072 bytes are the most.\n\n")
    assert not talk.given


def test_an_answer_is_made_as_it_is_asked_for() -> None:
    made: list[int] = []

    def run(caller: Caller, text: str, payload: str) -> Answer:
        def pieces() -> Iterator[str]:
            for number in range(1000):
                made.append(number)
                yield "x"

        return pieces()

    shell = Shell(run, Caller(), longest=LONGEST, prompt=str)
    shell.receive(b"dump\n")
    answers = shell.answers()
    next(answers)
    next(answers)
    assert made == [0, 1]


def test_listening_sockets_are_given_to_who_may_have_them() -> None:
    talk = Talk()
    assert talk.say(b"_getsocks\n") == "<_getsocks|>\n\n"
    talk = Talk()
    talk.caller.exposes = True
    assert talk.say(b"_getsocks\n") == f"[{Handover.__name__}]"
    assert talk.caller.quitting


def test_severity() -> None:
    caller = Caller()
    said = error("wrong\n")
    assert isinstance(said, Said)
    assert said.written(caller) == "wrong\n"
    caller.severity = "number"
    assert said.written(caller) == "[3]: wrong\n"
    caller.severity = "string"
    assert said.written(caller) == "[err]: wrong\n"


def test_levels_go_down_only() -> None:
    caller = Caller("operator", expert=True, experimental=True)
    caller.lower("admin")
    assert (caller.level, caller.expert, caller.experimental) == ("operator", False, False)
    caller.lower("user")
    assert caller.level == "user"
    assert caller.may("user") and not caller.may("operator")


def test_prompts() -> None:
    caller = Caller()
    assert prompt_of(caller, "", 5) == "> "
    assert prompt_of(caller, "master", 5) == "master> "
    caller.timed = True
    assert prompt_of(caller, "", 23 * 86400 + 3 * 3600 + 34 * 60 + 39) == "[23:03:34:39]> "
    assert prompt_of(caller, "master", 50) == "[0:00:00:50] master> "
    assert clock(86399.9) == "0:23:59:59"


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\n\0"), min_size=1), min_size=1, max_size=6))
def test_words_come_back(words: list[str]) -> None:
    """What a backslash stands in front of is itself."""
    line = " ".join("".join(f"\\{letter}" for letter in word) for word in words)
    assert split_commands(line) == [line]
    assert split_words(line) == words


@given(st.lists(st.text("ab \\;", max_size=6), min_size=1, max_size=5))
def test_commands_make_up_the_line(parts: list[str]) -> None:
    line = ";".join(parts)
    assert ";".join(split_commands(line)) == line


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["show"], ["show info", "show stat", "show stats thing"]),
        (["show", "stta"], ["show stat"]),
        (["shw", "stat"], ["show stat"]),
        (["add", "mpa"], ["add map"]),
        (["set", "servr"], ["set server"]),
    ],
)
def test_what_may_have_been_meant(words: list[str], found: list[str]) -> None:
    names = ["add map", "set server", "set weight", "show info", "show stat", "show stats thing"]
    assert nearest_lines(names, words) == found
