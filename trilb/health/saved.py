"""States of servers as lines: `show servers state`, and what is read back from such a file at start.

Version 1 of the format (management.txt, section 9.3, `show servers state`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trilb.live.check import Check
from trilb.live.proxy import Backend
from trilb.live.server import Server

FIELDS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port"
).split()
HEADER = f"1\n# {' '.join(FIELDS)}\n"
STATUSES = (
    "UNK INI START CHECKED HANA SOCKERR L4OK L4TOUT L4CON L6OK L6TOUT L6RSP L7TOUT L7RSP ? L7OK L7OKC L7STS PROCERR "
    "PROCTOUT PROCOK"
).split()
"""Codes of results by their numbers (observed)."""
_CONFIGURED, _ENABLED, _PAUSED, _AGENT = 2, 4, 8, 16
"""Bits of a check's state; 1, for one that is under way, is not told: it says nothing about the next moment."""


def rows(backends: Iterable[Backend], now: float) -> Iterator[str]:
    """A line for each server."""
    for backend in backends:
        for server in backend.servers:
            yield " ".join(_row(server, now)) + "\n"


def _row(server: Server, now: float) -> tuple[str, ...]:
    backend, line, health = server.backend, server.line, server.health
    agent = server.agent
    return (
        str(backend.config.id),
        backend.name,
        str(server.id),
        server.name,
        address_of(server) or "-",
        str(server.operation),
        str(server.admin),
        str(server.weight),
        str(server.initial),
        str(int(now - server.last_change)),
        str(STATUSES.index(health.status) if health.status in STATUSES else 0),
        str(health.result),
        str(health.health),
        str(_check_state(server)),
        str(_AGENT | _CONFIGURED | (_ENABLED if agent.enabled else 0) if agent is not None else 0),
        str(int(backend.config.forced_id)),
        str(int(line.forced_id)),
        server.fqdn or "-",
        str(port_of(server)),
        server.srv_record or "-",
        str(1 if line.ssl else -1 if line.no_ssl else 0),
        str(health.port),
        health.address or "-",
        _agent_address(server, agent) or "-",
        str((agent.port if agent is not None else 0) or line.check_port),
    )


def _agent_address(server: Server, agent: Check | None) -> str:
    return (agent.address if agent is not None else "") or server.line.check_address


def _check_state(server: Server) -> int:
    state = _PAUSED if server.health.paused else 0
    if server.check is not None:
        state |= _CONFIGURED | (_ENABLED if server.check.enabled else 0)
    return state


def address_of(server: Server) -> str:
    """The IP address, "" where there is none or no such thing."""
    address = server.address
    return address[0] if isinstance(address, tuple) else ""


def port_of(server: Server) -> int:
    """The port; of one that follows the client's, the offset as a 16-bit number."""
    if server.port_offset is not None:
        return server.port_offset & 0xFFFF
    address = server.address
    return address[1] if isinstance(address, tuple) else server.port
