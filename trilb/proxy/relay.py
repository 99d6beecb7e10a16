"""Moving bytes between two connections in one task: framed bodies, tunnels, splice. HOT for bulk.

A Flow is one direction. `step` moves what can be moved now and says whether anything moved, `more` that it stopped only
to let others go on. The session's task steps its flows and parks on both descriptors when none has more. A failure
marks the connection it happened on (`Conn.failed`), so that the caller can tell whose fault it was.
"""

from __future__ import annotations

import os

from trilb.http.framing import Body, LengthBody
from trilb.net.conn import Broken, Conn

CHUNK = 65536
"""Bytes read at once for bodies. Measured here: larger reads gain nothing on loopback and cost memory."""
_TASTE = 16384
"""Bytes read at once from a tunnel that has little to say."""
_STEPS = 16
"""Reads in one step before another session gets its turn."""
SPLICE_FROM = 65536
"""Bytes left of a body from which splicing pays for its pipe."""
_PIPE = 1 << 20
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_SPARE = 64
"""Empty pipes kept for the next body. Arbitrary: two descriptors each."""

_spare: list[tuple[int, int]] = []


def _pipe() -> tuple[int, int]:
    """An empty pipe. Raises OSError when there is no descriptor left for it."""
    return _spare.pop() if _spare else os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)


def _put_away(read: int, write: int, held: int) -> None:
    """A pipe is not needed any more; `held` bytes are in it."""
    if not held and len(_spare) < _SPARE:
        _spare.append((read, write))
    else:
        os.close(read)
        os.close(write)


class Truncated(Exception):
    """The source ended before its body did."""


class Flow:
    """One direction: from `src`, framed by `body`, to `dst`. `out` is what `dst` did not take yet."""

    __slots__ = ("body", "done", "dst", "more", "moved", "out", "src")

    def __init__(self, src: Conn, dst: Conn, body: Body, out: bytes = b"") -> None:
        self.src = src
        self.dst = dst
        self.body = body
        self.out: bytes | memoryview = out
        self.done = False
        self.more = False
        self.moved = 0

    def step(self) -> bool:
        """Move what can be moved. Raises Broken, Truncated, Refusal (a malformed chunk)."""
        src, dst, body = self.src, self.dst, self.body
        progress = self.more = False
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
            more = src.receive(CHUNK) if src.watch.ready else None
            if more is None:
                return progress
            progress = True
            if not more:
                if not body.end():
                    raise Truncated
                continue
            src.inbox = src.inbox + more if src.inbox else more
        self.more = True
        return progress

    def close(self) -> None:
        """Nothing to give back."""


class _Piped:
    """Bytes on their way through a pipe in the kernel, which never enter Python."""

    __slots__ = ("_held", "_read", "_write", "dst", "more", "moved", "src")

    def __init__(self, src: Conn, dst: Conn) -> None:
        self.src = src
        self.dst = dst
        self.more = False
        self.moved = 0
        self._held = 0
        self._read = self._write = -1

    def _open(self) -> None:
        """Get a pipe. Raises OSError."""
        self._read, self._write = _pipe()

    def _pull(self, most: int) -> int:
        """From the source into the pipe: how many bytes, 0 at the end, -1 for nothing. Raises Broken."""
        watch = self.src.watch
        if not watch.ready:
            return -1
        watch.ready = False
        try:
            got = os.splice(self.src.fd, self._write, most, flags=_FLAGS)
        except BlockingIOError:
            return -1
        except OSError as error:
            self.src.failed = True
            raise Broken(error.strerror) from None
        # A full pipe and an empty socket look alike from here.
        watch.ready = True
        self._held += got
        self.moved += got
        return got

    def _push(self) -> bool:
        """From the pipe to the destination; whether something went. Raises Broken."""
        try:
            self._held -= os.splice(self._read, self.dst.fd, self._held, flags=_FLAGS)
        except BlockingIOError:
            return False
        except OSError as error:
            self.dst.failed = True
            raise Broken(error.strerror) from None
        return True

    def close(self) -> None:
        """Give the pipe back."""
        if self._read >= 0:
            _put_away(self._read, self._write, self._held)
            self._read = self._write = -1


class Splice(_Piped):
    """One direction through a pipe, for long bodies. `left` counts down the bytes of the body."""

    __slots__ = ("done", "left", "out")

    def __init__(self, src: Conn, dst: Conn, left: int) -> None:
        super().__init__(src, dst)
        self.left = left
        self.done = left == 0
        self.out = b""
        self._open()

    def step(self) -> bool:
        """Move what can be moved. Raises Broken, Truncated."""
        progress = self.more = False
        for _ in range(_STEPS):
            if self._held:
                if not self._push():
                    return progress
                progress = True
                continue
            if not self.left:
                self.done = True
                return progress
            got = self._pull(min(self.left, _PIPE))
            if got < 0:
                return progress
            if not got:
                raise Truncated
            progress = True
            self.left -= got
        self.more = True
        return progress


class Through(_Piped):
    """One direction of a tunnel, to the end of its source: copied while there is little, spliced while there is much.

    A small message is cheaper copied, and a short read tells that there is no more (bench/micro/tunnel.py). `out` is
    what `dst` did not take yet.
    """

    __slots__ = ("_ended", "_long", "_plain", "done", "out")

    def __init__(self, src: Conn, dst: Conn, out: bytes = b"") -> None:
        super().__init__(src, dst)
        self.done = False
        self.out: bytes | memoryview = out
        self._plain = src.plain and dst.plain
        self._long = False
        self._ended = False

    def step(self) -> bool:
        """Move what can be moved. Raises Broken."""
        src, watch = self.src, self.src.watch
        progress = self.more = False
        for _ in range(_STEPS):
            if self.out:
                sent = self.dst.send(self.out)
                if not sent:
                    return progress
                progress = True
                if sent < len(self.out):
                    self.out = memoryview(self.out)[sent:]
                    return progress
                self.out = b""
            if self._held:
                if not self._push():
                    return progress
                progress = True
                if not self._held and not self._long:
                    self.close()
                continue
            if self._ended:
                self.done = True
                return progress
            if src.inbox:
                self.out, src.inbox = src.inbox, b""
                self.moved += len(self.out)
                progress = True
                continue
            if not watch.ready:
                return progress
            if self._long and self._plain:
                got = self._pull(_PIPE)
                if got < 0:
                    return progress
                self._ended, self._long = not got, got >= _TASTE
            else:
                data = src.receive(CHUNK if self._long else _TASTE)
                if data is None:
                    return progress
                self.out = data
                self.moved += len(data)
                self._ended, self._long = not data, len(data) >= _TASTE
                if self._long and self._plain:
                    self._begin()
            progress = True
        self.more = True
        return progress

    def _begin(self) -> None:
        """There is more than a message: get a pipe for it."""
        if self._read < 0:
            try:
                self._open()
            except OSError:
                # Out of descriptors: copying works all the same.
                self._plain = False


AnyFlow = Flow | Splice | Through


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
