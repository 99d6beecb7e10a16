"""Telling the service manager how things are (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import os
import socket
import time


def notify(**state: str | int) -> None:
    """Send `NAME=VALUE` lines; without a service manager nothing happens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    text = "\n".join(f"{name}={value}" for name, value in state.items())
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(text.encode(), address)
        except OSError:
            # Nobody listens: the process goes on without being watched.
            return


def reloading() -> None:
    """A reload begins; systemd wants to know when."""
    notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000, STATUS="Reloading Configuration.")
