"""The machine of checks: however the bytes are cut, the verdict is the same; whatever comes, there is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.h2wire import frame
from trilb.base.address import Address, Family
from trilb.base.diagnostic import NOWHERE
from trilb.config.lines import ServerLine
from trilb.config.model import Proxy, Side
from trilb.health import protocols, request
from trilb.health.answer import Multiplexed
from trilb.health.script import Ask, Connect, Expect, Machine, Script, Send
from trilb.http.policy import Limits
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import RUNNING, STOPPED, Server
from trilb.live.session import Session
from trilb.live.stream import CheckStream

LIMITS = Limits(16384, 1024, 101)
GREETING = b"\x05\0\0\0\x0a8.0\0"


def _stream() -> CheckStream:
    front = Frontend(Proxy("f", "frontend", NOWHERE, Side.FRONTEND), 0)
    return CheckStream(Session(front, b"\0\0\0\0", 0), front)


def _http() -> Script:
    expect = Expect(1, lambda machine: 200 <= machine.stream.response.status < 400 if machine.stream.response else None)
    expect.patient, expect.error_status = False, "L7STS"
    expect.explain = lambda machine, found: ("", machine.stream.response.status if machine.stream.response else 0)
    made = request.maker(LIMITS, b"GET", lambda stream: b"/", b"HTTP/1.1", (), None)
    return Script((Connect(), Ask(0, "", made), expect))


SCRIPTS = {
    **{kind: protocols.script(kind, words, 16384) for kind, words in (
        ("smtpchk", ("HELO", "localhost")),
        ("redis-check", ()),
        ("pgsql-check", ("u",)),
        ("ssl-hello-chk", ()),
        ("mysql-check", ("u",)),
        ("ldap-check", ()),
        ("spop-check", ()),
    )},
    "httpchk": _http(),
}  # fmt: skip
GOOD = {
    "smtpchk": [b"220 hi\r\n", b"250-a\r\n250 b\r\n", b"221 bye\r\n"],
    "redis-check": [b"+PONG\r\n"],
    "pgsql-check": [b"R\0\0\0\x08\0\0\0\0"],
    "ssl-hello-chk": [b"\x16\3\0\0\0"],
    "mysql-check": [GREETING + b"\7\0\0\2\0\0\0\2\0\0\0"],
    "ldap-check": [bytes.fromhex("3084000000100201016184000000070a010004000400")],
    "spop-check": [
        bytes.fromhex("00000036650000000100000776657273696f6e0803322e300e6d61782d6672616d652d73697a65")
        + bytes.fromhex("03fcf0060c6361706162696c69746965730800"),
    ],
    "httpchk": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nfoo\r\n0\r\n\r\n"],
}


def play(script: Script, pieces: list[bytes], *, ended: bool = True) -> tuple[str, str, int]:
    """Give the pieces when something is waited for, then the end; what was found."""
    machine = Machine(script, _stream())
    left = list(pieces)
    for _ in range(1000):
        wanted = machine.advance()
        if machine.status:
            return machine.status, machine.text, machine.code
        if isinstance(wanted, Connect):
            machine.connected()
        elif wanted is None:
            if not left and not ended:
                machine.expired()
            else:
                machine.received(left.pop(0) if left else b"")
    raise AssertionError("it goes on for ever")


@pytest.mark.parametrize("kind", SCRIPTS)
def test_good_servers(kind: str) -> None:
    """What a good server says passes, even when nothing follows."""
    status, text, code = play(SCRIPTS[kind], GOOD[kind], ended=False)
    assert status == ("L6OK" if kind == "ssl-hello-chk" else "L7OK")
    wanted = {
        "smtpchk": ("bye", 221),
        "redis-check": ("Redis server is ok", 0),
        "pgsql-check": ("PostgreSQL server is ok", 0),
        "mysql-check": ("8.0", 0),
        "ldap-check": ("Success", 0),
        "spop-check": ("SPOA server is ok", 0),
        "httpchk": ("", 200),
    }
    assert (text, code) == wanted.get(kind, ("", 0))


# SMTP is another matter: as HAProxy does, the answer is given after "220 ", and what comes later belongs to the next.
@given(kind=st.sampled_from(sorted({*SCRIPTS} - {"smtpchk"})), cuts=st.lists(st.integers(1, 40), max_size=8))
def test_any_split_gives_the_same(kind: str, cuts: list[int]) -> None:
    """A server's turns cut anywhere."""
    pieces: list[bytes] = []
    for turn in GOOD[kind]:
        at = 0
        for cut in cuts:
            if at + cut < len(turn):
                pieces.append(turn[at : at + cut])
                at += cut
        pieces.append(turn[at:])
    assert play(SCRIPTS[kind], pieces)[0] == play(SCRIPTS[kind], GOOD[kind])[0]


