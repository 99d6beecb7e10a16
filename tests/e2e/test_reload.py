"""Reload and hand-over with real processes: nobody is refused, nobody's session moves."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import TRILB, listening
from tests.support.wire import Client, exchange
from trilb.process import handover

pytestmark = pytest.mark.alone
ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
global
    stats socket {dir}/cli level admin expose-fd listeners
    hard-stop-after 3s
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain lf-string %[pid] if {{ path /pid }}
    use_backend learned if {{ path_beg /learned }}
    default_backend cookies
backend cookies
    cookie SRV insert indirect nocache
{servers}
backend learned
    balance random
    stick-table type string len 32 size 10k expire 10m
    stick on req.hdr(x-user)
{servers}
"""


@dataclass
class Running:
    """A trilb with its directory, and what it said."""

    process: subprocess.Popen[bytes]
    dir: Path
    port: int
    master: bool

    @property
    def said(self) -> str:
        return (self.dir / "output").read_text("latin-1")

    def pid(self) -> int:
        """Who serves a new connection."""
        return int(exchange(self.port, b"GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").split()[-1])


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def write(path: Path, port: int, origins: list[Origin], extra: str = "") -> None:
    """The configuration for these servers."""
    servers = "\n".join(f"    server {o.name} 127.0.0.1:{o.port} cookie {o.name}" for o in origins)
    (path / "lb.cfg").write_text(CONFIG.format(dir=path, port=port, servers=servers) + extra)


@contextmanager
def trilb(path: Path, port: int, *flags: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    """trilb in the foreground, started anew in `path`; every process of its group is ended at the end."""
    log = (path / "output").open("ab")
    process = subprocess.Popen(
        [*TRILB, *flags, "-f", str(path / "lb.cfg")],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        start_new_session=True,
    )
    running = Running(process, path, port, "-W" in flags or "-Ws" in flags)
    try:
        until(lambda: process.poll() is not None or _answers(port))
        assert process.poll() is None, running.said
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _answers(port: int) -> bool:
    if not listening(port):
        return False
    try:
        return b"200" in exchange(port, b"GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    except (OSError, AssertionError):
        return False


@pytest.fixture
def origins() -> Iterator[list[Origin]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Origin(name=f"s{n}")) for n in range(3)]


@dataclass
class Load:
    """Clients that come again and again, and note what they find wrong."""

    port: int
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def client(self, number: int) -> None:
        """One visitor: a cookie or a name that a table learned, connections of one to four requests."""
        by_cookie = number % 2 == 0
        path = b"/" if by_cookie else b"/learned"
        extra, mine = b"" if by_cookie else b"x-user: u%d\r\n" % number, b""
        visit = 0
        while not self.stop.is_set():
            visit += 1
            try:
                client = Client(self.port, timeout=8.0)
            except OSError as error:
                self.faults.append(f"client {number} was refused: {error}")
                return
            with client:
                for turn in range(1 + visit % 4):
                    try:
                        client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (path, extra))
                        answer = client.read_response()
                    except (OSError, AssertionError) as error:
                        # A kept connection may be closed while the client writes: any client then opens another.
                        if not turn:
                            self.faults.append(f"client {number}, fresh connection: {error!r}")
                        break
                    if not answer:
                        if not turn:
                            self.faults.append(f"client {number}: no answer on a fresh connection")
                        break
                    found = re.search(rb"x-server: (\S+)", answer)
                    if found is None:
                        self.faults.append(f"client {number}: {answer[:80]!r}")
                        return
                    if mine and found[1] != mine:
                        self.faults.append(f"client {number} moved from {mine!r} to {found[1]!r}")
                        return
                    mine = found[1]
                    cookie = re.search(rb"set-cookie: (SRV=\w+)", answer)
                    if cookie is not None:
                        extra = b"Cookie: %b\r\n" % cookie[1]
                    self.counts["requests"] += 1
                    if b"connection: close" in answer.lower():
                        break

    @contextmanager
    def of(self, clients: int) -> Iterator[Load]:
        """Run that many clients."""
        self.threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()
        try:
            yield self
        finally:
            self.finish()

    def finish(self) -> None:
        """Let every client end its visit."""
        self.stop.set()
        for thread in self.threads:
            thread.join(10)


