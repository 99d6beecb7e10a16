"""Raw TCP origin server."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tests.support.wire import message_length

Respond = Callable[[bytes, "Origin"], bytes | None]


class Held(bytes):
    """An answer after which the origin keeps the connection open until the peer closes."""


class Kept(bytes):
    """An answer after which the origin reads the next request, whatever the answer says."""


def reply(
    body: bytes = b"ok", *, status: str = "200 OK", headers: tuple[str, ...] = (), version: str = "HTTP/1.1"
) -> bytes:
    """Build a response with content-length."""
    lines = [f"{version} {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def default_respond(request: bytes, origin: Origin) -> bytes:
    """Answer 200 with `x-server: NAME`, without body to HEAD."""
    answer = reply(origin.name.encode(), headers=(f"x-server: {origin.name}",))
    return answer[: answer.find(b"\r\n\r\n") + 4] if request.startswith(b"HEAD ") else answer


class Origin:
    """Server thread on 127.0.0.1 which records raw requests and answers what `respond` returns.

    A self-delimited answer keeps the connection (unless it says `connection: close`), any other
    closes it after the bytes, `linger` keeps it until the peer closes. 101 and 2xx to CONNECT echo.
    With `raw`, whatever one read brings is a request, and the connection stays open after its answer.
    A `Held` answer does so once (`Held(b"")` never answers), a `Kept` one is always followed by another.
    """

    def __init__(
        self,
        respond: Respond | None = None,
        *,
        name: str = "s1",
        port: int = 0,
        linger: bool = False,
        raw: bool = False,
    ) -> None:
        """Start listening at once."""
        self.respond: Respond = respond or default_respond
        self.name = name
        self.port = port or free_port()
        self.linger = linger
        self.raw = raw
        self.requests: list[bytes] = []
        self.partials: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._receiving: dict[socket.socket, bytes] = {}
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._spawn(self._accept)

    def __enter__(self) -> Self:
        """Return the origin itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Stop the origin."""
        self.stop()

    def wait(self, count: int, timeout: float = 5.0) -> list[bytes]:
        """Return the requests as soon as there are at least `count`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{self.name}: {len(self.requests)} of {count} requests: {self.requests!r}")
            return list(self.requests)

    def wait_connections(self, count: int, timeout: float = 5.0) -> None:
        """Return as soon as there were at least `count` connections."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.connections >= count, timeout):
                raise AssertionError(f"{self.name}: {self.connections} of {count} connections")

    def wait_partial(self, count: int = 1, timeout: float = 5.0) -> list[bytes]:
        """Return the requests cut short by a close as soon as there are at least `count`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.partials) >= count, timeout):
                raise AssertionError(f"{self.name}: {len(self.partials)} of {count} cut requests: {self.partials!r}")
            return list(self.partials)

    def wait_bytes(self, mark: bytes, timeout: float = 5.0) -> None:
        """Return as soon as some unfinished request contains mark."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(mark in b for b in self._receiving.values()), timeout):
                raise AssertionError(f"{self.name}: no {mark!r} in {list(self._receiving.values())!r}")

    def settle(self, timeout: float = 2.0) -> tuple[list[bytes], list[bytes]]:
        """Return (requests, partials) once something was recorded and no request is half received."""
        with self._changed:
            self._changed.wait_for(lambda: (self.requests or self.partials) and not self._receiving, timeout)
            return list(self.requests), list(self.partials)

    def clear(self) -> None:
        """Forget the recorded requests."""
        with self._changed:
            self.requests.clear()
            self.partials.clear()

    def stop(self) -> None:
        """Close every socket and join every thread; the port refuses afterwards."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(5)

    def drop(self) -> None:
        """Shut down the open connections."""
        with self._changed:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self.connections += 1
                self._open.add(sock)
                self._changed.notify_all()
            self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._converse(sock)
        with self._changed:
            self._open.discard(sock)
        sock.close()

    def _converse(self, sock: socket.socket) -> None:
        buffer = b""
        while True:
            while (size := len(buffer) or None if self.raw else message_length(buffer)) is None:
                try:
                    data = sock.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    self._record(sock, self.partials, buffer)
                    return
                buffer += data
                with self._changed:
                    self._receiving[sock] = buffer
                    self._changed.notify_all()
            request, buffer = buffer[:size], buffer[size:]
            self._record(sock, self.requests, request)
            answer = self.respond(request, self)
            if answer is None:
                return
            sock.sendall(answer)
            if self.raw:
                continue
            method = request.split(b" ")[0].decode("latin-1")
            if re.match(rb"HTTP/\S+ 101", answer) or (method == "CONNECT" and re.match(rb"HTTP/\S+ 2", answer)):
                self._echo(sock, buffer)
                return
            if self.linger or isinstance(answer, Held):
                while sock.recv(65536):
                    pass
                return
            if not isinstance(answer, Kept) and not _self_delimited(answer, method):
                return

    def _record(self, sock: socket.socket, where: list[bytes], data: bytes) -> None:
        with self._changed:
            self._receiving.pop(sock, None)
            if data:
                where.append(data)
            self._changed.notify_all()

    @staticmethod
    def _echo(sock: socket.socket, data: bytes) -> None:
        while True:
            sock.sendall(data)
            data = sock.recv(65536)
            if not data:
                return


def _self_delimited(answer: bytes, method: str) -> bool:
    while re.match(rb"HTTP/\S+ 1\d\d", answer):
        answer = answer[message_length(answer) or len(answer) :]
    head = answer.split(b"\r\n\r\n")[0]
    if re.search(rb"(?im)^connection:.*close", head):
        return False
    return message_length(answer, method=method) == len(answer)
