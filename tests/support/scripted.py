"""Servers that follow a script, many at once: what checks are tried on."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

Script = tuple[bytes | int | float | str, ...]
"""Bytes are sent, an int waits for so many bytes, a float for so many seconds; "head" waits for an empty line, "some"
for anything, "hold" for the end, "reset" resets the connection. After the last word the connection is closed."""

_RESET = b"\1\0\0\0\0\0\0\0"


class Scripted:
    """Listening sockets by name, each with its script; `ports` has their ports, `seen` what their first client sent."""

    def __init__(self, scripts: dict[str, Script]) -> None:
        """Listen at once; a name whose script is ("refuse",) has a port nobody listens on."""
        self.ports: dict[str, int] = {}
        self.seen: dict[str, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._open: list[socket.socket] = []
        self._stopped = False
        for name, script in scripts.items():
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            self.ports[name] = listener.getsockname()[1]
            self._open.append(listener)
            if script != ("refuse",):
                listener.listen(16)
                listener.setblocking(False)
                self._selector.register(listener, selectors.EVENT_READ, (name, script))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return the servers themselves."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Close all of them."""
        self._stopped = True
        self._thread.join()
        for each in self._open:
            each.close()
        self._selector.close()

    def _accept(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select(0.05):
                name, script = key.data
                with suppress(OSError):
                    listener = key.fileobj
                    assert isinstance(listener, socket.socket)
                    conn, _ = listener.accept()
                    threading.Thread(target=self._follow, args=(conn, name, script), daemon=True).start()

    def _follow(self, conn: socket.socket, name: str, script: Script) -> None:
        got = b""
        with conn:
            conn.settimeout(10)
            with suppress(OSError):
                for word in script:
                    if isinstance(word, bytes):
                        conn.sendall(word)
                    elif isinstance(word, float):
                        time.sleep(word)
                    elif word == "reset":
                        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    else:
                        got = self._read(conn, name, got, word)

    def _read(self, conn: socket.socket, name: str, got: bytes, word: int | str) -> bytes:
        wanted = len(got) + word if isinstance(word, int) else 0
        while True:
            if isinstance(word, int):
                if len(got) >= wanted:
                    return got
                data = conn.recv(wanted - len(got))
            else:
                if word == "head" and b"\r\n\r\n" in got:
                    return got
                data = conn.recv(65536)
            if not data:
                return got
            got += data
            self.seen[name] = max(got, self.seen.get(name, b""), key=len)
            if word == "some":
                return got
