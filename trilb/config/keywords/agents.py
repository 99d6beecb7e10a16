"""What server lines say of agents, of watching traffic, and of how a server comes and goes (section 5.2)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.units import seconds, whole


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    *most, last = (f"'{word}'" for word in words)

    def read(text: str) -> str:
        if text not in words:
            raise Refused(f"expects one of {', '.join(most)} or {last}, not '{text}'")
        return text

    return read


def _interval(text: str) -> float:
    value = seconds(text)
    if not value:
        raise Refused("must be above zero")
    return value


def _errors(text: str) -> int:
    return whole(text, 1, 2**31 - 1, "'error-limit'")


SERVER_VALUES: dict[str, tuple[str, Callable[[str], object]]] = {
    "agent-port": ("agent_port", lambda text: whole(text, 0, 65535, "'agent-port'")),
    "agent-inter": ("agent_inter", _interval),
    "agent-addr": ("agent_address", str),
    "agent-send": ("agent_send", str),
    "observe": ("observe", _one_of(("none", "layer4", "layer7"))),
    "error-limit": ("error_limit", _errors),
    "on-error": ("on_error", _one_of(("fastinter", "fail-check", "sudden-death", "mark-down"))),
    "slowstart": ("slowstart", seconds),
}
"""Options with a value: the field of the server line, and how it is read."""
SERVER_FLAGS: dict[str, tuple[str, bool | str]] = {
    "agent-check": ("agent_check", True),
    "no-agent-check": ("agent_check", False),
}
"""Options without: the field, and what becomes of it."""
