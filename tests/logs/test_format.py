"""The written-out log lines give the bytes that their log-format gives."""

from __future__ import annotations

import pytest

from trilb.base.clock import Clock
from trilb.base.diagnostic import NOWHERE, Place
from trilb.config.expressions import Scope, parse_format
from trilb.config.model import Mode, Proxy, Side
from trilb.http.head import Head
from trilb.live.plan import FrontendPlan
from trilb.live.process import ProcessState
from trilb.live.proxy import Frontend
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.logs.format import HTTPLOG, TCPLOG, httplog, tcplog
from trilb.samples.logformat import compile_format
from trilb.vocabulary import language


class _NoReferences:
    def resolve(self, kind: object, name: str) -> object:
        raise AssertionError(name)


@pytest.mark.parametrize("bad", [False, True])
def test_fixed_lines_equal_their_formats(bad: bool) -> None:
    clock = Clock(lambda: 100.25, lambda: 1_795_205_452.5)
    process = ProcessState(clock, 7, "host", 0)
    proxy = Proxy("fe", "frontend", NOWHERE, Side.FRONTEND, mode=Mode.HTTP)
    frontend = Frontend(proxy, 10)
    frontend.plan = FrontendPlan()
    session = Session(frontend, b"\x7f\0\0\1", 4711)
    session.accepted, session.accepted_wall = 99.0, clock.wall
    stream = Stream(session, frontend)
    if not bad:
        stream.request = Head(b"GET", b'/a"b', 11, [])
        stream.target = b'/a"b'
        stream.accepted, stream.received, stream.status = 99.5, 99.75, 200
    scope = Scope(language(), "fe", Place("t", 1), "log")
    for text, line in ((HTTPLOG, httplog(process, False)), (TCPLOG, tcplog(process, False))):
        general = compile_format(parse_format(text, scope), _NoReferences(), process, "log")
        expected = general(stream)
        assert line(stream) == expected
