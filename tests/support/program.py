"""One load balancer process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
LANE_OFF = Path(__file__).with_name("lane-off.cfg")
TRILB = [sys.executable, "-m", "trilb"]
"""How tests start trilb to serve. TRILB_TEST_LANE=off makes all of them do so on h11 alone (`make unit-h11`)."""
if os.environ.get("TRILB_TEST_LANE") == "off":
    TRILB += ["-f", str(LANE_OFF)]
NOT_AWAITED = ("origin", "syslog", "dead")


class ProgramError(AssertionError):
    """The program did not start listening."""


def fill(config_text: str, values: Mapping[str, object]) -> str:
    """Replace each `{name}` of values; other braces (anonymous ACLs, `%{+Q}`) stay."""
    return re.sub(r"\{([A-Za-z_]\w*)\}", lambda m: str(values.get(m[1], m[0])), config_text)


def listening(port: int) -> bool:
    """Whether some socket listens on the TCP port, found out without connecting."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            text = Path(table).read_text()
        except OSError:
            continue
        if re.search(rf"^ *\d+: [0-9A-F]+:{port:04X} [0-9A-F:]+ 0A ", text, re.MULTILINE):
            return True
    return False


class Program:
    """A started load balancer; `output` is its stdout and stderr so far."""

    def __init__(self, command: Sequence[str], config_text: str, ports: Mapping[str, object], timeout: float) -> None:
        """Write the config, start `command -d -f FILE`, wait for the ports; `{dir}` is an own directory."""
        self.dir = Path(tempfile.mkdtemp(prefix="trilb-"))
        self.config = self.dir / "lb.cfg"
        self.config.write_text(fill(config_text, {"dir": self.dir, **ports}))
        self._log = (self.dir / "output").open("w+b")
        self.process = subprocess.Popen(
            [*command, "-d", "-f", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        awaited = [int(str(v)) for k, v in ports.items() if not k.startswith(NOT_AWAITED) and str(v).isdigit()]
        try:
            self._wait(awaited, timeout)
        except BaseException:
            self.stop()
            raise

    @classmethod
    def haproxy(cls, config_text: str, *, timeout: float = 30.0, **ports: object) -> Self:
        """Start HAProxy; every number but `origin*`, `syslog*` and `dead*` is a port to wait for."""
        return cls([HAPROXY or "haproxy"], config_text, ports, timeout)

    @classmethod
    def trilb(cls, config_text: str, *, timeout: float = 30.0, **ports: object) -> Self:
        """Start trilb; every number but `origin*`, `syslog*` and `dead*` is a port to wait for."""
        return cls(TRILB, config_text, ports, timeout)

    def __enter__(self) -> Self:
        """Return the program itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Stop the program."""
        self.stop()

    @property
    def output(self) -> str:
        """What the program wrote to stdout and stderr."""
        path = self.dir / "output"
        return path.read_text("latin-1") if path.exists() else self._kept

    _kept = ""

    def _wait(self, ports: Sequence[int], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        todo = list(ports)
        while todo := [port for port in todo if not listening(port)]:
            if self.process.poll() is not None:
                raise ProgramError(f"exit {self.process.returncode}: {self.output}")
            if time.monotonic() > deadline:
                raise ProgramError(f"not listening on {todo}: {self.output}")
            time.sleep(0.01)

    def stop(self, grace: float = 3.0) -> int:
        """Stop by SIGINT, after `grace` seconds by SIGKILL; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        if self.dir.exists():
            self._kept = self.output
            self._log.close()
            shutil.rmtree(self.dir, ignore_errors=True)
        return status
