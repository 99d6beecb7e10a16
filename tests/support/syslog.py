"""UDP syslog sink and masking of what must differ between two runs."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.ports import free_port


class Syslog:
    """UDP socket on a free port which keeps datagrams until taken."""

    def __init__(self) -> None:
        """Bind at once."""
        self.port = free_port()
        self._sock = socket.socket(type=socket.SOCK_DGRAM)
        # A test that is slow to look must not lose lines: the system drops what does not fit.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 1 << 22)
        self._sock.bind(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        """Return the sink itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Close the socket."""
        self._sock.close()

    def take(self, n: int = 1, timeout: float = 5.0) -> list[str]:
        """Return the next n datagrams, or fail."""
        lines: list[str] = []
        deadline = time.monotonic() + timeout
        while len(lines) < n:
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                lines.append(self._sock.recv(65536).decode("latin-1"))
            except TimeoutError:
                raise AssertionError(f"{len(lines)} of {n} log lines in {timeout}s: {lines!r}") from None
        return lines

    def take_match(self, pattern: str, timeout: float = 5.0) -> str:
        """Return the next datagram in which pattern is found, dropping those before it."""
        deadline = time.monotonic() + timeout
        while True:
            line = self.take(1, max(deadline - time.monotonic(), 0.001))[0]
            if re.search(pattern, line):
                return line

    def pending(self) -> list[str]:
        """Return the datagrams that have already arrived, without waiting."""
        lines: list[str] = []
        self._sock.setblocking(False)
        while True:
            try:
                lines.append(self._sock.recv(65536).decode("latin-1"))
            except BlockingIOError:
                return lines


def mask(line: str, *, counts: bool = False) -> str:
    """Mask date, program name, pid, client port and timers (-1 stays); `counts` masks connection counts too."""
    line = line.rstrip("\n\0")
    line = re.sub(r"^(<\d+>)\w{3} [ \d]\d \d\d:\d\d:\d\d (?:\S+ )?[\w./-]+\[\d+\]:", r"\1DATE TAG[PID]:", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", line)
    line = re.sub(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d(?:\.\d+)?\]", "[DATE]", line)
    line = re.sub(r"(?<= )(?:\+?-?\d+/){1,4}\+?-?\d+(?= \d{3} | -1 | \+?\d+ )", _timers, line, count=1)
    if counts:
        line = re.sub(r"(?<= )\d+/\d+/\d+/\d+/(\+?\d+)(?= \d+/\d+)", r"C/C/C/C/\1", line, count=1)
    return line


def _timers(found: re.Match[str]) -> str:
    return re.sub(r"(?<![-\d])\d+", "N", found[0])
