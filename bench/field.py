"""The field: an application server, a sink for log lines, and the racers between it and the load."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import configs
from bench.programs import NGINX_STREAM, family, free_ports, start, wait_for

ORDER = ("haproxy", "nginx", "aiohttp", "trilb")
"""As they are printed; in a race they run in turn, HAProxy first and trilb last."""


@dataclass(frozen=True)
class Racer:
    """A program that runs: its processes, and its port for each endpoint it has."""

    name: str
    pids: tuple[int, ...]
    ports: dict[str, int]


class Field:
    """What is started here ends with the stack."""

    def __init__(self, stack: ExitStack, only: tuple[str, ...] = ORDER) -> None:
        self._stack = stack
        self._only = only
        self._count = 0
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trilb-bench-")))
        # nginx serves the files as another user.
        self.folder.chmod(0o755)
        (self.folder / "bulk").write_bytes(bytes(1 << 20))
        # Nobody reads from it: when it is full the kernel drops, as a slow log server would.
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stack.callback(sink.close)
        sink.bind(("127.0.0.1", 0))
        self.syslog = int(sink.getsockname()[1])
        self.app = free_ports(1)[0]
        self.application = self._run("nginx", "app", configs.APP, stack)

    def certificates(self) -> None:
        """Make one certificate for each kind of key, with its key in the same file."""
        import trustme  # Only here: races without TLS need none.

        for name, kind in (("ecdsa", trustme.KeyType.ECDSA), ("rsa", trustme.KeyType.RSA)):
            issued = trustme.CA(key_type=kind).issue_cert("localhost", "127.0.0.1", key_type=kind)
            issued.private_key_and_cert_chain_pem.write_to_path(self.folder / f"{name}.pem")

    def pair(self, text: str, stack: ExitStack | None = None) -> list[Racer]:
        """HAProxy and trilb on the same configuration."""
        return [
            self._run(name, name, text, stack or self._stack) for name in ("haproxy", "trilb") if name in self._only
        ]

    def everyone(self, text: str, stack: ExitStack | None = None) -> list[Racer]:
        """The pair, and between them nginx and, if it is installed, aiohttp."""
        stack = stack or self._stack
        racers = self.pair(text, stack)
        if "nginx" in self._only:
            racers.append(self._run("nginx", "nginx", configs.nginx(NGINX_STREAM), stack))
        if "aiohttp" in self._only and importlib.util.find_spec("aiohttp") is not None:
            racers.append(self._aiohttp(stack))
        return sorted(racers, key=lambda racer: ORDER.index(racer.name))

    def _run(self, program: str, name: str, text: str, stack: ExitStack) -> Racer:
        names = [word for word in configs.ENDPOINTS if f"{{{word}}}" in text]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._count += 1
        me = f"{name}-{self._count}"
        file = self.folder / f"{me}.cfg"
        file.write_text(text.format(dir=self.folder, me=me, app=self.app, syslog=self.syslog, **ports))
        command = {
            "haproxy": ["haproxy", "-db", "-f", str(file)],
            "trilb": [sys.executable, "-m", "trilb", "-d", "-f", str(file)],
            "nginx": ["nginx", "-c", str(file), "-p", str(self.folder)],
        }[program]
        return self._started(name, command, ports or {"app": self.app}, stack)

    def _aiohttp(self, stack: ExitStack) -> Racer:
        ports = {"web": free_ports(1)[0]}
        command = [sys.executable, "-m", "bench.aioproxy", str(ports["web"]), str(self.app), str(self.syslog)]
        return self._started("aiohttp", command, ports, stack)

    def _started(self, name: str, command: list[str], ports: dict[str, int], stack: ExitStack) -> Racer:
        said = self.folder / f"{name}.said"
        program = start(stack, command, said)
        try:
            for port in ports.values():
                wait_for(port, program)
        except SystemExit as error:
            raise SystemExit(f"{name} did not start: {error}\n{said.read_text(errors='replace')}") from None
        return Racer(name, tuple(family(program.pid)), ports)


def some(words: str) -> tuple[str, ...]:
    """The racers named, with commas between them; all if there is none. Raises ValueError."""
    named = tuple(word.strip() for word in words.split(",")) if words else ORDER
    for name in named:
        if name not in ORDER:
            raise ValueError(f"nobody is called '{name}'; there are {', '.join(ORDER)}")
    return named


def missing() -> list[str]:
    """Programs without which nothing runs."""
    return [program for program in ("haproxy", "nginx", "wrk") if shutil.which(program) is None]
