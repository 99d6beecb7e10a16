"""Moving bytes between two connections in one task: framed bodies, tunnels, splice. HOT for bulk.

A Flow is one direction. `step` moves what can be moved now and says whether anything moved; the session's task
steps its flows and parks on both descriptors when none moved. A failure marks the connection it happened on
(`Conn.failed`), so that the caller can tell whose fault it was.
"""

from __future__ import annotations

import os

from trilb.http.framing import Body, CloseBody, LengthBody
from trilb.net.conn import Broken, Conn

CHUNK = 65536
"""Bytes read at once for bodies. Measured here: larger reads gain nothing on loopback and cost memory."""
_STEPS = 16
"""Reads in one step before another session gets its turn."""
SPLICE_FROM = 65536
"""Bytes left of a body from which splicing pays for its pipe."""
_PIPE = 1 << 20
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Truncated(Exception):
    """The source ended before its body did."""


class Flow:
    """One direction: from `src`, framed by `body`, to `dst`. `out` is what `dst` did not take yet."""

    __slots__ = ("body", "done", "dst", "moved", "out", "src")

    def __init__(self, src: Conn, dst: Conn, body: Body, out: bytes = b"") -> None:
        self.src = src
        self.dst = dst
        self.body = body
        self.out: bytes | memoryview = out
        self.done = False
        self.moved = 0

    def step(self) -> bool:
        """Move what can be moved. Raises Broken, Truncated, Refusal (a malformed chunk)."""
        src, dst, body = self.src, self.dst, self.body
        progress = False
        for _ in range(_STEPS):
            if self.out:
                sent = dst.send(self.out)
                if not sent:
                    return progress
                progress = True
                if sent < len(self.out):
                    self.out = memoryview(self.out)[sent:]
                    return progress
                self.out = b""
            if body.done:
                self.done = True
                return progress
            data = src.inbox
            if data:
                payload, used = body.feed(data)
                src.inbox = data[used:] if used < len(data) else b""
                if used:
                    progress = True
                    self.moved += used
                    self.out = payload
                    continue
            more = src.receive(CHUNK)
            if more is None:
                return progress
            progress = True
            if not more:
                if not body.end():
                    raise Truncated
                continue
            src.inbox = src.inbox + more if src.inbox else more
        return progress

    def close(self) -> None:
        """Nothing to give back."""


class Splice:
    """One direction through a pipe in the kernel, for long bodies and tunnels; bytes never enter Python.

    `left` counts down the bytes of the body, -1 for all until the end.
    """

    __slots__ = ("_held", "_read", "_write", "done", "dst", "left", "moved", "out", "src")

    def __init__(self, src: Conn, dst: Conn, left: int) -> None:
        self.src = src
        self.dst = dst
        self.left = left
        self.done = left == 0
        self.moved = 0
        self.out = b""
        self._held = 0
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def step(self) -> bool:
        """Move what can be moved. Raises Broken, Truncated."""
        progress = False
        for _ in range(_STEPS):
            if self._held:
                try:
                    sent = os.splice(self._read, self.dst.fd, self._held, flags=_FLAGS)
                except BlockingIOError:
                    return progress
                except OSError as error:
                    self.dst.failed = True
                    raise Broken(error.strerror) from None
                self._held -= sent
                progress = True
                continue
            if not self.left:
                self.done = True
                return progress
            try:
                got = os.splice(
                    self.src.fd, self._write, _PIPE if self.left < 0 else min(self.left, _PIPE), flags=_FLAGS
                )
            except BlockingIOError:
                return progress
            except OSError as error:
                self.src.failed = True
                raise Broken(error.strerror) from None
            if not got:
                if self.left > 0:
                    raise Truncated
                self.left = 0
                continue
            progress = True
            self._held += got
            self.moved += got
            if self.left > 0:
                self.left -= got
        return progress

    def close(self) -> None:
        """Give the pipe back."""
        if self._read >= 0:
            os.close(self._read)
            os.close(self._write)
            self._read = self._write = -1


AnyFlow = Flow | Splice


def flow(src: Conn, dst: Conn, body: Body, out: bytes) -> AnyFlow:
    """The way to move a body: spliced when it is long and nothing of it must be looked at."""
    long = isinstance(body, LengthBody) and body.left >= SPLICE_FROM
    if long and not out and not src.inbox and src.plain and dst.plain:
        try:
            return Splice(src, dst, body.left)  # type: ignore[union-attr]
        except OSError:
            # Out of descriptors: copying works all the same.
            pass
    return Flow(src, dst, body, out)


def tunnel(src: Conn, dst: Conn, out: bytes = b"") -> Flow:
    """A direction that runs until its source ends."""
    return Flow(src, dst, CloseBody(), out)
