"""Machines as network namespaces on one switch, gone without a trace at the end."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

_PR_SET_CHILD_SUBREAPER = 36


def require() -> None:
    """Skip where namespaces cannot be made or a program is missing; with CI=true fail."""
    missing = [program for program in ("ip", "keepalived", "curl") if shutil.which(program) is None]
    reason = f"not installed: {', '.join(missing)}" if missing else "not root" if os.geteuid() else ""
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def ip(*words: str) -> None:
    """Run `ip`; raises CalledProcessError."""
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


class Network:
    """A switch and the machines on it, each with an `eth0`."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Who outlives his parent is inherited by this process, so that it can wait for his end.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.machines: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def add(self, machine: str, *addresses: str) -> None:
        """A machine with its addresses, as in 10.0.0.1/24."""
        space, port = self.space(machine), f"p{len(self.machines)}"
        ip("netns", "add", space)
        self.machines.append(machine)
        switch = self.space("switch")
        ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("-n", switch, "link", "set", port, "master", "br0", "up")
        ip("-n", space, "link", "set", "lo", "up")
        for address in addresses:
            ip("-n", space, "address", "add", address, "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")

    def cut(self, machine: str) -> None:
        """Pull the machine's plug out of the switch."""
        ip("-n", self.space("switch"), "link", "set", f"p{self.machines.index(machine)}", "down")

    def plug(self, machine: str) -> None:
        """And back in."""
        ip("-n", self.space("switch"), "link", "set", f"p{self.machines.index(machine)}", "up")

    def space(self, machine: str) -> str:
        """The namespace of a machine."""
        return f"{self.name}-{machine}"

    def start(
        self, machine: str, command: Sequence[str], log: Path, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Run a program on a machine, in a group of its own."""
        out: IO[bytes] = log.open("ab")
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.space(machine), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        out.close()
        self.processes.append(process)
        return process

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """End a program and all it started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def close(self) -> None:
        """End everything, remove everything."""
        for process in self.processes:
            self.kill(process)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        for machine in [*self.machines, "switch"]:
            subprocess.run(["ip", "netns", "del", self.space(machine)], check=False, capture_output=True, timeout=20)


@contextmanager
def network() -> Iterator[Network]:
    """A switch without machines."""
    made = Network(f"tl{os.getpid()}")
    ip("netns", "add", made.space("switch"))
    try:
        ip("-n", made.space("switch"), "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        ip("-n", made.space("switch"), "link", "set", "br0", "up")
        yield made
    finally:
        made.close()
