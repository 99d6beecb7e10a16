"""Commands about dynamic cookies (management.txt, section 9.3)."""

from __future__ import annotations

from dataclasses import replace

from trilb.admin.caller import Said, error
from trilb.admin.cmd_servers import find_backend
from trilb.admin.commands import View, command
from trilb.affinity import dynamic
from trilb.live.proxy import Backend


def _found(view: View, words: list[str]) -> Backend | Said:
    if not words:
        return error("A backend name is expected.\n")
    return find_backend(view, words[0]) or error("No such backend.\n")


def _renew(backend: Backend) -> str:
    for server in backend.servers:
        dynamic.settle(server)
    backend.renew()
    return ""


def _turn(view: View, words: list[str], *, on: bool) -> str | Said:
    backend = _found(view, words)
    if not isinstance(backend, Backend):
        return backend
    line = backend.config.cookie
    if line is not None:
        backend.config.cookie = replace(line, dynamic=on)
    return _renew(backend)


@command("enable dynamic-cookie backend", source="9.3", level="admin")
def enable(view: View, words: list[str]) -> str | Said:
    """enable dynamic-cookie backend <bk>: enable dynamic cookies on a specific backend"""
    return _turn(view, words, on=True)


@command("disable dynamic-cookie backend", source="9.3", level="admin")
def disable(view: View, words: list[str]) -> str | Said:
    """disable dynamic-cookie backend <bk>: disable dynamic cookies on a specific backend"""
    return _turn(view, words, on=False)


@command("set dynamic-cookie-key backend", source="9.3", level="admin")
def set_key(view: View, words: list[str]) -> str | Said:
    """set dynamic-cookie-key backend <bk> <k>: change a backend secret key for dynamic cookies"""
    backend = _found(view, words)
    if not isinstance(backend, Backend):
        return backend
    if len(words) < 2 or not words[1]:
        return error("String value expected.\n")
    backend.config.dynamic_cookie_key = words[1]
    return _renew(backend)
