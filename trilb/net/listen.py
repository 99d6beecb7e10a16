"""Listening sockets, names to addresses, and the failures of accept that are nobody's fault."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Protocol

from trilb.base.address import Address, Family
from trilb.base.diagnostic import Refused
from trilb.net.address import resolve

ACCEPT_GONE = frozenset((errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTDOWN, errno.ENETUNREACH))
"""The client left before it was accepted: take the next one."""
ACCEPT_FULL = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Out of descriptors or memory: wait a moment, existing sessions will end."""


class Options(Protocol):
    """What a listening socket is asked to be; a bind line has it all."""

    mode: int | None
    uid: int | None
    gid: int | None
    v6only: bool
    v4v6: bool
    interface: str
    transparent: bool


def open_listener(address: Address, bind: Options, backlog: int) -> socket.socket:
    """A listening, non-blocking socket for one address of a bind line. Raises Refused with the reason."""
    try:
        return _open(address, bind, backlog)
    except OSError as error:
        raise Refused(f"cannot bind socket ({error.strerror}) for [{address}]") from None


def _open(address: Address, bind: Options, backlog: int) -> socket.socket:
    if address.family is Family.FD:
        # The driver's sockets are bound, listening and may be named twice: duplicate, never bind again.
        sock = socket.socket(fileno=os.dup(int(address.host)))
        sock.setblocking(False)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0:
            sock.listen(backlog)
        return sock
    if address.family in (Family.UNIX, Family.ABSTRACT):
        return _open_unix(address, bind, backlog)
    six = address.family is Family.IPV6 or (address.family is Family.ANY and bind.v4v6)
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # As HAProxy: a new process may bind beside the one it replaces.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bind.v6only or not bind.v4v6))
        if bind.interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bind.interface.encode() + b"\0")
        if bind.transparent:
            sock.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
        if address.family is Family.NAME:
            _, target = resolve(address)
        else:
            target = (address.host or ("::" if six else "0.0.0.0"), address.port)
        sock.bind(target)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _open_unix(address: Address, bind: Options, backlog: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if address.family is Family.ABSTRACT:
        sock.bind(address.path)
        sock.listen(backlog)
        return sock
    path = address.host
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EEXIST, "a file of that name exists and is no socket")
        # Bind beside and rename over: whoever connects finds the old socket or the new one, never none.
        sock.bind(temporary)
        if bind.uid is not None or bind.gid is not None:
            os.chown(temporary, -1 if bind.uid is None else bind.uid, -1 if bind.gid is None else bind.gid)
        if bind.mode is not None:
            os.chmod(temporary, bind.mode)
        sock.listen(backlog)
        os.rename(temporary, path)
    except OSError:
        sock.close()
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    return sock


def address_of(sock: socket.socket) -> str:
    """Where a socket listens, as statistics write it."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return "unix"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"
