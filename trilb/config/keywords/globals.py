"""Keywords of the `global` section (configuration.txt, section 3)."""

from __future__ import annotations

import os
import re

from trilb.base.diagnostic import Refused
from trilb.base.registry import variable_name
from trilb.base.units import seconds, size, whole
from trilb.config import known
from trilb.config.expressions import NotServed, Scope, parse_expr, parse_format
from trilb.config.keywords.logs import log_target
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.settings import Global
from trilb.config.sources import read_text
from trilb.config.terms import Expr, Format


@keyword("global", "chroot")
def chroot(line: Line, section: Global, context: Context) -> None:
    """`chroot DIR`: where to lock the process after start."""
    (section.chroot,) = only(line, 1, "chroot <directory>")


@keyword("global", "user", "group", "uid", "gid")
def identity(line: Line, section: Global, context: Context) -> None:
    """`user`, `group`, `uid`, `gid`: who to become after binding."""
    name = line.words[0]
    (value,) = only(line, 1, f"{name} <value>")
    if name in ("user", "group"):
        setattr(section, name, value)
    else:
        setattr(section, name, whole(value, 0, 0xFFFFFFFE, f"'{name}'"))


@keyword("global", "daemon", "quiet")
def switches(line: Line, section: Global, context: Context) -> None:
    """`daemon`, `quiet`."""
    only(line, 0, line.words[0])
    setattr(section, line.words[0], not context.negated)


@keyword(
    "global",
    "zero-warning",
    "expose-experimental-directives",
    "expose-deprecated-directives",
    "insecure-fork-wanted",
    "insecure-setuid-wanted",
    "tune.idle-pool.shared",
    negatable=True,
)
def accepted(line: Line, section: Global, context: Context) -> None:
    """Permissions that need nothing here: trilb runs one process and refuses what it does not serve by name."""
    if line.words[0] == "zero-warning":
        section.zero_warning = not context.negated
    elif line.words[0] == "expose-experimental-directives":
        section.experimental = True
    elif line.words[0] == "insecure-fork-wanted":
        section.insecure_fork = not context.negated


@keyword("global", "maxconn")
def maxconn(line: Line, section: Global, context: Context) -> None:
    """`maxconn N`: concurrent connections of the process."""
    (value,) = only(line, 1, "maxconn <number>")
    section.maxconn = whole(value, 0, 2**31 - 1, "'maxconn'")


@keyword("global", "maxconnrate", "maxsessrate", "maxsslrate")
def rates(line: Line, section: Global, context: Context) -> None:
    """`maxconnrate N`: connections, sessions or TLS sessions a second that are accepted; 0: no limit (section 3.2)."""
    (value,) = only(line, 1, f"{line.words[0]} <number>")
    section.rates[line.words[0]] = whole(value, 0, 2**31 - 1, f"'{line.words[0]}'")


@keyword("global", "stats-file")
def stats_file(line: Line, section: Global, context: Context) -> None:
    """`stats-file PATH`: counters to begin with, as `dump stats-file` wrote them (section 3.1)."""
    (section.stats_file,) = only(line, 1, "stats-file <path>")


@keyword("global", "spread-checks")
def spread_checks(line: Line, section: Global, context: Context) -> None:
    """`spread-checks PERCENT`: intervals of checks vary at random by so much."""
    (value,) = only(line, 1, "spread-checks <0..50>")
    section.spread_checks = whole(value, 0, 50, "'spread-checks'")


@keyword("global", "max-spread-checks")
def max_spread_checks(line: Line, section: Global, context: Context) -> None:
    """`max-spread-checks TIME`: the first checks are spread over no more than this."""
    (value,) = only(line, 1, "max-spread-checks <time>")
    section.max_spread_checks = seconds(value)


@keyword("global", "pidfile", "node", "description", "localpeer", "log-tag")
def texts(line: Line, section: Global, context: Context) -> None:
    """Keywords that take one text."""
    name = line.words[0].replace("-", "_")
    if name == "description":
        section.description = " ".join(line.words[1:])
        return
    (value,) = only(line, 1, f"{line.words[0]} <text>")
    if name == "node" and not re.fullmatch(r"[A-Za-z0-9._-]+", value):
        raise Refused(f"invalid node name '{value}'; use A-Z a-z 0-9 . _ -")
    if name == "localpeer" and context.config.peers:
        raise Refused("'localpeer' must stand before the first peers section")
    setattr(section, name, value)


@keyword("global", "log-send-hostname")
def log_send_hostname(line: Line, section: Global, context: Context) -> None:
    """`log-send-hostname [NAME]`: put a host name into syslog headers."""
    section.log_hostname = line.words[1] if len(line.words) > 1 else os.uname().nodename


