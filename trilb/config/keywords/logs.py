"""Where logs go and what they look like (configuration.txt, sections 4.2 `log` and 8)."""

from __future__ import annotations

from trilb.base.address import Address, Family, parse
from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import whole
from trilb.config.expressions import NotServed, Scope, parse_format
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line, expand_address
from trilb.config.log_lines import LogProfile, LogStep, LogTarget
from trilb.config.model import Proxy

FACILITIES = (
    "kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2 "
    "local0 local1 local2 local3 local4 local5 local6 local7"
).split()
LEVELS = "emerg alert crit err warning notice info debug".split()
_FORMATS = ("local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw")


def log_target(line: Line, context: Context) -> LogTarget:
    """Read `log TARGET [len N] [format F] [sample S] [profile P] FACILITY [LEVEL [MINLEVEL]]`."""
    words = list(line.words[1:])
    if len(words) < 2:
        raise Refused("'log' expects <address> and <facility> as arguments")
    text = expand_address(words.pop(0), context.env)
    stream, address = _address(text)
    length, form, profile = 1024, "", ""
    sample = None
    while len(words) >= 2 and words[0] in ("len", "format", "sample", "profile"):
        option, value = words.pop(0), words.pop(0)
        if option == "len":
            length = whole(value, 80, 65535, "'len'")
        elif option == "sample":
            sample = _sample(value)
        elif option == "profile":
            profile = value
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
    return LogTarget(
        address,
        stream,
        form,
        length,
        FACILITIES.index(words[0]),
        LEVELS.index(words[1]) if len(words) > 1 else 7,
        LEVELS.index(words[2]) if len(words) > 2 else 0,
        sample,
        profile,
        line.place,
    )


def _address(text: str) -> tuple[str, Address | None]:
    """Where a target is: one of our own streams, or a datagram address."""
    if text in ("stdout", "stderr", "fd@1", "fd@2"):
        return {"fd@1": "stdout", "fd@2": "stderr"}.get(text, text), None
    if text.startswith(("ring@", "backend@", "tcp@", "tcp4@", "tcp6@", "uxst@")):
        raise NotServed(f"log {text.partition('@')[0]}@")
    addresses = parse(text)
    if len(addresses) > 1:
        raise Refused(f"'log' : port range not permitted here in '{text}'")
    address = addresses[0]
    if address.family not in (Family.UNIX, Family.ABSTRACT, Family.FD) and not address.port:
        address = Address(address.family, address.host or "127.0.0.1", 514)
    return "", address


def _sample(text: str) -> tuple[tuple[int, ...], int]:
    """Read `1,3-4:5`: of five lines, the first, third and fourth."""
    ranges, _, size = text.partition(":")
    most = whole(size, 1, 65535, "the size of 'sample'")
    chosen: list[int] = []
    for part in ranges.split(","):
        low, _, high = part.partition("-")
        first = whole(low, 1, most, "'sample'")
        chosen += range(first, whole(high or low, first, most, "'sample'") + 1)
    if len(set(chosen)) < len(chosen):
        raise Refused(f"the ranges of 'sample {text}' overlap")
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


HTTPLOG_CLF = (
    '%{+Q}o %{-Q}ci - - [%trg] %r %ST %B "" "" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc '
    "%sq %bq %CC %CS %hrl %hsl"
)
TCPLOG_CLF = (
    '%{+Q}o %{-Q}ci - - [%T] "TCP " 000 %B "" "" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U %ts-- %ac %fc %bc %sc %rc '
    '%sq %bq "" "" '
)
STEPS = ("accept", "request", "connect", "response", "close")
"""The points of a transaction at which `log-steps` may log."""
ON = (*STEPS, "error", "any", "quic-init", "tcp-req-conn", "tcp-req-sess", "tcp-req-cont", "tcp-res-cont", "http-req",
      "http-res", "http-after-res")  # fmt: skip
"""What an `on` line of a log profile may name."""


