"""Where log lines leave: UDP, unix datagrams, standard output. Never blocks or raises, counts drops. HOT."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from trilb.base.address import Address, Family
from trilb.base.diagnostic import Refused
from trilb.config.log_lines import LogTarget
from trilb.logs.format import Envelope, envelope
from trilb.net.address import resolve


class Channel:
    """One datagram socket or descriptor; shared by all targets of the same address."""

    __slots__ = ("_address", "_connected", "_fd", "_sock", "dropped")

    def __init__(self, address: Address | None, stream: str) -> None:
        """Open it. Raises Refused when the address cannot be used at all; a missing /dev/log is no error."""
        self.dropped = 0
        self._sock: socket.socket | None = None
        self._fd = -1
        self._connected = False
        self._address: tuple[str, int] | tuple[str, int, int, int] | str = ""
        if stream:
            self._fd = 1 if stream == "stdout" else 2
            return
        assert address is not None
        if address.family is Family.FD:
            self._fd = int(address.host)
            return
        family, self._address = resolve(address)
        self._sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._connect()

    def _connect(self) -> None:
        """Fix the address, so that the kernel need not look for the way anew for every line (bench/micro/syslog.py).

        Not a path: who listens there may be replaced by another one.
        """
        assert self._sock is not None
        self._connected = False
        if self._sock.family != socket.AF_UNIX:
            with suppress(OSError):
                self._sock.connect(self._address)
                self._connected = True

    def send(self, data: bytes) -> None:
        """Send or drop."""
        try:
            if self._connected:
                assert self._sock is not None
                self._sock.send(data)
            elif self._sock is not None:
                self._sock.sendto(data, self._address)
            else:
                os.write(self._fd, data)
        except BlockingIOError:
            self.dropped += 1
        except OSError:
            self._again(data)

    def _again(self, data: bytes) -> None:
        """Once more: what failed may be an earlier line, which nobody took, or the way there has changed."""
        try:
            if self._sock is None:
                raise OSError
            self._connect()
            self._sock.sendto(data, self._address)
        except OSError:
            self.dropped += 1

    def close(self) -> None:
        """Close the socket."""
        if self._sock is not None:
            self._sock.close()


class Sink:
    """A `log` line at work: filters by level, wraps, sends."""

    __slots__ = ("_channel", "_count", "_envelope", "_level", "_sample")

    def __init__(self, target: LogTarget, channel: Channel, tag: str, hostname: str, pid: int) -> None:
        self._channel = channel
        self._envelope: Envelope = envelope(target, tag, hostname, pid)
        self._level = target.level
        self._sample = target.sample
        self._count = 0

    def write(self, line: bytes, level: int, wall: float, data: bytes = b"") -> None:
        """Send a line of a syslog level (0 emerg to 7 debug), unless the target does not want it.

        `data` is the structured data that RFC 5424 has a place for.
        """
        if level <= self._level:
            if self._sample is not None:
                chosen, size = self._sample
                self._count = self._count % size + 1
                if self._count not in chosen:
                    return
            self._channel.send(self._envelope(line, level, wall, data))


class Channels:
    """The open channels of a process, by address."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Channel] = {}

    def get(self, target: LogTarget) -> Channel:
        """The channel of a target. Raises Refused."""
        key = (str(target.address), target.stream)
        if key not in self._open:
            try:
                self._open[key] = Channel(target.address, target.stream)
            except OSError as error:
                raise Refused(f"cannot open log target '{target.address}' : {error.strerror}") from None
        return self._open[key]

    @property
    def dropped(self) -> int:
        """Lines that found no room, or nobody who takes them."""
        return sum(channel.dropped for channel in self._open.values())

    def close(self) -> None:
        """Close them all."""
        for channel in self._open.values():
            channel.close()
        self._open.clear()