@keyword("global", "tune.http.logurilen", "tune.http.cookielen")
def log_lengths(line: Line, section: Global, context: Context) -> None:
    """`tune.http.logurilen N`, `tune.http.cookielen N`: the most bytes of a request line or cookie in logs."""
    (text,) = only(line, 1, f"{line.words[0]} <number>")
    length = whole(text, 1, 2**31 - 1, f"'{line.words[0]}'")
    if line.words[0] == "tune.http.logurilen":
        section.log_uri = length
    else:
        section.cookie_length = length


@keyword("global", "log", negatable=True)
def log(line: Line, section: Global, context: Context) -> None:
    """`log TARGET ...` (section 3.1); `no log` forgets all before it."""
    if context.negated:
        section.logs.clear()
    else:
        section.logs.append(log_target(line, context))


@keyword("global", "master-worker")
def master_worker(line: Line, section: Global, context: Context) -> None:
    """`master-worker`: the same as -W, a master process that reloads by replacing its worker."""
    if line.words[1:] not in ((), ("no-exit-on-failure",)):
        raise Refused("'master-worker' takes no argument but 'no-exit-on-failure'")
    if line.words[1:]:
        raise NotServed("master-worker no-exit-on-failure")
    section.master_worker = True


@keyword("global", "hard-stop-after")
def hard_stop_after(line: Line, section: Global, context: Context) -> None:
    """`hard-stop-after TIME`: how long a soft stop may last."""
    (value,) = only(line, 1, "hard-stop-after <time>")
    section.hard_stop_after = seconds(value)


@keyword("global", "setenv", "presetenv", "unsetenv", "resetenv")
def environment(line: Line, section: Global, context: Context) -> None:
    """Change the variables the rest of the configuration sees (section 3.1)."""
    name, words = line.words[0], line.words[1:]
    if name in ("setenv", "presetenv"):
        variable, value = only(line, 2, f"{name} <name> <value>")
        if name == "setenv" or variable not in context.env:
            context.env[variable] = value
        return
    if name == "unsetenv" and not words:
        raise Refused("'unsetenv' expects at least one name")
    for variable in list(context.env):
        if (name == "unsetenv") == (variable in words):
            del context.env[variable]


@keyword("global", "h1-case-adjust")
def h1_case_adjust(line: Line, section: Global, context: Context) -> None:
    """`h1-case-adjust from to`: restore the case of one header name where an option asks for it."""
    low, wanted = only(line, 2, "h1-case-adjust <from> <to>")
    if low != low.lower() or wanted.lower() != low:
        raise Refused(f"'{wanted}' must be '{low}' with other case, and '{low}' in lower case")
    if low in section.case_adjust:
        raise Refused(f"duplicate case adjustment for '{low}'")
    section.case_adjust[low] = wanted


@keyword("global", "h1-case-adjust-file")
def h1_case_adjust_file(line: Line, section: Global, context: Context) -> None:
    """`h1-case-adjust-file FILE`: pairs of names, one a line."""
    (path,) = only(line, 1, "h1-case-adjust-file <file>")
    for number, text in enumerate(read_text(path, "case adjustment file").splitlines(), 1):
        words = text.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or words[0] != words[1].lower():
            raise Refused(f"'{path}' line {number}: expects '<from> <to>', the same name in lower case and as wanted")
        section.case_adjust[words[0]] = words[1]


@keyword("global", "tune.bufsize", "tune.maxrewrite", "tune.http.maxhdr", "tune.h1.fast-lane")
def tuning(line: Line, section: Global, context: Context) -> None:
    """The tuning keywords that mean something here: limits of a head, and trilb's own `tune.h1.fast-lane`."""
    name = line.words[0]
    (value,) = only(line, 1, f"{name} <value>")
    if name == "tune.bufsize":
        section.bufsize = size(value)
        if section.bufsize < 1024:
            raise Refused("'tune.bufsize' must be at least 1024")
    elif name == "tune.maxrewrite":
        section.maxrewrite = size(value)
    elif name == "tune.http.maxhdr":
        section.max_headers = whole(value, 1, 32767, f"'{name}'")
    elif value in ("on", "off"):
        section.fast_lane = value == "on"
    else:
        raise Refused("'tune.h1.fast-lane' expects 'on' or 'off'")


_H2: dict[str, tuple[str, int, int]] = {
    "max-concurrent-streams": ("streams", 0, 2**31 - 1),
    "fe.max-concurrent-streams": ("fe_streams", 0, 2**31 - 1),
    "fe.max-total-streams": ("total_streams", 0, 2**31 - 1),
    "fe.glitches-threshold": ("glitches", 0, 2**31 - 1),
    "header-table-size": ("header_table", 0, 65536),
    "initial-window-size": ("window", 0, 2**31 - 1),
    "fe.initial-window-size": ("fe_window", 0, 2**31 - 1),
    "max-frame-size": ("frame_size", 16384, 16777215),
    "fe.rxbuf": ("rxbuf", 0, 2**31 - 1),
    "be.max-concurrent-streams": ("be_streams", 0, 2**31 - 1),
    "be.initial-window-size": ("be_window", 0, 2**31 - 1),
}
"""`tune.h2.NAME`: the field of H2Limits, the least and the most."""