def option_log(line: Line, proxy: Proxy, context: Context) -> None:
    """`option httplog [clf]`, `option tcplog [clf]`, `option httpslog`."""
    name, rest = line.words[1], line.words[2:]
    if rest and (rest != ("clf",) or name == "httpslog"):
        hint = "does not take any argument" if name == "httpslog" else f"only supports 'clf', not '{rest[0]}'"
        raise Refused(f"'option {name}' {hint}", column=line.columns[2])
    proxy.log_kind, proxy.log_format = name, None
    if rest:
        text = HTTPLOG_CLF if name == "httplog" else TCPLOG_CLF
        proxy.log_format = parse_format(text, context.scope(proxy, line.place, "log"))


@keyword("proxy", "log-format", where="DFL")
def log_format(line: Line, proxy: Proxy, context: Context) -> None:
    """`log-format FORMAT` (section 8.2.6)."""
    (text,) = only(line, 1, "log-format <format>; quote a format with blanks")
    proxy.log_format = parse_format(text, context.scope(proxy, line.place, "log"))
    proxy.log_kind = "custom"


@keyword("proxy", "log-format-sd", where="DFL")
def log_format_sd(line: Line, proxy: Proxy, context: Context) -> None:
    """`log-format-sd FORMAT`: the structured data of RFC 5424."""
    (text,) = only(line, 1, "log-format-sd <format>; quote a format with blanks")
    proxy.log_structured = parse_format(text, context.scope(proxy, line.place, "log"))


@keyword("proxy", "error-log-format", where="DFL")
def error_log_format(line: Line, proxy: Proxy, context: Context) -> None:
    """`error-log-format FORMAT`: lines of connections that failed before there was a request."""
    (text,) = only(line, 1, "error-log-format <format>; quote a format with blanks")
    proxy.log_error = parse_format(text, context.scope(proxy, line.place, "log"))


@keyword("proxy", "log-steps", where="DFL")
def log_steps(line: Line, proxy: Proxy, context: Context) -> None:
    """`log-steps all` or `log-steps accept,request,connect,response,close`: when lines are written."""
    (text,) = only(line, 1, "log-steps <step>[,<step>...]")
    steps = STEPS if text == "all" else text.split(",")
    for step in steps:
        if step not in STEPS:
            raise Refused(f"unknown log step '{step}'{nearest(step, ('all', *STEPS))}; known are {', '.join(STEPS)}")
    proxy.log_steps = frozenset(steps)


@keyword("log-profile", "log-tag")
def profile_tag(line: Line, profile: LogProfile, context: Context) -> None:
    """`log-tag TEXT` in a log profile: the program name of its lines."""
    (profile.tag,) = only(line, 1, "log-tag <text>")


@keyword("log-profile", "on")
def on(line: Line, profile: LogProfile, context: Context) -> None:
    """`on STEP [drop] [format FORMAT] [sd FORMAT]`: what is logged at a step."""
    words = list(line.words[1:])
    if not words or words[0] not in ON:
        word = words[0] if words else ""
        raise Refused(f"'on' expects a logging step, not '{word}'{nearest(word, ON)}; known are {', '.join(ON)}")
    step = LogStep()
    name = words.pop(0)
    scope = Scope(
        context.language,
        profile.name,
        line.place,
        "log",
        references=context.references,
        warn=context.report.warn,
        patterns=context.config.patterns,
        base=context.base,
    )
    while words:
        word = words.pop(0)
        if word == "drop":
            step.drop = True
        elif word in ("format", "sd") and words:
            made = parse_format(words.pop(0), scope)
            step.format, step.structured = (made, step.structured) if word == "format" else (step.format, made)
        else:
            raise Refused(f"'on {name}' expects 'drop', 'format <format>' or 'sd <format>', not '{word}'")
    profile.steps[name] = step


def capture_cookie(line: Line, proxy: Proxy, context: Context) -> None:
    """`capture cookie NAME len N`: the cookie whose name begins so, for %CC and %CS."""
    words = line.words[2:]
    if len(words) != 3 or words[1] != "len":
        raise Refused("'capture cookie' expects <name> len <length>")
    length = whole(words[2], 0, 65535, "'capture cookie len'")
    most = context.config.globals.cookie_length
    if length > most:
        context.report.warn(line.place, f"truncating capture length to {most} bytes for proxy '{proxy.name}'")
    proxy.capture_cookie = (words[0], min(length, most))
