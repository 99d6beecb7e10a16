"""Non-blocking connections: try first, say plainly what happened. HOT.

`receive` answers bytes, b"" at the end of the stream, or None when it would block; `send` answers how many bytes
went. Anything the system reports as a failure becomes Broken, with a word for the log.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from trilb.base.ip import Packed
from trilb.net.address import Sockaddr, packed
from trilb.net.poller import Poller, Tasklet, Watch

_STREAM: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
_SO_MARK: Final = getattr(socket, "SO_MARK", 36)
_TCP_REPAIR: Final = 19
"""Linux: a socket under repair closes without telling its peer."""


class Broken(Exception):
    """The connection failed: reset by the peer, or closed under us."""


class Conn:
    """A connected (or connecting) stream socket.

    `inbox` holds bytes that were read and not used yet. `reused` says that an earlier stream used it. `plain` is False
    where what is read and written is not what the socket carries, so that the kernel cannot move the bytes alone.
    `alpn` is what a TLS handshake agreed to speak. `multiplexed` is True for one stream of several on a connection:
    its `watch.hangup` means that it was given up.
    """

    plain = True
    multiplexed = False
    unserved = False
    """The server said that it did nothing of what was asked."""
    trailed = False
    """The message came in HTTP/2, and with trailers."""

    __slots__ = (
        "_poller",
        "_recv",
        "_send",
        "bound",
        "closed",
        "error",
        "failed",
        "fd",
        "gone",
        "inbox",
        "key",
        "requests",
        "reused",
        "since",
        "sock",
        "tasklet",
        "watch",
    )

    def __init__(self, sock: _socket.socket, poller: Poller) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self._poller = poller
        self._recv = sock.recv
        self._send = sock.send
        self.watch: Watch = poller.add(self.fd)
        self.bound: object = None
        self.inbox = b""
        self.reused = False
        self.closed = False
        self.failed = False
        self.error = 0
        """What went wrong before it could be used (net.errors)."""
        self.requests = 0
        self.key: object = None
        """What it was opened with; only streams that would open it the same way may use it again."""
        self.since = 0.0
        self.gone: Callable[[], None] | None = None
        """What is to happen when the peer closes it while nobody uses it."""
        self.tasklet: Tasklet | None = None
        """What the session that it belongs to runs as."""

    @property
    def alpn(self) -> bytes:
        """What a TLS handshake agreed to speak, b"" without."""
        return b""

    def receive(self, size: int = 16384) -> bytes | None:
        """Read what is there."""
        watch = self.watch
        watch.ready = False
        try:
            data = self._recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            self.failed = True
            raise Broken(error.strerror) from None
        # A short read emptied the socket; but the end of the stream may hide behind the data of one event.
        if len(data) == size or watch.hangup:
            watch.ready = True
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Write what fits."""
        try:
            return self._send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.failed = True
            raise Broken(error.strerror) from None

    def rest(self) -> None:
        """Nothing is under way: give back what only a long transfer needs."""

    def shutdown(self) -> None:
        """Tell the peer that no more will come."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EPIPE):
                raise Broken(error.strerror) from None

    def cut(self) -> None:
        """End both directions from here: whoever uses the connection finds it ended, and closes it."""
        if not self.closed:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def tcp_info(self) -> bytes | None:
        """The kernel's `struct tcp_info`, None when there is none."""
        if self.closed or self.sock.family == socket.AF_UNIX:
            return None
        try:
            return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:
            return None

    def addresses(self) -> tuple[Packed, int, Packed, int] | None:
        """Our address and port, then the peer's; None for a unix socket or one that is closed."""
        if self.closed or self.sock.family == socket.AF_UNIX:
            return None
        try:
            own, peer = self.sock.getsockname(), self.sock.getpeername()
        except OSError:
            return None
        return packed(own[0]), own[1], packed(peer[0]), peer[1]

    def set_option(self, name: str, value: int) -> None:
        """Set `mark`, `tos` or `ttl`; what the system does not allow is left."""
        if self.closed or self.sock.family == socket.AF_UNIX:
            return
        six = self.sock.family == socket.AF_INET6
        with suppress(OSError):
            if name == "mark":
                self.sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, value)
            elif name == "tos":
                level, option = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if six else (socket.IPPROTO_IP, socket.IP_TOS)
                self.sock.setsockopt(level, option, value)
            else:
                level, option = (
                    (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if six else (socket.IPPROTO_IP, socket.IP_TTL)
                )
                self.sock.setsockopt(level, option, value)

    def close(self, *, reset: bool = False) -> None:
        """Close; with `reset`, throw away what was not delivered."""
        if self.closed:
            return
        self.closed = True
        self._poller.remove(self.watch)
        if reset:
            with suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def vanish(self, ttl: int) -> None:
        """Close so that the peer does not learn of it; a `ttl` of 0 sends nothing at all where that is allowed."""
        if self.closed or self.sock.family == socket.AF_UNIX:
            self.close()
            return
        if not ttl:
            try:
                self.sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
            except OSError:
                # Not privileged: a reset that does not get past the next hop is the second best.
                ttl = 1
        if ttl:
            self.set_option("ttl", ttl)
        self.close(reset=bool(ttl))


def connect(
    family: int,
    address: Sockaddr,
    poller: Poller,
    source: tuple[str, int] | None = None,
    make: type[Conn] = Conn,
    *,
    quiet: bool = False,
) -> tuple[Conn, bool]:
    """Begin a connection; returns it and whether it is established already.

    Raises Broken when it is refused at once, or when there is no descriptor left for it. A `quiet` one lets its last
    acknowledgement wait: one that is reset at once was never seen by who accepts there.
    """
    try:
        sock = _socket.socket(family, _STREAM)
    except OSError as error:
        raise Broken(error.strerror) from None
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if quiet:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        if source is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(source)
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS, errno.EAGAIN):
            raise OSError(code, os.strerror(code))
    except OSError as error:
        sock.close()
        raise Broken(error.strerror) from None
    return make(sock, poller), code == 0


def connect_error(conn: Conn) -> int | None:
    """After a wait: 0 when the connection stands, an errno when it failed, None when it is still under way."""
    code = conn.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        return code
    try:
        conn.sock.getpeername()
    except OSError as error:
        return None if error.errno == errno.ENOTCONN else error.errno
    return 0
