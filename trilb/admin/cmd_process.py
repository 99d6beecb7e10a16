"""Commands about the process: its variables, which backends may be chosen (management.txt, section 9.3)."""

from __future__ import annotations

from trilb.admin.commands import View, command
from trilb.base import ip
from trilb.base.diagnostic import Refused
from trilb.config.model import Side
from trilb.samples.types import Addr, Bin


def _publish(view: View, words: list[str], published: bool) -> str:
    name = words[0] if words else ""
    if any(p.name == name and p.disabled and p.side & Side.BACKEND for p in view.config.proxies):
        return "No effect on a disabled backend.\n"
    if name not in view.backends:
        return "No such backend.\n"
    view.backends[name].published = published
    return f"Backend {'' if published else 'un'}published.\n"


@command("publish backend", source="9.3", level="operator")
def publish_backend(view: View, words: list[str]) -> str:
    """publish backend <backend>: let switching rules choose it again"""
    return _publish(view, words, True)


@command("unpublish backend", source="9.3", level="operator")
def unpublish_backend(view: View, words: list[str]) -> str:
    """unpublish backend <backend>: switching rules of other proxies pass it over"""
    return _publish(view, words, False)


@command("get var", source="9.3", level="operator")
def get_var(view: View, words: list[str]) -> str:
    """get var <name>: report a variable of the process"""
    name = words[0] if words else ""
    value = view.process.vars.get(name.removeprefix("proc.")) if name.startswith("proc.") else None
    if value is None:
        return "Variable not found.\n"
    if isinstance(value, bool):
        return f"{name}: type=bool value=<{int(value)}>"
    if isinstance(value, int):
        return f"{name}: type=sint value=<{value}>"
    if isinstance(value, Addr):
        return f"{name}: type=ipv{4 if len(value) == 4 else 6} value=<{ip.text(value)}>"
    kind = "bin" if isinstance(value, Bin) else "str"
    return f"{name}: type={kind} value=<{value.decode('latin-1')}>"


@command("set var", source="9.3", level="operator")
def set_var(view: View, words: list[str]) -> str:
    """set var <name> [expr|fmt] <text>: set a variable of the process"""
    if len(words) < 2:
        return "Missing a variable name or its value.\n"
    name, rest, formatted = words[0], words[1:], False
    if rest[0] in ("expr", "fmt") and len(rest) > 1:
        formatted = rest[0] == "fmt"
        rest = rest[1:]
    try:
        made = view.parse_variable(name, " ".join(rest), formatted=formatted)
        view.set_variable(*made)
    except Refused as refused:
        return f"{refused.text}\n"
    return ""


@command("experimental-mode", source="9.3", level="admin")
def experimental_mode(view: View, words: list[str]) -> str:
    """experimental-mode [on|off]: commands that are new are always there, so that nothing changes"""
    return ""
