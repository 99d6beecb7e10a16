"""Where logs go and what they look like (configuration.txt, sections 4.2 `log` and 8)."""

from __future__ import annotations

from trilb.base.address import Address, Family, parse
from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import whole
from trilb.config.expressions import NotServed, parse_format
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line, expand_address
from trilb.config.model import LogTarget, Proxy

FACILITIES = (
    "kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2 "
    "local0 local1 local2 local3 local4 local5 local6 local7"
).split()
LEVELS = "emerg alert crit err warning notice info debug".split()
_FORMATS = ("local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw")


def log_target(line: Line, context: Context) -> LogTarget:
    """Read `log TARGET [len N] [format F] [sample S] FACILITY [LEVEL [MINLEVEL]]`. Raises Refused, NotServed."""
    words = list(line.words[1:])
    if len(words) < 2:
        raise Refused("'log' expects <address> and <facility> as arguments")
    text = expand_address(words.pop(0), context.env)
    stream, address = "", None
    if text in ("stdout", "stderr") or text in ("fd@1", "fd@2"):
        stream = {"fd@1": "stdout", "fd@2": "stderr"}.get(text, text)
    elif text.startswith(("ring@", "backend@")):
        raise NotServed(f"log {text.partition('@')[0]}@")
    else:
        address = parse(text)[0]
        if address.family not in (Family.UNIX, Family.ABSTRACT, Family.FD) and not address.port:
            address = Address(address.family, address.host or "127.0.0.1", 514)
    length, form = 1024, ""
    sample = None
    while len(words) >= 2 and words[0] in ("len", "format", "sample", "profile"):
        option, value = words.pop(0), words.pop(0)
        if option == "len":
            length = whole(value, 80, 65535, "'len'")
        elif option == "sample":
            sample = _sample(value)
        elif option == "profile":
            raise NotServed(f"log {option}")
        elif value in _FORMATS:
            form = value
        else:
            raise Refused(f"unknown log format '{value}'{nearest(value, _FORMATS)}")
    if not words or words[0] not in FACILITIES:
        word = words[0] if words else ""
        raise Refused(f"unknown log facility '{word}'{nearest(word, FACILITIES)}")
    if len(words) > 3:
        raise Refused(f"'log' cannot handle unexpected argument '{words[3]}'")
    for level in words[1:]:
        if level not in LEVELS:
            raise Refused(f"unknown log level '{level}'{nearest(level, LEVELS)}")
    highest = LEVELS.index(words[1]) if len(words) > 1 else 7
    minlevel = LEVELS.index(words[2]) if len(words) > 2 else 0
    return LogTarget(
        address,
        stream,
        form,
        length,
        FACILITIES.index(words[0]),
        highest,
        minlevel,
        sample,
    )


def _sample(text: str) -> tuple[tuple[int, ...], int]:
    """Read `1,3-4:5`: of five lines, the first, third and fourth."""
    ranges, _, size = text.partition(":")
    most = whole(size, 1, 65535, "the size of 'sample'")
    chosen: list[int] = []
    for part in ranges.split(","):
        low, _, high = part.partition("-")
        first = whole(low, 1, most, "'sample'")
        chosen += range(first, whole(high or low, first, most, "'sample'") + 1)
    return tuple(sorted(chosen)), most


@keyword("proxy", "log", negatable=True)
def log(line: Line, proxy: Proxy, context: Context) -> None:
    """`log global`, `log TARGET ...`, `no log`."""
    if context.negated:
        if len(line.words) > 1:
            raise Refused("'no log' does not take any argument")
        proxy.logs, proxy.log_global = [], False
    elif line.words[1:] == ("global",):
        proxy.log_global = True
    else:
        proxy.logs = [*proxy.logs, log_target(line, context)]


@keyword("proxy", "log-tag")
def log_tag(line: Line, proxy: Proxy, context: Context) -> None:
    """`log-tag TEXT`: the program name in syslog headers."""
    (proxy.log_tag,) = only(line, 1, "log-tag <text>")


@keyword("proxy", "log-format", where="DFLB")
def log_format(line: Line, proxy: Proxy, context: Context) -> None:
    """`log-format FORMAT` (section 8.2.6)."""
    (text,) = only(line, 1, "log-format <format>; quote a format with blanks")
    proxy.log_format = parse_format(text, context.scope(proxy, line.place, "log"))
    proxy.log_kind = "custom"
