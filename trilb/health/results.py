"""What a check can find: HAProxy's codes, their words, and how logs write them (management.txt, 9.1; observed). HOT."""

from __future__ import annotations

import re

from trilb.live.check import CONDITIONAL, FAILED, PASSED, Check
from trilb.live.server import Server

WORDS = {
    "UNK": "Unknown",
    "INI": "Initializing",
    "CHECKED": "No status change",
    "HANA": "Health analyze",
    "SOCKERR": "Socket error",
    "L4OK": "Layer4 check passed",
    "L4TOUT": "Layer4 timeout",
    "L4CON": "Layer4 connection problem",
    "L6OK": "Layer6 check passed",
    "L6TOUT": "Layer6 timeout",
    "L6RSP": "Layer6 invalid response",
    "L7OK": "Layer7 check passed",
    "L7OKC": "Layer7 check conditionally passed",
    "L7TOUT": "Layer7 timeout",
    "L7RSP": "Layer7 invalid response",
    "L7STS": "Layer7 wrong status",
    "PROCERR": "External check error",
    "PROCTOUT": "External check timeout",
    "PROCOK": "External check passed",
}
CODED = frozenset(("L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK"))
"""Whose lines have a code, be it 0."""
OK = ("L4OK", "L6OK", "L7OK", "L7OKC")
ERROR = ("L7OKC", "L7RSP", "L7STS", "L6RSP", "L4CON")
TIMEOUT = ("L7TOUT", "L6TOUT", "L4TOUT")
"""What `ok-status`, `error-status` and `tout-status` may say."""
_PASSED = frozenset(("L4OK", "L6OK", "L7OK", "PROCOK"))
_LONGEST = 127
_ODD = re.compile(r"[^ !#-;=?-~]")


def result_of(status: str) -> int:
    """Value of Check.result that goes with a code."""
    return CONDITIONAL if status == "L7OKC" else PASSED if status in _PASSED else FAILED


def settle(check: Check, status: str, text: str = "", code: int = 0) -> None:
    """Leave a result in the check; a text is cut where HAProxy cuts it."""
    check.status, check.result, check.code, check.text = status, result_of(status), code, text[:_LONGEST]


def reason(check: Check) -> str:
    """What a check found, as logs have it; odd characters of the text by their numbers."""
    text = f", reason: {WORDS.get(check.status, check.status)}"
    text += f", code: {check.code}" if check.status in CODED else ""
    if check.text:
        text += ', info: "' + _ODD.sub(lambda odd: f"<{ord(odd[0]) & 255:02X}>", check.text) + '"'
    return text + (f", check duration: {check.duration}ms" if check.duration >= 0 else "")


def line(server: Server, check: Check, what: str = "Health") -> str:
    """The line of `option log-health-checks`."""
    kind = "backup server" if server.line.backup else "server"
    how = {PASSED: "succeeded", CONDITIONAL: "conditionally succeeded"}.get(check.result, "failed")
    if check.health >= check.rise:
        state = f"{check.health - check.rise + 1}/{check.fall} {'UP' if server.weight else 'DRAIN'}"
    else:
        state = f"{check.health}/{check.rise} DOWN"
    return f"{what} check for {kind} {server.backend.name}/{server.name} {how}{reason(check)}, status: {state}."
