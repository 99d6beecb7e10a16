"""Commands about the process: its variables, which backends may be chosen (management.txt, section 9.3)."""

from __future__ import annotations

import time

from trilb import HAPROXY_VERSION, __version__
from trilb.admin.caller import Said, error, info
from trilb.admin.cmd_shell import called
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
    if not words:
        return error("Missing process-wide variable identifier.\n")
    name = words[0]
    value = view.process.vars.get(name.removeprefix("proc.")) if name.startswith("proc.") else None
    if value is None:
        return error("Variable not found.\n")
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


@command("show env", source="9.3", level="operator")
def show_env(view: View, words: list[str]) -> str:
    """show env [var]: dump environment variables known to the process"""
    sockets = view.config.globals.stats_sockets
    known = {**view.config.env, **({"HAPROXY_CLI": ";".join(map(called, sockets))} if sockets else {})}
    if words:
        return f"{words[0]}={known[words[0]]}\n" if words[0] in known else error("Variable not found\n")
    return "".join(f"{name}={value}\n" for name, value in known.items())


@command("show version", source="9.3", level="user")
def show_version(view: View, words: list[str]) -> Said:
    """show version: show version of the current process"""
    return info(f"{HAPROXY_VERSION}-trilb{__version__}\n")


@command("show startup-logs", source="9.3", level="operator")
def show_startup_logs(view: View, words: list[str]) -> str:
    """show startup-logs: report logs emitted during HAProxy startup"""
    return "".join(f"{line}\n" for line in view.startup) or "\n"


@command("show activity", source="9.3", level="user")
def show_activity(view: View, words: list[str]) -> str:
    """show activity: show per-thread activity stats (for support/developers)"""
    process = view.process
    used = time.process_time()
    return (
        f"thread_id: 1 (1..1)\ndate_now: {process.clock.wall:.6f}\ncpust_ms_tot: 0\ncpu_ms_used: {used * 1000:.0f}\n"
        f"accepted: {process.cum_conn}\nactive: {process.actconn}\n"
    )


@command("show cache", source="9.3", level="admin")
def show_cache(view: View, words: list[str]) -> str:
    """show cache: show cache status"""
    return ""


@command("show tls-keys", source="9.3", level="user")
def show_tls_keys(view: View, words: list[str]) -> str:
    """show tls-keys [id|*]: show tls keys references or dump tls ticket keys when id specified"""
    if not words:
        return "# id (file)\n"
    if words[0] == "*":
        return "# id secret\n"
    return error("'show tls-keys' unable to locate referenced filename\n")


_NOT_SERVED = {
    "show dev": ("operator", "see 'show info' and 'show env'"),
    "show events": ("operator", "it has no event sinks; its logs say what happens"),
    "show fd": ("admin", "its descriptors are in /proc/<pid>/fd"),
    "show libs": ("admin", "its files are in /proc/<pid>/maps"),
    "show pools": ("operator", "Python keeps its memory"),
    "show profiling": ("operator", "py-spy and perf can look at it from outside"),
    "set profiling": ("admin", "py-spy and perf can look at it from outside"),
    "show quic": ("operator", "it does not speak QUIC"),
    "show tasks": ("operator", "py-spy dump shows where it is"),
    "show threads": ("operator", "it has one"),
    "show trace": ("operator", "it has no trace sources"),
    "trace": ("operator", "it has no trace sources"),
    "show ssl providers": ("operator", "'trilb -vv' tells the TLS library"),
    "set ssl tls-key": ("admin", "TLS tickets are made by the library alone"),
    "set ssl ocsp-response": ("admin", "'set ssl cert FILE.ocsp' takes it, in base64"),
    "show ssl ocsp-response": ("operator", "'show ssl cert FILE' shows the certificate"),
    "show anon": ("operator", "it hides nothing in its answers"),
    "set anon": ("operator", "it hides nothing in its answers"),
    "httpclient": ("admin", "use curl"),
}
"""Commands that HAProxy has and trilb has no use for: their level, and why."""


@command("debug dev log", source="9.3", level="admin", expert=True, untold=True)
def debug_log(view: View, words: list[str]) -> str:
    """debug dev log [msg]*: send this msg to global logs"""
    view.say("", " ".join(words), "info")
    return ""


def _refuse(name: str, level: str, why: str) -> None:
    said = error(f"'{name}' is not served by trilb: {why}.\n")

    def refused(view: View, words: list[str]) -> Said:
        return said

    refused.__doc__ = f"{name}: not served by trilb, {why}"
    command(name, source="9.3", level=level, untold=True)(refused)


for _name, (_level, _why) in _NOT_SERVED.items():
    _refuse(_name, _level, _why)
