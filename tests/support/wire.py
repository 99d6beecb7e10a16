"""Raw HTTP/1 over TCP: send exact bytes, frame what comes back, never interpret more than needed."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

Response = tuple[int, list[tuple[str, str]], bytes]

_PROBE = b"GET /kept HTTP/1.1\r\nhost: kept\r\n\r\n"


class WireTimeout(AssertionError):
    """The peer neither completed its message nor closed in time."""


def _header(head: bytes, name: bytes) -> list[bytes]:
    return [v.strip() for v in re.findall(rb"(?im)^" + name + rb":([^\r\n]*)", head)]


def _chunked_end(buf: bytes, pos: int) -> int | None:
    while True:
        eol = buf.find(b"\n", pos)
        if eol < 0:
            return None
        try:
            size = int(buf[pos:eol].split(b";")[0].strip() or b"x", 16)
        except ValueError:
            return None
        pos = eol + 1
        if size == 0:
            while (eol := buf.find(b"\n", pos)) >= 0:
                line, pos = buf[pos:eol].rstrip(b"\r"), eol + 1
                if not line:
                    return pos
            return None
        pos += size
        if len(buf) < pos + 2:
            return None
        pos += 2 if buf[pos : pos + 1] == b"\r" else 1


def message_length(buf: bytes, *, method: str = "") -> int | None:
    """Length of the first complete HTTP/1 message in buf (a response to `method` if given), or None."""
    end = re.search(rb"\r?\n\r?\n", buf)
    if end is None:
        return None
    head, pos = buf[: end.end()], end.end()
    response = head.startswith(b"HTTP/")
    if response:
        status = int((re.match(rb"HTTP/\S+ +(\d{3})", head) or [b"", b"200"])[1])
        if status < 200 or status in (204, 304) or method == "HEAD":
            return pos
        if method == "CONNECT" and status < 300:
            return pos
    if any(b"chunked" in v.lower() for v in _header(head, b"transfer-encoding")):
        return _chunked_end(buf, pos)
    if lengths := _header(head, b"content-length"):
        with suppress(ValueError):
            size = int(lengths[0].split(b",")[0])
            return pos + size if len(buf) >= pos + size else None
    return None if response else pos


def split_responses(raw: bytes, methods: Sequence[str] = ()) -> Iterator[bytes]:
    """Yield each message of a response stream, the last one perhaps cut short; 1xx do not use up a method."""
    todo = list(methods)
    while raw:
        size = message_length(raw, method=todo[0] if todo else "GET") or len(raw)
        yield raw[:size]
        if not re.match(rb"HTTP/\S+ +1(?!01)\d\d", raw):
            todo = todo[1:]
        raw = raw[size:]


def request_methods(raw: bytes) -> list[str]:
    """Methods of the pipelined requests in raw, as far as they can be told apart."""
    methods = []
    while raw := raw.lstrip(b"\r\n"):
        methods.append(raw.split(b" ")[0].decode("latin-1"))
        raw = raw[message_length(raw) or len(raw) :]
    return methods


def parse_response(raw: bytes, method: str = "GET") -> Response:
    """Status, headers and (dechunked) body of the first final response in raw; ValueError if there is none."""
    for message in split_responses(raw, [method]):
        head, _, body = message.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        found = re.match(r"HTTP/\S+ (\d{3})", first)
        if found is None:
            raise ValueError(f"not a response: {raw[:200]!r}")
        status = int(found[1])
        if 100 <= status < 200 and status != 101:
            continue
        pairs = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines)]
        if ("transfer-encoding", "chunked") in [(n.lower(), v.lower()) for n, v in pairs]:
            body = _dechunk(body)
        return status, pairs, body
    raise ValueError(f"no final response: {raw[:200]!r}")


def _dechunk(body: bytes) -> bytes:
    out = b""
    while body:
        line, _, body = body.partition(b"\r\n")
        size = int(line.split(b";")[0] or b"0", 16)
        if size == 0:
            break
        out, body = out + body[:size], body[size + 2 :]
    return out


class Client:
    """One client connection speaking raw bytes."""

    def __init__(self, port: int, *, timeout: float = 5.0) -> None:
        """Connect to 127.0.0.1:port; every later wait is bounded by timeout."""
        self.timeout = timeout
        self.received = b""
        self._pending = b""
        self._sock = socket.create_connection(("127.0.0.1", port), timeout)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    @property
    def local_port(self) -> int:
        """Our source port, as the load balancer sees it."""
        return int(self._sock.getsockname()[1])

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._sock.close()

    def send(self, raw: bytes, *, half_close: bool = False) -> None:
        """Send raw; a peer that already closed is not an error."""
        with suppress(ConnectionError):
            self._sock.sendall(raw)
            if half_close:
                self._sock.shutdown(socket.SHUT_WR)

    def _more(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            raise WireTimeout(f"no end after {self.timeout}s, got {self.received!r}")
        self._sock.settimeout(left)
        try:
            data = self._sock.recv(65536)
        except TimeoutError:
            return self._more(deadline)
        except ConnectionError:
            return False
        self.received += data
        self._pending += data
        return bool(data)

    def read_all(self) -> bytes:
        """Everything not yet returned, until the peer closes."""
        deadline = time.monotonic() + self.timeout
        while self._more(deadline):
            pass
        data, self._pending = self._pending, b""
        return data

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and including mark, or up to the close."""
        deadline = time.monotonic() + self.timeout
        while mark not in self._pending and self._more(deadline):
            pass
        size = self._pending.find(mark)
        size = len(self._pending) if size < 0 else size + len(mark)
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def read_response(self, method: str = "GET") -> bytes:
        """The next final response with the 1xx before it, or what came before the close."""
        deadline = time.monotonic() + self.timeout
        done = b""
        while True:
            size = message_length(self._pending, method=method)
            if size is None:
                if self._more(deadline):
                    continue
                size = len(self._pending)
            message, self._pending = self._pending[:size], self._pending[size:]
            done += message
            if not re.match(rb"HTTP/\S+ +1(?!01)\d\d", message):
                return done

    def kept(self) -> bool:
        """Whether the peer still answers a further request on this connection."""
        self.send(_PROBE)
        return bool(self.read_response())


def exchange(
    port: int, raw: bytes, *, half_close: bool = False, until: int | bytes | None = None, timeout: float = 5.0
) -> bytes:
    """Send raw and return what came: until close, or `until` final responses, or these bytes.

    Without `until`: as many final responses as raw has requests, or the close.
    """
    with Client(port, timeout=timeout) as client:
        client.send(raw, half_close=half_close)
        if isinstance(until, bytes):
            return client.read_until(until)
        if half_close:
            return client.read_all()
        methods = request_methods(raw)
        count = len(methods) if until is None else until
        for index in range(count):
            if not client.read_response(methods[index] if index < len(methods) else "GET"):
                break
        return client.received


def exchange_all(port: int, raw: bytes, *, timeout: float = 5.0) -> bytes:
    """Send raw and return everything until the peer closes."""
    with Client(port, timeout=timeout) as client:
        client.send(raw)
        return client.read_all()
