"""`external-check` in all its places: the permission, the command, and its path (sections 3.1 and 4.2)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.model import Proxy
from trilb.config.settings import Global


@keyword("global", "external-check")
def allowed(line: Line, section: Global, context: Context) -> None:
    """`external-check [preserve-env]`: programs may be run as checks, with our own environment if so wished."""
    if line.words[1:] not in ((), ("preserve-env",)):
        raise Refused(f"'external-check' cannot handle unexpected argument '{line.words[-1]}'", column=line.columns[-1])
    section.external_check, section.preserve_env = True, len(line.words) > 1


@keyword("proxy", "external-check", where="DLB")
def external_check(line: Line, proxy: Proxy, context: Context) -> None:
    """`external-check command PROGRAM`, `external-check path DIRECTORIES`: what `option external-check` runs."""
    what = line.words[1] if len(line.words) > 1 else ""
    if what not in ("command", "path"):
        raise Refused(f"'external-check' only supports 'command' and 'path', not '{what}'")
    if len(line.words) < 3:
        raise Refused(f"missing argument after '{what}'")
    value = only(line, 2, "external-check {command|path} <value>")[1]
    setattr(proxy, f"external_{what}", value)
