"""Programs of the benchmarks: how they are started, waited for and ended, and what they have used so far."""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = resource.getpagesize()
NGINX_STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
"""Where Debian's libnginx-mod-stream puts nginx's TCP proxy; without it nginx stays out of the TCP races."""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """That many, all different."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def wait_for(port: int, program: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until somebody accepts there. Raises SystemExit after 10 seconds, or when the program has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if program is not None and program.poll() is not None:
                break
            time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")


def start(stack: ExitStack, command: list[str], said: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a program that ends with the stack; what it writes goes to a file, if one is given."""
    out = stack.enter_context(said.open("wb")) if said is not None else subprocess.DEVNULL
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def end() -> None:
        program.send_signal(signal.SIGTERM)
        try:
            program.wait(5)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()

    stack.callback(end)
    return program


def family(pid: int) -> list[int]:
    """A process and its children (nginx works in one)."""
    found = [pid]
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # It ended while we looked.
            if int(fields[1]) == pid:
                found.append(int(name))
    return found


def cpu_seconds(*pids: int) -> float:
    """User and system time of processes so far, in steps of 10 ms."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def _place(pids: Iterable[int], processors: set[int]) -> None:
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), processors)


@contextmanager
def apart(pids: Sequence[int], others: Sequence[int]) -> Iterator[None]:
    """Meanwhile give a program a processor of its own, and `others`, with this process, the rest of them.

    Without a second processor all stay where they are.
    """
    everywhere = os.sched_getaffinity(0)
    others = (os.getpid(), *others)
    own = {max(everywhere)}
    rest = everywhere - own
    try:
        if rest:
            _place(pids, own)
            _place(others, rest)
        yield
    finally:
        _place((*pids, *others), everywhere)


def resident(*pids: int | str) -> int:
    """Bytes of memory that processes have."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE for pid in pids)


def compiled() -> bool:
    """Are trilb's hot modules those that mypyc made (setup.py)? Imports nothing of the proxy."""
    found = importlib.util.find_spec("trilb.proxy.http1")
    return found is not None and not str(found.origin).endswith(".py")


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


def versions() -> dict[str, str]:
    """The version of each program there is."""
    found: dict[str, str] = {}
    for name, command in (
        ("haproxy", ("haproxy", "-v")),
        ("nginx", ("nginx", "-v")),
        ("h2load", ("h2load", "--version")),
    ):
        number = re.search(r"\d+\.\d+[.\d]*", _said(*command))
        if number is not None:
            found[name] = number[0]
    for name in ("trilb", "trio", "aiohttp", "pyopenssl"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """What the machine calls its processor, and how many of it the benchmark has."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return f"{len(os.sched_getaffinity(0))} x {model[1] if model else 'unknown'}"
