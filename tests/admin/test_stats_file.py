"""Stats-files: what `dump stats-file` writes, `stats-file` reads."""

from __future__ import annotations

from tests.admin.test_figures import World
from trilb.admin import stats_file


def named() -> World:
    world = World()
    world.frontend.config.guid, world.listener.guid = "front", "socket-0"
    world.backend.config.guid, world.backend.servers[0].line.guid = "back", "server"
    return world


def test_there_and_back() -> None:
    before, after = named(), named()
    before.frontend.counters.stot, before.listener.counters.stot = 11, 12
    before.backend.counters.stot, before.backend.counters.conn_tot = 13, 14
    before.backend.servers[0].counters.hrsp[4] = 15
    before.backend.servers[1].counters.stot = 16
    text = before.ask("user", "dump stats-file")
    stats_file.load(after, text)
    assert after.ask("user", "dump stats-file") == text
    assert (after.frontend.counters.stot, after.listener.counters.stot) == (11, 12)
    assert (after.backend.counters.stot, after.backend.counters.conn_tot) == (13, 14)
    assert after.backend.servers[0].counters.hrsp[4] == 15
    assert after.backend.servers[1].counters.stot == 0, "it has no guid"


def test_what_is_not_understood_is_left_out() -> None:
    world = named()
    stats_file.load(
        world,
        "front,1\n"
        "#fe guid,stot,\n"
        "// note\n\n"
        "front,1024,\n"
        "front,abc,\n"
        "front,-1,\n"
        "front,99999999999999999999999,\n"
        "front\n"
        "back,7\n"
        "nobody,7\n"
        "#other guid,stot,\n"
        "front,8,\n"
        "#be name,stot,\n"
        "back,9,\n"
        "#be guid,unknown,stot,lastchg,\n"
        "back,512,1025,5,7,7\n"
        "server,512,1026,5\n",
    )
    assert world.frontend.counters.stot == 1024
    assert world.backend.counters.stot == 1025
    assert world.backend.counters.lastchg == 0.0
    assert world.backend.servers[0].counters.stot == 1026
