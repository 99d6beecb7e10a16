"""From one process to the next: listening sockets, and the way for stick tables.

A process that serves listens on an abstract unix socket that only processes of the same user (or root) may use. The
next one connects to it and asks: first for listeners, which come as descriptors with their keys, then for tables; from
there on the connection is a peers session. `-x` asks for listeners alone, over a `stats socket` with `expose-fd`.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgpack

from trilb.base.address import Address
from trilb.base.diagnostic import Refused
from trilb.config.lines import Bind

LISTENERS, TABLES, CALLER = b"listeners\n", b"tables\n", b"caller "
FDS_AT_ONCE = 200
_HEADER = struct.Struct("!II")
"""Bytes of what follows, descriptors that come with it."""
_WAIT = 5.0
_LARGEST = 1 << 22
GETSOCKS = "_getsocks"
"""The command of the runtime socket that answers with the listeners."""


def name_of(pid: int) -> str:
    """The abstract socket of a process."""
    return f"\0trilb-handover-{pid}"


def key_of(address: Address, bind: Bind) -> str:
    """What makes two listening sockets the same: address and the options that cannot be changed later."""
    options = f"{bind.interface}|{bind.v6only}|{bind.v4v6}|{bind.transparent}"
    return f"{address.family.value}|{address.host}|{address.port}|{options}"


@dataclass(slots=True)
class Inheritance:
    """What the process before left: sockets by key, and the connection to it."""

    sockets: dict[str, list[socket.socket]] = field(default_factory=dict)
    line: socket.socket | None = None

    def take(self, key: str) -> socket.socket | None:
        """A listening socket of that key, if one is left."""
        left = self.sockets.get(key)
        return left.pop() if left else None

    def close(self) -> None:
        """Close sockets nobody took: their addresses are not in the configuration any more."""
        for left in self.sockets.values():
            for sock in left:
                sock.close()
        self.sockets.clear()


def allowed(sock: socket.socket) -> bool:
    """Whether the other end of a unix socket runs as this user or as root."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return uid in (0, os.geteuid())


def listen() -> socket.socket:
    """This process's socket. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.bind(name_of(os.getpid()))
    sock.listen(8)
    return sock


def give(sock: socket.socket, listeners: Iterable[tuple[str, socket.socket]]) -> None:
    """Send everything over a blocking socket. Raises OSError when the other end has gone."""
    every = list(listeners)
    parts = [every[at : at + FDS_AT_ONCE] for at in range(0, len(every), FDS_AT_ONCE)] or [[]]
    for number, part in enumerate(parts):
        body: bytes = msgpack.packb(([key for key, _ in part], number + 1 < len(parts)))
        fds = array.array("i", [each.fileno() for _, each in part])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
        sock.sendmsg([_HEADER.pack(len(body), len(fds))], ancillary)
        sock.sendall(body)


def _receive(sock: socket.socket) -> Inheritance:
    found = Inheritance()
    more = True
    while more:
        fds: array.array[int] = array.array("i")
        head, ancillary, _, _ = sock.recvmsg(_HEADER.size, socket.CMSG_SPACE(FDS_AT_ONCE * fds.itemsize))
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        sockets = [socket.socket(fileno=fd) for fd in fds]
        try:
            size, count = _HEADER.unpack(head)
            if size > _LARGEST or count != len(sockets):
                raise ValueError
            body = b""
            while len(body) < size:
                data = sock.recv(size - len(body))
                if not data:
                    raise ValueError
                body += data
            keys, more = msgpack.unpackb(body)
        except (ValueError, struct.error, msgpack.UnpackException):
            for each in sockets:
                each.close()
            found.close()
            raise Refused("the other process does not hand its listeners over as trilb does") from None
        for key, each in zip(keys, sockets, strict=True):
            each.setblocking(False)
            found.sockets.setdefault(key, []).append(each)
    return found


def inherit(pids: Iterable[int], *, tables_only: bool = False) -> Inheritance:
    """Ask the processes that this one replaces; nothing when none of them is a trilb that answers."""
    for pid in pids:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(_WAIT)
        try:
            line.connect(name_of(pid))
            found = Inheritance()
            if not tables_only:
                line.sendall(LISTENERS)
                found = _receive(line)
        except (OSError, Refused):
            line.close()
            continue
        found.line = line
        return found
    return Inheritance()


def inherit_from(path: str) -> Inheritance:
    """`-x`: ask a runtime socket for its process's listeners. Raises Refused."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_WAIT)
        try:
            sock.connect(path)
            sock.sendall(GETSOCKS.encode() + b"\n")
            return _receive(sock)
        except OSError as error:
            why = error.strerror or error
            raise Refused(f"-x {path}: cannot get listeners ({why}); is it a runtime socket?") from None
        except Refused as refused:
            text = f"-x {path}: {refused.text}; has its 'stats socket' the option 'expose-fd listeners'?"
            raise Refused(text) from None


def introduce(level: str, mode: str, severity: str, flags: str) -> bytes:
    """What a master says before a client of its own talks to this process: the client's level and how he is answered.

    What follows is a conversation as on the runtime socket; `flags` are of `e` (expert), `x` (experimental), `t`
    (the time in the prompt), `-` for none.
    """
    return CALLER + f"{level} {mode} {severity} {flags or '-'}\n".encode()
