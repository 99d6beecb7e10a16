"""The master's command socket (`-W -S`): its own commands and those of a worker, beside HAProxy's."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.duel import require_haproxy
from tests.support.ports import free_port
from tests.support.program import HAPROXY, ROOT, TRILB
from trilb.process.master import READY, READY_FD, Master

CONFIG = """
global
    stats socket {dir}/admin mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port}
    default_backend be
backend be
    server s1 127.0.0.1:1
"""


@dataclass
class Running:
    """A master with its worker."""

    dir: Path
    process: subprocess.Popen[bytes]

    def say(self, text: str, *, half: bool = True, until: str = "") -> str:
        """What is answered; without `half` the client waits for a text, or for the end."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(self.dir / "master"))
            sock.sendall(text.encode())
            if half:
                sock.shutdown(socket.SHUT_WR)
            said = b""
            with suppress(ConnectionResetError):
                while not (until and until.encode() in said) and (data := sock.recv(65536)):
                    said += data
            return said.decode()


@contextmanager
def run(command: list[str], folder: Path, options: str = "") -> Iterator[Running]:
    """A master whose first worker is there, but may not serve yet."""
    (folder / "lb.cfg").write_text(CONFIG.replace("{dir}", str(folder)).replace("{port}", str(free_port())))
    words = [*command, "-W", "-S", f"{folder}/master{options}", "-f", str(folder / "lb.cfg")]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT)
    running = Running(folder, process)
    try:
        until(lambda: (folder / "master").exists() and "worker  " in running.say("show proc\n"), running)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(true: Callable[[], bool], running: Running) -> None:
    deadline = time.monotonic() + 40
    while True:
        with suppress(OSError):
            if true():
                return
        assert time.monotonic() < deadline, (running.dir / "output").read_text()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run(TRILB, tmp_path_factory.mktemp("ours")) as running:
        yield running


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    require_haproxy()
    assert HAPROXY is not None
    with run([HAPROXY], tmp_path_factory.mktemp("theirs")) as running:
        yield running


def plain(text: str) -> str:
    """An answer without processes, versions, ages, and what `help` lists."""
    text = re.sub(r"(?m)^  [a-z@].*: .*\n", "", text)
    text = re.sub(r"\d+d\d\dh\d\dm\d\ds", "AGE", text)
    text = re.sub(r"\d+\.\d+\.\d+\S*", "VERSION", text)
    text = re.sub(r"(?m)^\d+ +(master|worker)", r"PID \1", text)
    return re.sub(r" +", " ", re.sub(r"\d{2,}(?=\(?[xed]*\)?> )", "PID", text))


TEXTS = [
    "help\n",
    "help foo\n",
    "prompt\nhelp\n",
    "show proc\n",
    "show proc debug\n",
    "show version\n",
    "show cli level\n",
    "show cli sockets\n",
    "@1 show cli level\n",
    "@1 show version\n",
    "@1 show cli level;show cli level\n",
    "@1;show cli level;show version;@;show version\n",
    "@1;show cli level;@master show version;show cli level\n",
    "@2 show version\n",
    "@!99999 show version\n",
    "@foo show version\n",
    "@1\n",
    "@\n",
    "@master\n",
    "prompt\n@1\nshow cli level\n@\nshow proc\n",
    "prompt\n@1 show cli level\n\n@1 ;show version\nfoo\n@1 foo\n",
    "show version\nshow version\n",
    "@1 show version\n@1 show version\n",
    "show version;show cli level\n",
    "prompt\nexperimental-mode on\nexpert-mode on\n@1\nexpert-mode\nexperimental-mode off\n@\n",
    "prompt\nexpert-mode on\nmcli-debug-mode on\nshow cli level\n",
    "operator;show cli level;@1 show cli level;@1 disable server be/s1\n",
    "user;show cli level;@1 show cli level;reload\n",
    "user;@1 show errors\n",
    "@1 add map x <<\na b\n\n",
    "prompt\n@1 add map x <<\na b\n\n@1 show version\n",
    "@1 disable server nope\n",
    "prompt\nprompt\nshow version\n",
    "quit\n",
    "foo;show version\n",
    "show stat\n",
    "show env\n",
    "@1 show env NOPE\n",
    "expert-mode\n",
    "show version",
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_the_same_is_answered(ours: Running, theirs: Running, text: str) -> None:
    assert plain(ours.say(text)) == plain(theirs.say(text))


def test_a_client_stays_until_he_leaves(ours: Running) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(ours.dir / "master"))
        for _ in range(3):
            sock.sendall(b"@1 show cli level\n")
            assert sock.recv(100) == b"admin\n\n"
        sock.sendall(b"quit\n")
        assert sock.recv(100) == b""


