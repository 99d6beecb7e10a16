"""Any sequence of commands, failures and recoveries: what holds of servers after each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trilb.assembly import build
from trilb.base.clock import Clock
from trilb.config.conditions import Facts
from trilb.config.model import Config
from trilb.config.reader import read
from trilb.config.sources import Source
from trilb.health import restore, saved, states, verdict
from trilb.health.weights import limit, weigh
from trilb.live.check import FAILED, PASSED
from trilb.live.server import DRAIN, IDRAIN, IMAINT, MAINT, RUNNING, STARTING, STOPPED, STOPPING, Server
from trilb.vocabulary import language

CONFIG = """
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
backend own
    server a 127.0.0.1:80 check fall 2 rise 2 weight 10
    server b 127.0.0.1:80 weight 20
    server spare 127.0.0.1:80 backup
backend tracking
    balance leastconn
    server t1 127.0.0.1:80 track own/a
    server t2 127.0.0.1:80 track t1
    server t3 127.0.0.1:80 track own/a disabled
backend deep
    balance source
    hash-type consistent
    server u1 127.0.0.1:80 track tracking/t2 backup
    server u2 127.0.0.1:80 check disabled
"""


def _config() -> Config:
    config, report = read([Source("test.cfg", CONFIG)], language(), Facts("3.5.0", {}))
    assert not report.failed, [entry.text for entry in report.entries]
    return config


class Servers(RuleBasedStateMachine):
    """A few backends whose servers track each other."""

    def __init__(self) -> None:
        super().__init__()
        self.runtime = build(_config(), Clock())
        self.servers = [server for backend in self.runtime.backends.values() for server in backend.servers]
        self.now = self.runtime.plane.clock.now
        for backend in self.runtime.backends.values():
            backend.say = lambda text, level: None

    def pick(self, number: int) -> Server:
        """One of them."""
        self.now += 0.5
        return self.servers[number % len(self.servers)]

    @rule(number=st.integers(0, 9), state=st.sampled_from(["ready", "drain", "maint"]))
    def forced(self, number: int, state: str) -> None:
        states.force(self.pick(number), state, self.now)

    @rule(number=st.integers(0, 9), what=st.sampled_from([states.start, states.stop, states.retire]))
    def told(self, number: int, what: object) -> None:
        server = self.pick(number)
        if server.track is None:
            what(server, self.now, "changed from CLI")  # type: ignore[operator]

    @rule(number=st.integers(0, 9), good=st.booleans())
    def checked(self, number: int, good: bool) -> None:
        server = self.pick(number)
        if server.check is not None and server.check.enabled and not server.admin & MAINT:
            server.check.result = PASSED if good else FAILED
            verdict.report(server, server.check, self.now)

    @rule(number=st.integers(0, 9), weight=st.integers(0, 256))
    def weighed(self, number: int, weight: int) -> None:
        states.reweigh(self.pick(number), weight, self.now)

    @rule(number=st.integers(0, 9))
    def unresolved(self, number: int) -> None:
        states.maintain(self.pick(number), self.now, 1 << 5, "no address")

    @rule(number=st.integers(0, 9))
    def resolved(self, number: int) -> None:
        states.resume(self.pick(number), self.now, 1 << 5)

    @rule()
    def saved_and_restored(self) -> None:
        """What is written can be read, and says what is."""
        backends = self.runtime.backends.values()
        rows, broken = restore.read(saved.HEADER + "".join(saved.rows(backends, self.now)), "file")
        assert not broken
        assert [(row["be_name"], row["srv_name"]) for row in rows] == [(s.backend.name, s.name) for s in self.servers]
        for row, server in zip(rows, self.servers, strict=True):
            forced_and_drained = server.admin & 1 and server.admin & 8
            assert not restore.judge(row) or forced_and_drained
            assert row.number("srv_op_state") == server.operation

    @invariant()
    def consistent(self) -> None:
        for server in self.servers:
            assert server.running == (server.operation != STOPPED and not server.admin & MAINT)
            assert not server.admin & MAINT or server.operation == STOPPED
            usable = server.operation in (RUNNING, STARTING) and not server.admin & (MAINT | DRAIN)
            assert server.effective == (server.weight if usable else 0)
            assert 0 <= server.health.health <= server.health.top
            assert server.down_seconds >= 0 and server.last_change <= self.now
            assert server.status()
            track = server.track
            if track is None:
                assert not server.admin & (IMAINT | IDRAIN)
                continue
            assert bool(server.admin & IMAINT) == bool(track.admin & MAINT)
            if not track.admin & MAINT:
                assert bool(server.admin & IDRAIN) == bool(track.admin & DRAIN)
                if not server.admin & MAINT:
                    assert (server.operation == STOPPED) == (track.operation == STOPPED)
                    assert (server.operation == STOPPING) == (track.operation == STOPPING)

    @invariant()
    def balanced(self) -> None:
        for backend in self.runtime.backends.values():
            assert backend.active == sum(s.effective > 0 and not s.line.backup for s in backend.servers)
            assert backend.spare == sum(s.effective > 0 and s.line.backup for s in backend.servers)
            assert backend.down_seconds >= 0
            found = backend.plan.balance.pick(b"key", None)
            assert (found is not None) == bool(backend.active + backend.spare)
            assert found is None or found.effective > 0
            if found is not None and backend.active:
                assert not found.line.backup


TestServers = Servers.TestCase
TestServers.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_what_is_wrong_is_said() -> None:
    """Every field that cannot be, by its name; a line that may be cut is left out."""
    good = "2 own 1 a 127.0.0.1 2 0 10 10 5 6 3 4 6 0 0 0 - 80 - 0 0 - - 0"
    rows, broken = restore.read(f"1\n# names\n{good}\n{good} more\n2 own 1\n{good}", "file")
    assert [row.place.line for row in rows] == [3, 4]
    assert [place.line for place in broken] == [5, 6]
    assert restore.judge(rows[0]) == ""
    bad = "2 own 1 a x 9 9 257 -1 x 99 5 4 16 32 0 0 - 70000 - 0 0 - - 0"
    (row,), _ = restore.read(f"1\n{bad}\n", "file")
    assert restore.judge(row) == (
        "invalid srv_op_state value '9', invalid srv_admin_state value '9', invalid srv_uweight value '257', "
        "invalid srv_iweight value '-1', invalid srv_last_time_change value 'x', invalid srv_check_status value '99', "
        "invalid srv_check_result value '5', invalid srv_check_state value '16', invalid srv_agent_state value '32', "
        "invalid srv_port value '70000'"
    )
    assert row.address == ""
    long, odd = "9" * 5000, "\xb2"
    rows, _ = restore.read(f"1\n2 own 1 a x 2 0 {long} 10 5 6 3 4 6 0 0 0 - {odd} - 0 {odd} - - {odd}\n", "file")
    assert restore.judge(rows[0]) == f"invalid srv_uweight value '{long}', invalid srv_port value '{odd}'"
    rows, _ = restore.read(f"1\n2 own 1 a x 2 0 10 10 5 6 3 4 6 0 0 0 - 80 - 0 {odd} - - {long}\n", "file")
    server = build(_config(), Clock()).backends["own"].servers[0]
    restore.apply(server, rows[0], 0.0)
    assert server.check is not None and server.check.port == 0
    assert Path(row.place.file).name == "file"


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "0" * 5000, "\xb2"])
def test_numbers_of_any_length_are_judged(number: str) -> None:
    """An agent writes more digits than Python reads: refused, or the most there is, as HAProxy's strtol has it."""
    server = build(_config(), Clock()).backends["own"].servers[0]
    weigh(server, number + "%", 0.0)
    assert 0 <= server.weight <= 256
    assert weigh(server, number, 0.0)
    limit(server, number)
    assert 0 <= server.maxconn < 1 << 32
