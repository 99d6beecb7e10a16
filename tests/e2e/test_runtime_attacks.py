"""Clients of the runtime socket who mean ill: traffic goes on, memory stays, whoever behaves is served."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.wire import exchange

CONFIG = """
global
    stats socket {dir}/admin mode 600 level admin
    stats socket 127.0.0.1:{cli} level admin
    stats timeout 2s
    stats maxconn 5
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend fe
    bind 127.0.0.1:{port}
    http-request set-header x-map %[path,map({dir}/big.map,none)]
    default_backend web
backend web
    server one 127.0.0.1:{origin}
"""
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
ENTRIES = 30_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, int, int]]:
    folder = tmp_path_factory.mktemp("map")
    (folder / "big.map").write_text("".join(f"/path/number/{n} value-{n}\n" for n in range(ENTRIES)))
    port, cli = free_port(), free_port()
    config = CONFIG.replace("{dir}/big.map", str(folder / "big.map"))
    with Origin(name="one") as one, Program.trilb(config, port=port, cli=cli, origin=one.port) as program:
        yield program, port, cli


def memory(program: Program) -> int:
    """Kilobytes that are in memory."""
    text = Path(f"/proc/{program.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")))


def connect(program: Program) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(8)
    sock.connect(str(program.dir / "admin"))
    return sock


def ask(program: Program, text: str) -> bytes:
    with connect(program) as sock:
        sock.sendall(text.encode())
        said = b""
        while data := sock.recv(65536):
            said += data
        return said


def good(port: int) -> bool:
    return exchange(port, GET).startswith(b"HTTP/1.1 200")


def send(sock: socket.socket, data: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        sock.sendall(data)


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 4096,
        b"x" * (1 << 20),
        b"x" * (1 << 20) + b"\n",
        b"prompt\n" + b"show stat;" * 1000 + b"x" * (1 << 20),
        b"add map x <<\n" + b"key value\n" * 200_000,
        b"prompt\nadd map x <<END\n" + b"\n" * (1 << 20),
        b"prompt\n" + b";" * 16000 + b"\n",
        b"prompt\n" + b"\n" * 5000,
        b"\\" * 16000 + b"\n" + b";\\" * 5000 + b"\n",
    ],
    ids=["bytes", "no end", "long line", "pipelined", "payload", "empty lines", "commands", "nothing", "backslashes"],
)
def test_garbage_is_bounded(served: tuple[Program, int, int], data: bytes) -> None:
    program, port, _ = served
    good(port)
    before = memory(program)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(program)) for _ in range(4)]
        for client in clients:
            client.settimeout(0.3)
            send(client, data)
        assert good(port)
        assert memory(program) - before < 20_000
    assert ask(program, "show cli level\n") == b"admin\n\n"


def test_a_thousand_clients_wait_outside(served: tuple[Program, int, int]) -> None:
    """They are not accepted before there is a place, and let go when they say nothing: `stats maxconn`, `timeout`."""
    program, port, cli = served
    before = memory(program)
    with ExitStack() as stack:
        for _ in range(1000):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect(("127.0.0.1", cli))
        assert all(good(port) for _ in range(5))
        held = len(list(Path(f"/proc/{program.process.pid}/fd").iterdir()))
        assert held < 100
        assert memory(program) - before < 10_000
    deadline = time.monotonic() + 20
    while True:
        with suppress(OSError):
            if ask(program, "show cli level\n") == b"admin\n\n":
                break
        assert time.monotonic() < deadline


def test_who_never_reads_is_let_go(served: tuple[Program, int, int]) -> None:
    """A long answer is made as it is taken: it does not pile up, and who does not take it loses his place."""
    program, port, _ = served
    dump = "show map #0;" * 20
    name = ask(program, "show map\n").decode().split("\n")[1].split(" ")[0]
    before = memory(program)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(program)) for _ in range(5)]
        for client in clients:
            send(client, dump.replace("#0", f"#{name}").encode() + b"\n")
        assert all(good(port) for _ in range(5))
        assert memory(program) - before < 20_000
        # All five places are taken; they are free again after `stats timeout`.
        assert ask(program, "show cli level\n") == b"admin\n\n"


def test_traffic_goes_on_during_a_long_dump(served: tuple[Program, int, int]) -> None:
    program, port, _ = served
    name = ask(program, "show map\n").decode().split("\n")[1].split(" ")[0]
    with connect(program) as client:
        client.sendall(f"{f'show map #{name};' * 30}\n".encode())
        served_meanwhile = 0
        size = 0
        client.setblocking(False)
        while True:
            try:
                data = client.recv(1 << 20)
                size += len(data)
                if not data:
                    break
            except BlockingIOError:
                served_meanwhile += good(port)
    assert size > 30 * ENTRIES * 20
    assert served_meanwhile >= 3


def test_what_changes_during_a_dump_does_no_harm(served: tuple[Program, int, int]) -> None:
    """Entries go and come while they are shown: each line is whole, and the connection ends well."""
    program, _, _ = served
    name = ask(program, "show map\n").decode().split("\n")[1].split(" ")[0]
    with connect(program) as client:
        client.sendall(f"show map #{name}\n".encode())
        text = client.recv(1000)
        for number in range(50):
            ask(program, f"del map #{name} /path/number/{number * 500}\n")
            ask(program, f"add map #{name} /new/{number} x\n")
        ask(program, f"clear map #{name}\n")
        while data := client.recv(65536):
            text += data
    lines = text.decode().splitlines()
    assert lines[-1] == ""
    assert all(line.startswith("0x") and line.count(" ") == 2 for line in lines[:-1])
    assert "Faults" not in program.output and "Traceback" not in program.output