def test_a_whole_line_goes_to_a_worker(ours: Running) -> None:
    assert ours.say("@@1 show cli level;user;show cli level\n") == "admin\n\n\nuser\n\n"
    assert ours.say("@@9 show cli level\n") == "Can't find the target PID matching the prefix '@@9'\n"


def test_a_client_joined_to_a_worker(ours: Running) -> None:
    said = ours.say("prompt\n@@1\nshow cli level\nuser\nshow cli level\nquit\n")
    assert said.endswith("> admin\n\n> \n> user\n\n> master> ") or "> user\n\n" in said, said


def test_waiting_goes_on_in_a_worker(ours: Running) -> None:
    begin = time.monotonic()
    assert ours.say("@1 wait 200ms;show cli level\n") == "\nadmin\n\n"
    assert time.monotonic() - begin > 0.2


def test_the_time_in_the_prompt(ours: Running) -> None:
    said = ours.say("prompt timed\n@1\nshow cli level\n")
    assert re.fullmatch(
        r"\[0:\d\d:\d\d:\d\d\] master> \[0:\d\d:\d\d:\d\d\] \d+> admin\n\n\[0:\d\d:\d\d:\d\d\] \d+> ", said
    ), said


def test_the_level_of_the_socket(tmp_path: Path) -> None:
    with run(TRILB, tmp_path, ",level,operator,mode,640") as running:
        assert (tmp_path / "master").stat().st_mode & 0o777 == 0o640
        assert running.say("show cli level;@1 show cli level;@1 disable frontend fe\n") == (
            "operator\n\noperator\n\nPermission denied\n\n"
        )


def test_a_reload_and_what_it_says(tmp_path: Path) -> None:
    with run(TRILB, tmp_path) as running:
        pid = worker(running)
        said = running.say("reload;show version\n", half=False)
        assert said.startswith("Success=1\n--\n"), said
        assert "Loading success." in said and "3.0" not in said
        assert worker(running) != pid
        # Refused, still answered by who leaves, or cut off while he ends.
        said = running.say(f"@!{pid} show version\n")
        assert said.startswith(("Can't", "3.")) or not said
        config = tmp_path / "lb.cfg"
        good = config.read_text()
        config.write_text(good + "nonsense here\n")
        pid = worker(running)
        said = running.say("reload\n", half=False)
        assert said.startswith("Success=0\n--\n"), said
        assert re.search(r"lb.cfg:\d+.*nonsense", said), said
        assert worker(running) == pid
        assert running.say("prompt\nshow version\n").startswith("master[ReloadFailed]> ")
        assert re.search(r"(?m)^\d+ +master +2 \[failed: 1\] ", running.say("show proc\n"))
        assert "nonsense" in running.say("show startup-logs\n")
        config.write_text(good)
        assert running.say("hard-reload\n", half=False).startswith("Success=1\n--\n")
        assert worker(running) != pid
        until(lambda: "# old workers" not in running.say("show proc\n"), running)


STARTING = f"""
import os, signal, sys, time
if "-sf" not in sys.argv:
    time.sleep(0.5)
os.write(int(os.environ[{READY_FD!r}]), {READY!r})
for pid in sys.argv[2:]:
    os.kill(int(pid), signal.SIGUSR1)
time.sleep(60)
"""
"""A worker: the first one takes its time, and ends when it is told to, serving or not."""


async def test_a_reload_while_it_starts() -> None:
    """It waits for the worker that is starting, which would else end before it served, and the master with it."""
    master = Master([sys.executable, "-c", STARTING], "")
    codes: list[int] = []

    async def be_master() -> None:
        codes.append(await master.run([]))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(be_master)
            while not master.workers:
                await trio.sleep(0.001)
            assert await master.reload()
            while len(master.workers) > 1:
                await trio.sleep(0.001)
            assert not codes
            master.stopping = True
            master._send(signal.SIGTERM)
    assert codes == [0]


async def test_a_worker_that_is_being_made_when_the_master_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal went to the workers there were: this one is told when it is there."""
    make = trio.lowlevel.open_process
    master = Master([sys.executable, "-c", "import time; time.sleep(60)"], "")

    async def slowly(*words: Any, **more: Any) -> trio.Process:
        master.stopping = True
        master._send(signal.SIGTERM)
        return await make(*words, **more)

    monkeypatch.setattr(trio.lowlevel, "open_process", slowly)
    with trio.fail_after(20):
        assert await master.run([])


def test_a_process_id_that_is_none(ours: Running) -> None:
    """More digits than Python reads."""
    assert ours.say(f"@!{'9' * 5000} show version\n").startswith("Can't find the target PID")
    assert ours.process.poll() is None


def worker(running: Running) -> int:
    said = running.say("show proc\n")
    found = re.search(r"# workers\n(\d+) ", said)
    assert found is not None, said + (running.dir / "output").read_text()
    return int(found[1])
