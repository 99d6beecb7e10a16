"""Commands about the conversation itself: level, prompt, time, severity (management.txt, section 9.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trilb.admin.caller import Caller, Mode, Said, error, info
from trilb.admin.commands import View, command, help_text
from trilb.admin.shell import pause
from trilb.base.address import Family
from trilb.base.diagnostic import Refused
from trilb.base.units import milliseconds
from trilb.config.settings import Socket

_PROMPT = """\
Usage: prompt [help | n | i | p | timed]*
Changes the default prompt and interactive mode. Available options:
  help          display this help
  n             non-interactive mode (single command and quits)
  i             interactive mode (multiple commands, no prompt)
  p             prompt mode (multiple commands with a prompt)
  timed         toggle displaying the time in the prompt
Without any option, this will cycle through prompt mode then non-interactive mode.
"""
_POLL, _SLICE = 0.05, 0.5
"""Seconds between two looks at what `wait` waits for, and at whether anybody is still there."""


@command("help", source="9.3", level="user", untold=True)
def show_help(view: View, words: list[str]) -> Said:
    """help [<command>]: list matching or all commands"""
    return info(help_text(words, wanted=True))


@command("quit", source="9.3", level="user", caller=True, untold=True)
def leave(view: View, words: list[str], caller: Caller) -> str:
    """quit: disconnect"""
    caller.quitting = True
    return ""


@command("prompt", source="9.3", level="user", caller=True, untold=True)
def prompt(view: View, words: list[str], caller: Caller) -> str:
    """prompt [help | n | i | p | timed]*: toggle interactive mode with prompt"""
    if "help" in words:
        return _PROMPT
    if "timed" in words:
        caller.timed = not caller.timed
        caller.mode = Mode.PROMPT
    modes = [word for word in words if word in ("n", "i", "p")]
    if modes:
        caller.mode = Mode(modes[-1])
    elif "timed" not in words:
        caller.mode = Mode.ONCE if caller.mode is Mode.PROMPT else Mode.PROMPT
    return ""


@command("show cli level", source="9.3", level="user", caller=True)
def show_level(view: View, words: list[str], caller: Caller) -> Said:
    """show cli level: display the level of the current CLI session"""
    return info(f"{caller.level}\n")


@command("operator", source="9.3", level="operator", caller=True)
def become_operator(view: View, words: list[str], caller: Caller) -> str:
    """operator: lower the level of the current CLI session to operator"""
    caller.lower("operator")
    return ""


@command("user", source="9.3", level="user", caller=True)
def become_user(view: View, words: list[str], caller: Caller) -> str:
    """user: lower the level of the current CLI session to user"""
    caller.lower("user")
    return ""


@command("set severity-output", source="9.3", level="user", caller=True)
def set_severity(view: View, words: list[str], caller: Caller) -> str:
    """set severity-output [none|number|string]: set presence of severity level in feedback information"""
    if not words or words[0] not in ("none", "number", "string"):
        return error("one of 'none', 'number', 'string' is a required argument\n")
    caller.severity = words[0]
    return ""


@command("set timeout", source="9.3", level="user", caller=True)
def set_timeout(view: View, words: list[str], caller: Caller) -> str:
    """set timeout [cli] <delay>: change a timeout setting"""
    if not words or words[0] != "cli":
        return error("'set timeout' only supports 'cli'.\n")
    if len(words) < 2:
        return error("Expects an integer value.\n")
    try:
        timeout = -(-milliseconds(words[1], "s") // 1000)
    except Refused:
        return error("Invalid timeout value.\n")
    if timeout < 1:
        return error("Invalid timeout value.\n")
    caller.timeout = timeout
    return ""


@command("experimental-mode", source="9.3", level="admin", caller=True, untold=True)
def experimental_mode(view: View, words: list[str], caller: Caller) -> str:
    """experimental-mode [on|off]: whether commands that are new may be used; all of trilb's may be in any case"""
    if not words:
        return info(f"experimental-mode is {'ON' if caller.experimental else 'OFF'}\n")
    caller.experimental = words[0] == "on"
    return ""


@command("expert-mode", source="9.3", level="admin", caller=True, untold=True)
def expert_mode(view: View, words: list[str], caller: Caller) -> str:
    """expert-mode [on|off]: whether dangerous commands may be used; trilb has none"""
    if not words:
        return info(f"expert-mode is {'ON' if caller.expert else 'OFF'}\n")
    caller.expert = words[0] == "on"
    return ""


def called(line: Socket) -> str:
    """A `stats socket` as `show cli sockets` and the variable HAPROXY_CLI name it."""
    prefix = {Family.UNIX: "unix@", Family.IPV4: "ipv4@", Family.IPV6: "ipv6@"}.get(line.address.family, "")
    return f"{prefix}{line.address}"


@command("show cli sockets", source="9.3", level="user")
def show_sockets(view: View, words: list[str]) -> str:
    """show cli sockets: dump list of cli sockets"""
    lines = [f"{called(line)} {line.level} all\n" for line in view.config.globals.stats_sockets]
    return "# socket lvl processes\n" + "".join(lines)


@command("echo", source="9.3", level="user")
def echo(view: View, words: list[str]) -> Said:
    """echo <text>: print text to the output"""
    return info(" ".join(words) + "\n")


@command("wait", source="9.3", level="user")
def wait(view: View, words: list[str]) -> str | Iterator[str]:
    """wait {-h|<delay_ms>} [cond [args...]]: wait the specified delay or condition"""
    if not words or "-h" in words[:2]:
        return error(_WAIT) if not words else _WAIT
    try:
        delay = milliseconds(words[0]) / 1000
    except Refused:
        return error("Invalid delay.\n")
    if len(words) == 1:
        return _wait(view, delay, _SLICE, lambda: None)
    if words[1] != "srv-removable":
        return error(f"Unknown condition '{words[1]}': trilb serves srv-removable.\n")
    backend, _, name = (words[2] if len(words) > 2 else "").partition("/")
    if not name:
        return error("Require 'backend/server'.\n")
    return _wait(view, delay, _POLL, lambda: _removable(view, backend, name))


_WAIT = """\
Usage: wait {-h|<duration>} [condition [args...]]
  - '-h' displays this help
  - <duration> is the maximum wait time, optionally suffixed by the unit among
    'us', 'ms', 's', 'm', 'h', and 'd'. ; the default unit is milliseconds.
  - <condition> indicates what to wait for, no longer than the duration.
    Supported conditions are:
    - <none> : by default, just sleep for the specified duration.
    - srv-removable <px>/<sv> : wait for this server to become removable.
"""


def _wait(view: View, delay: float, poll: float, done: Callable[[], str | None]) -> Iterator[str]:
    """Pause until `done` says a text, which is the end of it, or the delay is over."""
    clock = view.process.clock
    until = clock.refresh() + delay
    while True:
        said = done()
        if said is not None:
            yield said
            return
        left = until - clock.refresh()
        if left <= 0:
            return
        yield pause(min(left, poll))


def _removable(view: View, backend: str, name: str) -> str | None:
    """What is to be said of a server: nothing more to wait for, or why there is no use in waiting; None: wait."""
    found = view.backends.get(backend)
    if found is None:
        return error("No such backend.\n")
    server = found.by_name.get(name)
    if server is None:
        return error("No such server.\n")
    if not server.admin:
        return error("Only servers in maintenance mode can be deleted.\n")
    if server.used or server.idle or server.muxes or server.queue:
        return None
    return ""
