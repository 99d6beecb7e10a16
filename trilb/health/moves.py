"""A server is to be found elsewhere: another address or port. Pure but for the connections it closes."""

from __future__ import annotations

import re
import socket

from trilb.affinity import dynamic
from trilb.base import ip
from trilb.base.units import saturated
from trilb.health.states import let_go
from trilb.live.check import Check
from trilb.live.server import Opening, Server

_NUMBER = re.compile(r"[+-]?\d+\Z")


def relocate(server: Server, host: str, port: int, *, offset: bool = False) -> None:
    """Connect to another IP address or port from now on; `offset`: the port is added to the client's.

    Idle connections to the old one are closed. Those in use end with what they carry.
    """
    server.family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server.address = (host, 0 if offset else port)
    server.port_offset = port if offset else None
    server.port = 0 if offset else port
    made = server.opening
    if made is None:
        made = server.opening = Opening()
    made.epoch += 1
    made.follows = offset or server.transparent
    let_go(server)
    dynamic.settle(server)
    server.backend.renew()


def move(server: Server, host: str, port: str | None, by: str) -> str:
    """What `set server addr` wants; the answer tells what became of it, as HAProxy's does."""
    here = server.address
    if not ip.is_literal(host):
        return f"Invalid addr '{host}' by '{by}'"
    if not isinstance(here, tuple):
        if here is not None:
            return (
                f"Update for the current server address family is only supported through configuration file by '{by}'"
            )
        here = ("", server.line.address.port)
    told = f"IP changed from '{here[0]}' to '{host}'"
    if ip.packed(host) == (ip.packed(here[0]) if here[0] else b""):
        told = "no need to change the addr"
    offset = server.port_offset is not None
    number = server.port_offset if server.port_offset is not None else here[1]
    before = (offset, number)
    if port is not None:
        wanted, mapped = port, port[:1] in ("+", "-")
        if not _NUMBER.match(wanted):
            told += f", problem converting port '{port}' to an int"
        elif mapped and server.health.port == 0 and (saturated(wanted), True) != (number, offset):
            told += (
                ", can't change <port> to port map because it is incompatible with current health check port "
                "configuration (use 'port' statement from the 'server' directive."
            )
        else:
            was = f"+{number & 0xFFFF}" if offset else str(number)
            offset, number = mapped, saturated(wanted) if mapped else saturated(wanted) & 0xFFFF
            if before == (offset, number) or (before[1] == number == 0):
                offset = before[0]
                told += ", no need to change the port"
            else:
                told += f", port changed from '{was}' to '{port if mapped else number}'"
    if told.startswith("IP") or before != (offset, number):
        relocate(server, ip.text(ip.packed(host)), number, offset=offset)
    return f"{told} by '{by}'"


def check_elsewhere(check: Check, host: str | None, port: str | None) -> str:
    """What `set server check-addr` and its like want; "" or the refusal."""
    number = check.port
    if port is not None:
        if not _NUMBER.match(port):
            return "provided port is not an integer"
        number = saturated(port)
        if not 0 <= number <= 65535:
            return "provided port is invalid"
    check.port = number
    check.address = check.address if host is None else host
    return ""
