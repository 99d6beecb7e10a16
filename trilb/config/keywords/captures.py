"""Captured headers and declared capture slots (sections 4.2 and 8.8)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.base.units import whole
from trilb.config.keywords.logs import capture_cookie
from trilb.config.keywords.registry import Context, keyword
from trilb.config.lexer import Line
from trilb.config.model import Proxy


def length(text: str, what: str) -> int:
    """The `len` of a capture, in bytes."""
    return whole(text, 1, 65535, what)


@keyword("proxy", "capture", where="FL")
def capture(line: Line, proxy: Proxy, context: Context) -> None:
    """`capture request|response header NAME len N`, `capture cookie NAME len N`."""
    words = line.words[1:]
    if words[:1] == ("cookie",):
        capture_cookie(line, proxy, context)
        return
    if len(words) != 5 or words[0] not in ("request", "response") or words[1] != "header" or words[3] != "len":
        raise Refused("'capture' expects 'request|response header <name> len <length>' or 'cookie <name> len <length>'")
    side = words[0]
    slots = proxy.captures_in if side == "request" else proxy.captures_out
    headers = proxy.capture_headers_in if side == "request" else proxy.capture_headers_out
    headers.append((words[2].lower(), len(slots)))
    slots.append(length(words[4], f"'capture {side} header {words[2]} len'"))


@keyword("proxy", "declare", where="FL")
def declare(line: Line, proxy: Proxy, context: Context) -> None:
    """`declare capture request|response len N`: a slot that capture actions fill by its number."""
    words = line.words[1:]
    if len(words) != 4 or words[0] != "capture" or words[1] not in ("request", "response") or words[2] != "len":
        raise Refused("'declare' expects 'capture request|response len <length>'")
    slots = proxy.captures_in if words[1] == "request" else proxy.captures_out
    slots.append(length(words[3], "'declare capture len'"))
