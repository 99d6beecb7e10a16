"""Where log lines go besides UDP: our own streams, descriptors, unix sockets; several at once."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.syslog import Syslog
from tests.support.wire import exchange

CONFIG = """
global
    log udp@127.0.0.1:{syslog} format raw local0
defaults
    mode http
    log global
    log-format "%HU"
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen a
    bind 127.0.0.1:{port}
    log stdout format short daemon
    log fd@2 format raw daemon err
    log stderr len 80 format raw daemon info
    log {path} format priority local7
    log 127.0.0.1:{syslog} format raw local0 notice
    http-request set-log-level err if { path /err }
    http-request deny
"""


def test_targets(tmp_path: Path) -> None:
    """One line to many targets, each with its format, length and level."""
    path = tmp_path / "log"
    with (
        Syslog() as syslog,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix,
    ):
        unix.bind(str(path))
        unix.settimeout(5.0)
        port = free_port()
        with Program.trilb(CONFIG, port=port, syslog=syslog.port, path=path) as program:
            exchange(port, b"GET /" + b"u" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            exchange(port, b"GET /err HTTP/1.1\r\nHost: a\r\n\r\n")
            long = "/" + "u" * 100
            assert [unix.recv(2000).decode() for _ in range(2)] == [f"<190>{long}\n", "<187>/err\n"]
            assert syslog.take(3) == [f"{long}\n", "/err\n", "/err\n"]
            time.sleep(0.05)
            lines = [line for line in program.output.splitlines() if "/" in line]
            assert lines == [f"<6>{long}", long[:80], "<3>/err", "/err", "/err"]
