"""How a server grows after it came back; side by side with HAProxy in tests/duel/test_ramps.py."""

from __future__ import annotations

import pytest

from trilb.balance.keyless import roundrobin, staticrr
from trilb.base.address import Address, Family
from trilb.base.clock import Clock
from trilb.base.diagnostic import NOWHERE
from trilb.config.lines import ServerLine
from trilb.config.model import Proxy, Side
from trilb.config.terms import Spec
from trilb.health import states
from trilb.health.slowstart import SlowStart
from trilb.live.plan import BackendPlan
from trilb.live.proxy import Backend
from trilb.live.server import RUNNING, STARTING, Server
from trilb.net.timers import TICK, Wheel


class World:
    """A backend of two servers, one of which was down, and the time."""

    def __init__(self, algorithm: str, slowstart: float, maxconn: int = 0) -> None:
        self.now = 100.0
        self.clock = Clock(lambda: self.now)
        self.wheel = Wheel(self.clock)
        address = Address(Family.IPV4, "127.0.0.1", 1)
        lines = [
            ServerLine("s", address, NOWHERE, id=1, weight=100, slowstart=slowstart, maxconn=maxconn),
            ServerLine("o", address, NOWHERE, id=2, weight=100),
        ]
        proxy = Proxy("b", "backend", NOWHERE, Side.BACKEND, servers=lines, balance=Spec(algorithm))
        self.backend = Backend(proxy)
        self.backend.plan = BackendPlan()
        self.backend.plan.balance = {"roundrobin": roundrobin, "static-rr": staticrr}[algorithm](proxy)
        self.server: Server = self.backend.by_name["s"]
        self.server.slowstart = SlowStart(self.server, self.wheel)
        self.said: list[str] = []
        self.backend.say = lambda text, level: self.said.append(text)
        self.backend.changed()
        states.stop(self.server, self.now, "test")
        states.start(self.server, self.now, "test")

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += TICK
            self.wheel.turn()

    def picked(self) -> int:
        """How many of a thousand it is given."""
        return sum(self.backend.plan.balance.pick(None, None) is self.server for _ in range(1000))


def test_weight_grows_in_sixteenths() -> None:
    world = World("roundrobin", 4.0)
    seen = []
    for _ in range(5):
        seen.append((world.server.operation, world.server.ramp, world.server.effective))
        world.wait(1.05)
    assert seen == [(STARTING, 1, 7), (STARTING, 5, 32), (STARTING, 9, 57), (STARTING, 13, 82), (RUNNING, 16, 100)]
    assert [text.split(".")[0] for text in world.said[1:]] == ["Server b/s is UP, test", "Server b/s is UP"]


def test_balancing_follows() -> None:
    world = World("roundrobin", 4.0)
    assert 50 <= world.picked() <= 65
    world.wait(2.1)
    assert 350 <= world.picked() <= 370
    world.wait(2.1)
    assert world.picked() == 500


def test_a_fixed_weight_stays() -> None:
    world = World("static-rr", 2.0)
    assert (world.server.operation, world.server.effective, world.picked()) == (STARTING, 100, 500)
    world.wait(2.1)
    assert (world.server.operation, world.picked()) == (RUNNING, 500)


@pytest.mark.parametrize(("seconds", "limit"), [(0.0, 1), (1.1, 5), (5.1, 25), (21.0, 100)])
def test_maxconn_grows_every_second(seconds: float, limit: int) -> None:
    world = World("roundrobin", 20.0, 100)
    world.wait(seconds)
    assert world.server.limit() == limit


def test_long_ramps_have_twenty_steps() -> None:
    world = World("roundrobin", 100.0)
    weights = set()
    for _ in range(101):
        weights.add(world.server.ramp)
        world.wait(1.0)
    # Sixteenths are coarser than twentieths.
    assert weights <= set(range(1, 17))
    assert len(weights) == 16


def test_one_that_goes_down_again_begins_anew() -> None:
    world = World("roundrobin", 4.0)
    world.wait(2.1)
    states.stop(world.server, world.now, "again")
    assert world.server.effective == 0
    world.wait(5.0)
    assert world.server.operation != RUNNING
    states.start(world.server, world.now, "again")
    assert (world.server.operation, world.server.ramp) == (STARTING, 1)