def test_ten_reloads_under_load_move_nobody(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    with trilb(tmp_path, port, "-W") as running, Load(port).of(6) as load:
        seen = {running.pid()}
        for turn in range(10):
            before = load.counts["requests"]
            until(lambda before=before: load.counts["requests"] > before + 20 or bool(load.faults))  # type: ignore[misc]
            running.process.send_signal(signal.SIGUSR2 if turn % 2 else signal.SIGHUP)
            until(lambda turn=turn: running.said.count("Loading success") > turn)  # type: ignore[misc]
            seen.add(running.pid())
        until(lambda: load.counts["requests"] > 400 or bool(load.faults))
    assert load.faults == []
    assert len(seen) > 8


def test_a_broken_configuration_leaves_the_old_one_serving(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    with trilb(tmp_path, port, "-W", "-S", str(tmp_path / "master")) as running:
        pid = running.pid()
        write(tmp_path, port, origins, "    bogus keyword\n")
        running.process.send_signal(signal.SIGUSR2)
        until(lambda: "Failed to load the new configuration" in running.said)
        assert "unknown keyword 'bogus'" in running.said
        assert running.pid() == pid
        assert ask(tmp_path / "master", "reload").startswith("Success=0\n")
        assert running.pid() == pid
        write(tmp_path, port, origins)
        assert ask(tmp_path / "master", "reload").startswith("Success=1\n")
        assert running.pid() != pid


def ask(path: Path, command: str) -> str:
    """What a command socket answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(path))
        sock.sendall(command.encode() + b"\n")
        sock.shutdown(socket.SHUT_WR)
        said = b""
        while data := sock.recv(65536):
            said += data
    return said.decode()


def test_a_reload_opens_and_closes_sockets(tmp_path: Path, origins: list[Origin]) -> None:
    first, second = free_port(), free_port()
    write(tmp_path, first, origins, f"listen old\n    bind 127.0.0.1:{second}\n    http-request return status 204\n")
    third = free_port()
    with trilb(tmp_path, first, "-W", "-S", str(tmp_path / "master")):
        until(lambda: listening(second))
        write(
            tmp_path,
            first,
            origins[:2],
            f"listen new\n    bind 127.0.0.1:{third}\n    http-request return status 205\n",
        )
        assert ask(tmp_path / "master", "reload").startswith("Success=1\n")
        assert b" 205 " in exchange(third, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        until(lambda: not listening(second))
        assert "# workers" in ask(tmp_path / "master", "show proc")
        assert "# table: learned" in ask(tmp_path / "master", "@1 show table")
        assert "# table: learned" in ask(tmp_path / "cli", "show table")


def test_sf_takes_sockets_and_tables_over_without_a_master(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    with trilb(tmp_path, port, "-db") as old, Load(port).of(4) as load:
        until(lambda: load.counts["requests"] > 50 or bool(load.faults))
        with trilb(tmp_path, port, "-db", "-sf", str(old.process.pid)) as new:
            assert old.process.wait(10) == 0
            assert new.pid() == new.process.pid
            before = load.counts["requests"]
            until(lambda: load.counts["requests"] > before + 100 or bool(load.faults))
            load.finish()
    assert load.faults == []


def test_listeners_come_from_a_runtime_socket(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    with (
        trilb(tmp_path, port, "-db") as old,
        trilb(tmp_path, port, "-db", "-x", str(tmp_path / "cli"), "-st", str(old.process.pid)) as new,
    ):
        assert old.process.wait(10) in (0, 143)
        assert new.pid() == new.process.pid
    done = subprocess.run(
        [*TRILB, "-x", str(tmp_path / "nothing"), "-f", str(tmp_path / "lb.cfg")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot get listeners" in done.stderr


def test_the_service_manager_is_told(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        with trilb(tmp_path, port, "-Ws", env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as running:
            first = manager.recv(4096).decode()
            assert "READY=1" in first
            assert f"MAINPID={running.process.pid}" in first
            running.process.send_signal(signal.SIGUSR2)
            assert "RELOADING=1\nMONOTONIC_USEC=" in manager.recv(4096).decode()
            assert "READY=1" in manager.recv(4096).decode()
            running.process.send_signal(signal.SIGTERM)
            assert "STOPPING=1" in manager.recv(4096).decode()
            assert running.process.wait(10) == 143


def test_a_worker_that_dies_takes_its_master_along(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    with trilb(tmp_path, port, "-W") as running:
        os.kill(running.pid(), signal.SIGKILL)
        assert running.process.wait(10) == 137
        assert "exited with signal 9" in running.said


def test_a_worker_without_master_finishes(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    with trilb(tmp_path, port, "-W") as running:
        os.kill(running.process.pid, signal.SIGKILL)
        until(lambda: not listening(port))


def test_an_old_process_ends_hard_in_time(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    with trilb(tmp_path, port, "-db") as old, Client(port, timeout=8.0) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        old.process.send_signal(signal.SIGUSR1)
        began = time.monotonic()
        assert old.process.wait(10) == 0
        assert 2.0 < time.monotonic() - began < 8.0


def test_daemon_mode_returns_when_it_serves(tmp_path: Path, origins: list[Origin]) -> None:
    port = free_port()
    write(tmp_path, port, origins)
    command = [*TRILB, "-D", "-p", str(tmp_path / "pid"), "-f", str(tmp_path / "lb.cfg")]
    done = subprocess.run(command, cwd=ROOT, timeout=20, check=False)
    assert done.returncode == 0
    pid = int((tmp_path / "pid").read_text())
    try:
        assert _answers(port)
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists())


def test_one_that_is_told_to_stop_while_it_starts(tmp_path: Path) -> None:
    """The process before says nothing when it is asked for tables: who waits for it still ends at once, alone."""
    config = tmp_path / "lb.cfg"
    config.write_text(
        f"defaults\n mode http\nfrontend f\n bind 127.0.0.1:{free_port()}\n http-request track-sc0 src table t\n"
        "backend t\n stick-table type ip size 10 store gpc0\n"
    )
    asked = threading.Event()
    ended: list[int] = []
    clients: list[socket.socket] = []

    def predecessor(listener: socket.socket) -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            clients.append(client)
            said = b""
            while data := client.recv(4096):
                said += data
                if said == handover.LISTENERS:
                    handover.give(client, [])
                elif handover.TABLES in said:
                    asked.set()

    handler = signal.signal(signal.SIGUSR1, lambda number, _: ended.append(number))
    with handover.listen() as listener:
        listener.setblocking(True)
        threading.Thread(target=predecessor, args=(listener,), daemon=True).start()
        words = [*TRILB, "-d", "-f", str(config), "-sf", str(os.getpid())]
        process = subprocess.Popen(words, cwd=ROOT)
        try:
            assert asked.wait(30)
            begun = time.monotonic()
            process.terminate()
            assert process.wait(30) == 0
            # It would wait for five seconds.
            assert time.monotonic() - begun < 4
            assert not ended
        finally:
            process.kill()
            process.wait()
            signal.signal(signal.SIGUSR1, handler)
            for client in clients:
                client.close()