@keyword("global", *(f"tune.h2.{name}" for name in _H2))
def h2_limits(line: Line, section: Global, context: Context) -> None:
    """`tune.h2.*`: limits of HTTP/2 (section 3.2)."""
    name = line.words[0]
    if name.endswith(".max-concurrent-streams") and len(line.words) == 4 and line.words[2] == "rq-load":
        # How busy the machine is does not change what is advertised: there is one task queue and no threads.
        value = line.words[1]
    else:
        (value,) = only(line, 1, f"{name} <number>")
    field, least, most = _H2[name.removeprefix("tune.h2.")]
    number = size(value) if field == "rxbuf" else whole(value, least, most, f"'{name}'")
    setattr(section.h2, field, number)


@keyword("global", "tune.h2.log-errors")
def h2_log_errors(line: Line, section: Global, context: Context) -> None:
    """`tune.h2.log-errors none|connection|stream`: which faults of a client on HTTP/2 are logged."""
    (value,) = only(line, 1, "tune.h2.log-errors { none | connection | stream }")
    if value not in ("none", "connection", "stream"):
        raise Refused(f"'tune.h2.log-errors' expects none, connection or stream, not '{value}'")
    section.h2.log_errors = value


@keyword("global", "h2-workaround-bogus-websocket-clients", negatable=True)
def h2_websockets(line: Line, section: Global, context: Context) -> None:
    """`h2-workaround-bogus-websocket-clients`: do not offer websockets over HTTP/2 (RFC 8441)."""
    only(line, 0, line.words[0])
    section.h2.websockets = context.negated


@keyword("global", "tune.stick-counters")
def stick_counters(line: Line, section: Global, context: Context) -> None:
    """`tune.stick-counters N`: how many entries a session and a request may track at once."""
    (value,) = only(line, 1, "tune.stick-counters <number>")
    section.stick_counters = whole(value, 0, 100, "'tune.stick-counters'")


@keyword("global", "http-err-codes", "http-fail-codes")
def codes(line: Line, section: Global, context: Context) -> None:
    """`http-err-codes [+-]RANGE[,...] ...`: statuses that count as the client's errors, or as the server's failures."""
    if len(line.words) < 2:
        raise Refused(f"'{line.words[0]}' expects ranges of statuses, as in 400-499 -404")
    name = "error_codes" if line.words[0] == "http-err-codes" else "failure_codes"
    now: frozenset[int] = getattr(section, name)
    for word, column in zip(line.words[1:], line.columns[1:], strict=True):
        sign = word[0] if word[0] in "+-" else ""
        given: set[int] = set()
        for part in word[len(sign) :].split(","):
            low, dash, high = part.partition("-")
            if not low.isdigit() or (dash and not high.isdigit()) or not 100 <= int(low) <= int(high or low) <= 599:
                raise Refused(f"'{part}' is no status from 100 to 599 and no range of them", column=column)
            given.update(range(int(low), int(high or low) + 1))
        now = now | given if sign == "+" else now - given if sign == "-" else frozenset(given)
    setattr(section, name, now)


def unregistered(word: str, line: Line, context: Context) -> bool:
    """Deal with a global keyword nobody registered: without effect, or not served. False when it is unknown."""
    if word in known.NO_EFFECT_GLOBAL or (word.startswith("tune.") and word in known.GLOBAL):
        context.config.without_effect.setdefault(word, line.place)
        return True
    if word in known.GLOBAL:
        context.unserved(word, line.place)
        return True
    return False


def parse_process_variable(name: str, text: str, *, formatted: bool, scope: Scope) -> tuple[str, Expr | Format]:
    """A `proc` variable and what it is set to, from internal samples only. Raises Refused."""
    if not variable_name(name).startswith("proc."):
        raise Refused(f"'{name}': only variables of the scope 'proc' live as long as the process")
    return name, parse_format(text, scope) if formatted else parse_expr(text, scope)[0]


@keyword("global", "set-var", "set-var-fmt")
def set_var(line: Line, section: Global, context: Context) -> None:
    """`set-var NAME EXPRESSION`, `set-var-fmt NAME FORMAT`: variables of the process, set at start."""
    formatted = line.words[0] == "set-var-fmt"
    if len(line.words) < 3 or (formatted and len(line.words) > 3):
        raise Refused(f"'{line.words[0]}' expects a variable and {'a format' if formatted else 'an expression'}")
    scope = Scope(
        context.language,
        "",
        line.place,
        "connection",
        references=context.references,
        patterns=context.config.patterns,
        base=context.base,
    )
    text = line.words[2] if formatted else " ".join(line.words[2:])
    name, value = parse_process_variable(line.words[1], text, formatted=formatted, scope=scope)
    section.variables.append((name, value, line.place))