@given(kind=st.sampled_from(sorted(SCRIPTS)), pieces=st.lists(st.binary(min_size=1, max_size=60), max_size=6))
def test_garbage_is_judged(kind: str, pieces: list[bytes]) -> None:
    """Any bytes give a code that exists."""
    status, text, code = play(SCRIPTS[kind], pieces)
    assert status in {"L6OK", "L6RSP", "L7OK", "L7RSP", "L7STS", "SOCKERR"}
    assert isinstance(text, str)
    assert isinstance(code, int)


@given(
    kind=st.sampled_from(sorted(SCRIPTS)),
    turn=st.integers(0, 2),
    at=st.integers(0, 60),
    bad=st.binary(min_size=1, max_size=3),
)
def test_damaged_answers_are_judged(kind: str, turn: int, at: int, bad: bytes) -> None:
    """A good answer with some bytes changed, cut behind the change, or whole."""
    turns = list(GOOD[kind])
    turn = min(turn, len(turns) - 1)
    data = turns[turn]
    turns[turn] = data[:at] + bad + data[at + len(bad) :]
    for pieces in (turns, [*turns[:turn], turns[turn][: at + 1]]):
        assert play(SCRIPTS[kind], pieces)[0]
        assert play(SCRIPTS[kind], pieces, ended=False)[0]


@given(data=st.binary(max_size=200))
def test_any_bytes_are_no_http2(data: bytes) -> None:
    """HTTP/2 of a server that speaks something else."""
    exchange = Multiplexed(LIMITS, b"http", b"GET", b"/", [(b"host", b"a")], b"body")
    assert exchange.take().startswith(b"PRI * HTTP/2.0")
    exchange.receive(data)
    exchange.receive(b"")
    assert exchange.failed


@pytest.mark.parametrize("kind", [4, 6], ids=["settings", "ping"])
def test_frames_that_never_end_are_no_answer(kind: int) -> None:
    """What is never part of an answer cannot keep a check, and all that runs beside it, waiting."""
    exchange = Multiplexed(LIMITS, b"http", b"GET", b"/", [(b"host", b"a")], b"")
    exchange.receive(frame(4, 0, 0))
    frames = frame(kind, 0, 0, bytes(8) if kind == 6 else b"") * 100
    count = 0
    while not exchange.failed:
        exchange.receive(frames)
        exchange.take()
        count += 1
        assert count < 1000


def test_too_much_is_not_kept() -> None:
    """A server that never stops is judged by what fits."""
    expect = Expect(1, lambda machine: b"wanted" in machine.data)
    script = Script((Connect(), expect), most=100)
    machine = Machine(script, _stream())
    machine.advance()
    machine.connected()
    machine.received(b"x" * 1000)
    assert machine.advance() is None
    assert machine.status == "L7RSP"
    assert len(machine.data) == 100


def test_timeouts_by_phase() -> None:
    """The layer is the one that was waited for."""
    script = Script((Connect(), Send(1, "", lambda stream: b"hi"), Expect(2, lambda machine: False)))
    found = []
    for phase in range(3):
        machine = Machine(script, _stream())
        assert isinstance(machine.advance(), Connect)
        machine.shaking = phase == 1
        if phase == 2:
            machine.connected()
            assert machine.advance() == b"hi"
            assert machine.advance() is None
        machine.expired()
        found.append(machine.status)
    assert found == ["L4TOUT", "L6TOUT", "L7TOUT"]


def test_a_request_cannot_be_split() -> None:
    """What samples put into a request stays in its place."""
    made = request.maker(
        LIMITS,
        b"GET",
        lambda stream: b"/a HTTP/1.0\r\nx: y",
        b"HTTP/1.1",
        ((b"h", lambda stream: b"1\r\nevil: 2"),),
        None,
    )(_stream(), False)
    assert made.take() == b"GET /a HTTP/1.1\r\nh: 1  evil: 2\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("state", "health", "operation"),
    [
        ("none", 3, RUNNING),
        ("up", 3, RUNNING),
        ("fully-up", 6, RUNNING),
        ("down", 2, STOPPED),
        ("fully-down", 0, STOPPED),
    ],
)
def test_initial_states(state: str, health: int, operation: int) -> None:
    """`init-state` says where a server's health begins."""
    line = ServerLine("s", Address(Family.IPV4, "127.0.0.1", 80), NOWHERE, check=True, rise=3, fall=4, init_state=state)
    server = Server(line, Backend(Proxy("b", "backend", NOWHERE, Side.BACKEND)))
    assert (server.health.health, server.operation) == (health, operation)
