"""States of servers from a file that `show servers state` wrote: what is read, and what of it is taken over. Pure.

What the configuration says wins: a weight is taken over where the configured one is the same, an address only where the
configuration has a name, maintenance that the configuration had ordered ends with the order (configuration.txt,
`load-server-state-from-file`; observed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trilb.base import ip
from trilb.base.diagnostic import Place, Refused
from trilb.base.units import saturated
from trilb.health import states
from trilb.health.saved import FIELDS, STATUSES
from trilb.live.server import CMAINT, FDRAIN, FMAINT, MAINT, RUNNING, STOPPED, STOPPING, Server

_CAUSE = "changed from server-state after a reload"
_RANGES: dict[str, tuple[int, str]] = {
    "srv_op_state": (3, "srv_op_state"),
    "srv_admin_state": (127, "srv_admin_state"),
    "srv_uweight": (256, "srv_uweight"),
    "srv_iweight": (256, "srv_iweight"),
    "srv_time_since_last_change": (2**31 - 1, "srv_last_time_change"),
    "srv_check_status": (len(STATUSES) - 1, "srv_check_status"),
    "srv_check_result": (4, "srv_check_result"),
    "srv_check_state": (15, "srv_check_state"),
    "srv_agent_state": (31, "srv_agent_state"),
    "srv_port": (65535, "srv_port"),
}
"""The most a field may be, and what HAProxy calls it in warnings."""


@dataclass(slots=True)
class Row:
    """A line of the file."""

    place: Place
    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def number(self, name: str) -> int:
        """A field that has been checked."""
        return int(self.values[name])

    @property
    def address(self) -> str:
        """The IP address, "" if there is none."""
        text = self.values["srv_addr"]
        return text if ip.is_literal(text) else ""


def read(text: str, file: str) -> tuple[list[Row], list[Place]]:
    """The lines of a file of version 1, and those that are not whole. Raises Refused for any other version."""
    lines = text.split("\n")
    if lines[0] != "1":
        raise Refused("version")
    rows: list[Row] = []
    broken: list[Place] = []
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = Place(file, number)
        # The last line ends in a line feed too: one that does not may be cut anywhere.
        if len(words) < len(FIELDS) or number == len(lines):
            broken.append(place)
        else:
            rows.append(Row(place, dict(zip(FIELDS, words, strict=False))))
    return rows, broken


def judge(row: Row) -> str:
    """What is wrong with its values, "" if nothing is."""
    wrong = []
    for name, (most, told) in _RANGES.items():
        text = row[name]
        value = saturated(text) if text.isdecimal() else -1
        both = name == "srv_admin_state" and value & FMAINT and value & FDRAIN
        if not 0 <= value <= most or both:
            wrong.append(f"invalid {told} value '{text}'")
    return ", ".join(wrong)


def apply(server: Server, row: Row, now: float) -> None:
    """Put a server into the state that a line tells; the line has been judged."""
    if row.number("srv_iweight") == server.initial:
        server.weight = row.number("srv_uweight")
    _elsewhere(server, row)
    admin = row.number("srv_admin_state")
    operation = row.number("srv_op_state")
    forced = admin & FMAINT and not admin & CMAINT
    if operation == STOPPED and admin & MAINT and not forced:
        # It was down for a reason that is gone, or comes back by itself.
        operation = RUNNING
    if server.check is not None:
        server.check.status = STATUSES[row.number("srv_check_status")]
        server.check.result = row.number("srv_check_result")
    if admin & CMAINT and not admin & FMAINT and server.admin & CMAINT:
        # Somebody enabled it, whatever the configuration says.
        server.admin &= ~FMAINT
        if not server.admin & MAINT:
            server.operation = RUNNING
    if row.number("srv_op_state") == RUNNING or (operation == RUNNING and not server.admin & MAINT):
        server.health.health = server.health.top
    if not server.admin & MAINT:
        if operation == STOPPED:
            server.health.health = 0
            if server.track is None or forced:
                states.stop(server, now, _CAUSE)
        elif operation == STOPPING and server.track is None:
            states.retire(server, now, _CAUSE)
    if forced:
        server.admin |= FMAINT
        server.health.paused = server.health.paused or server.check is not None
    if admin & FDRAIN:
        server.admin |= FDRAIN
    states.reweigh(server, server.weight, now)
    server.last_change = now - row.number("srv_time_since_last_change")


def _elsewhere(server: Server, row: Row) -> None:
    """Ports and addresses."""
    port = row.number("srv_port")
    if server.port_offset is not None:
        server.port_offset = port
    elif isinstance(server.address, tuple):
        server.address = (server.address[0], port)
        server.port = port
    check = server.check
    if check is not None:
        check.port = _port(row["srv_check_port"]) or check.port
        if ip.is_literal(row["srv_check_addr"]):
            check.address = row["srv_check_addr"]
    agent = server.agent
    if agent is not None:
        agent.port = _port(row["srv_agent_port"]) or agent.port
        if ip.is_literal(row["srv_agent_addr"]):
            agent.address = row["srv_agent_addr"]
    if server.line.ssl_said and row["srv_use_ssl"] in ("0", "1"):
        server.line.ssl = row["srv_use_ssl"] == "1"


def _port(text: str) -> int:
    """A port, 0 for none and for what is none."""
    return saturated(text) & 0xFFFF if text.isdecimal() else 0
