"""Commands that change frontends and the limits of the process (management.txt, section 9.3)."""

from __future__ import annotations

import re

from trilb.admin.caller import Said, error
from trilb.admin.commands import Gate, View, command
from trilb.base.units import saturated
from trilb.config.model import Side
from trilb.live.proxy import Frontend

_NUMBER = re.compile(r"[ \t]*(0x[0-9a-f]+|[+-]?[0-9]+)", re.IGNORECASE)


def number(text: str) -> int:
    """The whole number a text begins with, 0 when it begins with none: what HAProxy makes of an argument."""
    match = _NUMBER.match(text)
    if match is None:
        return 0
    return int(match[1], 16) if match[1][1:2] in ("x", "X") else saturated(match[1])


def _find(view: View, words: list[str]) -> Frontend | Said:
    """The frontend that the first word names, by its name or as `#id`."""
    if not words:
        return error("A frontend name is expected.\n")
    name = words[0]
    found = view.frontends.get(name)
    if name.startswith("#"):
        found = next((each for each in view.frontends.values() if each.config.id == number(name[1:])), None)
    return found or error("No such frontend.\n")


def _gates(view: View, frontend: Frontend) -> list[Gate]:
    return [gate for gate in view.gates if gate.frontend is frontend]


def _kind(frontend: Frontend) -> str:
    return "proxy" if frontend.config.side & Side.BACKEND else "frontend"


@command("disable frontend", source="9.3", level="admin")
def disable_frontend(view: View, words: list[str]) -> str:
    """disable frontend <frontend>: temporarily disable specific frontend"""
    frontend = _find(view, words)
    if isinstance(frontend, Said):
        return frontend
    if frontend.stopped:
        return error("Frontend was previously shut down, cannot disable.\n")
    if frontend.paused:
        return error("All sockets are already disabled.\n")
    try:
        for gate in _gates(view, frontend):
            gate.pause()
    except OSError as fault:
        return error(f"Failed to pause frontend, check logs for precise cause ({fault.strerror}).\n")
    frontend.paused = True
    view.say(frontend.name, f"Paused {_kind(frontend)} {frontend.name}.", "warning")
    return ""


@command("enable frontend", source="9.3", level="admin")
def enable_frontend(view: View, words: list[str]) -> str:
    """enable frontend <frontend>: re-enable specific frontend"""
    frontend = _find(view, words)
    if isinstance(frontend, Said):
        return frontend
    if frontend.stopped:
        return error("Frontend was previously shut down, cannot enable.\n")
    if not frontend.paused:
        return error("All sockets are already enabled.\n")
    try:
        for gate in _gates(view, frontend):
            gate.resume()
    except OSError as fault:
        return error(f"Failed to resume frontend, check logs for precise cause (port conflict?): {fault.strerror}.\n")
    frontend.paused = False
    view.say(frontend.name, f"Resumed {_kind(frontend)} {frontend.name}.", "warning")
    return ""


@command("shutdown frontend", source="9.3", level="admin")
def shutdown_frontend(view: View, words: list[str]) -> str:
    """shutdown frontend <frontend>: stop a specific frontend"""
    frontend = _find(view, words)
    if isinstance(frontend, Said):
        return frontend
    if frontend.stopped:
        return error("Frontend was already shut down.\n")
    for gate in _gates(view, frontend):
        gate.stop()
    frontend.stopped = True
    backend = view.backends.get(frontend.name)
    sessions = (frontend.counters.stot, backend.counters.stot if backend is not None else 0)
    view.say(
        frontend.name,
        f"Proxy {frontend.name} stopped (cumulated conns: FE: {sessions[0]}, BE: {sessions[1]}).",
        "warning",
    )
    return ""


@command("set maxconn frontend", source="9.3", level="admin")
def set_maxconn_frontend(view: View, words: list[str]) -> str:
    """set maxconn frontend <frontend> <value>: change a frontend's maxconn setting"""
    frontend = _find(view, words)
    if isinstance(frontend, Said):
        return frontend
    if len(words) < 2:
        return error("Integer value expected.\n")
    value = number(words[1])
    if value < 0:
        return error("Value out of range.\n")
    frontend.maxconn = value
    return ""


@command("set maxconn global", source="9.3", level="admin")
def set_maxconn_global(view: View, words: list[str]) -> str:
    """set maxconn global <value>: change the per-process maxconn setting"""
    if not words:
        return error("Expects an integer value.\n")
    value, most = number(words[0]), view.config.globals.maxconn
    if value < 0 or (most and value > most):
        return error("Value out of range.\n")
    view.process.maxconn = value or most
    return ""


_RATES = {"connections": "maxconnrate", "sessions": "maxsessrate", "ssl-sessions": "maxsslrate"}
_RATE_USAGE = """\
'set rate-limit' only supports :
   - 'connections global' to set the per-process maximum connection rate
   - 'sessions global' to set the per-process maximum session rate
   - 'ssl-sessions global' to set the per-process maximum SSL session rate
   - 'http-compression global' to set the per-process maximum compression speed in kB/s
"""


@command("set rate-limit", source="9.3", level="admin")
def set_rate_limit(view: View, words: list[str]) -> str:
    """set rate-limit <setting> <value>: change a rate limiting value"""
    what, where = (*words, "", "")[:2]
    if where != "global" or (what not in _RATES and what != "http-compression"):
        return error(_RATE_USAGE)
    if len(words) < 3:
        return error("Expects an integer value.\n")
    value = number(words[2])
    if value < 0:
        return error("Value out of range.\n")
    if what == "http-compression":
        return error("'set rate-limit http-compression' is not served by trilb: it compresses nothing.\n")
    view.process.limit(**{_RATES[what]: value})
    return ""
