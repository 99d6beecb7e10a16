"""One command over a runtime socket."""

from __future__ import annotations

import socket
from pathlib import Path


def command(path: Path | str, text: str, *, timeout: float = 5.0) -> str:
    """Send a line without prompt mode and return what is answered, without the empty line at its end."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(str(path))
        sock.sendall(text.encode() + b"\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return answer.decode("latin-1").rstrip("\n")
