"""What an agent's line says, word by word; side by side with HAProxy in tests/duel/test_agents.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilb.health.agent_reply import Reply, line_of, read, shown

ROWS = {
    "": Reply(),
    "75%": Reply(weight="75%"),
    "weight:20": Reply(weight="20"),
    "Weight:50%": Reply(weight="50%"),
    "weight:": Reply(unknown="weight:"),
    "9": Reply(unknown="9"),
    "5%5": Reply(weight="5%5"),
    "10% 20%": Reply(weight="20%"),
    "maxconn:30": Reply(maxconn="30"),
    "MAXCONN:": Reply(maxconn=""),
    "75%,maxconn:30,maint,down": Reply("75%", "30", "maint", "down"),
    "up\tREADY , drain": Reply(admin="drain", state="up"),
    "up,Fail": Reply(state="Fail"),
    "fail # all  is lost, 50% ": Reply(state="fail", description="all  is lost, 50% "),
    "stopped#why": Reply(unknown="stopped#why"),
    "foo bar down": Reply(state="down", unknown="foo"),
}


@pytest.mark.parametrize("line", ROWS)
def test_words(line: str) -> None:
    assert read(line) == ROWS[line]


def test_line_ends_where_the_first_end_is() -> None:
    assert line_of(b"up\r\ndown\n") == "up"
    assert line_of(b"up") is None


@pytest.mark.parametrize(
    ("line", "complaint", "text"),
    [
        ("down", "", "via agent : down"),
        ("Down #x", "wrong", "via agent : Down (x)"),
        ("foo down", "wrong", "via agent : down (foo)"),
        ("down", "wrong", "via agent : down (wrong)"),
    ],
)
def test_text_for_logs(line: str, complaint: str, text: str) -> None:
    assert shown(read(line), complaint) == text


@given(st.binary(max_size=200))
def test_any_line_can_be_read(data: bytes) -> None:
    line = line_of(data + b"\n")
    assert line is not None
    reply = read(line)
    assert reply.state.lower() in ("", "up", "down", "stopped", "fail")
    assert reply.admin in ("", "ready", "drain", "maint")
