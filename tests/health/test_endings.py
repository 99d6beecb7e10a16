"""How checks end that do not want to, and what servers that come and go leave behind."""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import trio

from trilb.assembly import build
from trilb.base.clock import Clock
from trilb.config.conditions import Facts
from trilb.config.reader import read
from trilb.config.sources import Source
from trilb.dynamic import Dynamic
from trilb.health import states
from trilb.health.external import External
from trilb.health.run import Checks
from trilb.live.check import UNKNOWN
from trilb.live.server import Server
from trilb.net.poller import Poller
from trilb.runtime import Runtime
from trilb.vocabulary import language

CONFIG = """
global
    insecure-fork-wanted
    external-check
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
backend own
    server a 127.0.0.1:80 check
backend runs
    option external-check
    external-check command {command}
    server a 127.0.0.1:80 check inter 10s
backend waits
    timeout check 250ms
    option httpchk
    server a 127.0.0.1:80 check inter 10s
"""


def runtime(command: str = "/bin/true") -> Runtime:
    config, report = read([Source("test.cfg", CONFIG.replace("{command}", command))], language(), Facts("3.5.0", {}))
    assert not report.failed, [entry.text for entry in report.entries]
    made = build(config, Clock())
    for backend in made.backends.values():
        backend.say = lambda text, level: None
    return made


async def test_a_program_that_may_not_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that runs as somebody else takes no signals from us: that keeps nobody from ending."""
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport time\nopen({str(tmp_path / 'begun')!r}, 'w')\ntime.sleep(20)\n")
    program.chmod(0o755)
    check = runtime(str(program)).backends["runs"].servers[0].check
    assert check is not None and isinstance(check.prober, External)
    server = runtime().backends["runs"].servers[0]
    killed: list[int] = []

    def refuse(pid: int, number: int) -> NoReturn:
        killed.append(pid)
        raise PermissionError

    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            monkeypatch.setattr(os, "killpg", refuse)
            nursery.start_soon(check.prober.probe, server, check, None)
            while not (tmp_path / "begun").exists():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert killed
    os.kill(killed[0], 9)
    os.waitpid(killed[0], 0)  # noqa: ASYNC222 (it is killed)


async def test_who_waits_for_an_answer_does_nothing_meanwhile() -> None:
    """Not a round of the poller until the time is over, and then at once."""
    rounds = 0

    def now() -> float:
        nonlocal rounds
        rounds += 1
        return trio.current_time()

    backend = runtime().backends["waits"]
    server = backend.servers[0]
    assert server.check is not None
    with socket.create_server(("127.0.0.1", 0)) as silent, trio.fail_after(15):
        server.address = silent.getsockname()
        async with trio.open_nursery() as nursery:
            poller = Poller(Clock(now))
            nursery.start_soon(poller.run)
            checks = Checks(poller, nursery)
            checks.begin_all([server])
            while server.check.result == UNKNOWN:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert server.check.status == "L7TOUT"
    assert server.check.duration >= 250
    assert rounds < 30


def test_a_server_that_another_follows_stays() -> None:
    """Also where the one that follows was added later."""
    made = runtime()
    dynamic, backend = Dynamic(made), made.backends["own"]
    followed = backend.servers[0]
    assert dynamic.add_server(backend, "b", ["127.0.0.1:81", "track", "a"]) == "New server registered.\n"
    states.maintain(followed, 0.0)
    assert "other configuration elements" in dynamic.remove_server(followed)
    assert dynamic.remove_server(backend.by_name["b"]) == "Server deleted."
    assert not followed.followers
    assert dynamic.remove_server(followed) == "Server deleted."


def test_nothing_of_a_server_is_left() -> None:
    """One that is removed while it takes on its share, with all that was made for it."""
    made = runtime()
    dynamic, backend = Dynamic(made), made.backends["own"]
    words = "127.0.0.1:81 check agent-check agent-port 82 slowstart 60s ssl verify none cookie b".split()
    assert dynamic.add_server(backend, "gone", words) == "New server registered.\n"
    added = backend.by_name["gone"]
    states.resume(added, 0.0)
    states.maintain(added, 0.0)
    assert dynamic.remove_server(added) == "Server deleted."
    del added
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Server) and each.name == "gone"]
