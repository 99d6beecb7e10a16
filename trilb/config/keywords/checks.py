"""Keywords of health checks: `option ...-check`, `http-check`, `tcp-check`, and healthcheck sections (12.9)."""

from __future__ import annotations

import re
from dataclasses import replace

from trilb.base.diagnostic import Refused, nearest
from trilb.config.expressions import Scope, parse_format
from trilb.config.keywords.registry import Context, keyword
from trilb.config.lexer import Line
from trilb.config.model import Proxy, Side
from trilb.config.probes import (
    AskStep,
    CheckStep,
    CommentStep,
    ConnectStep,
    ExpectStep,
    HealthCheck,
    Probe,
    VariableStep,
)
from trilb.config.steps import http_version, parse
from trilb.config.terms import Literal

KINDS = frozenset(
    "httpchk tcp-check ssl-hello-chk smtpchk pgsql-check redis-check mysql-check ldap-check spop-check".split()
)
"""Kinds of checks by their options."""
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*)\Z")


def with_option(probe: Probe, words: tuple[str, ...], scope: Scope) -> tuple[Probe, str]:
    """`option KIND ...` without its first word, and what to warn of. Raises Refused."""
    kind, rest = words[0], words[1:]
    if kind == "httpchk":
        ask, warning = _httpchk(rest, scope)
        return probe.with_option(kind, (), ask), warning
    if kind == "smtpchk":
        if len(rest) not in (0, 2):
            raise Refused("'option smtpchk' expects nothing, or HELO or EHLO and a domain")
        said = rest if rest and rest[0] in ("HELO", "EHLO") else ("HELO", "localhost")
        return probe.with_option(kind, said), ""
    if kind == "mysql-check":
        versions = ("pre-41", "post-41", "post-80")
        if rest and (rest[0] != "user" or len(rest) not in (2, 3) or (rest[2:] and rest[2] not in versions)):
            raise Refused(f"'option mysql-check' expects nothing, or 'user <name> [{'|'.join(versions)}]'")
        return probe.with_option(kind, rest[1:]), ""
    if kind == "pgsql-check":
        if len(rest) != 2 or rest[0] != "user":
            raise Refused("'option pgsql-check' expects 'user <name>'")
        return probe.with_option(kind, rest[1:]), ""
    if rest:
        raise Refused(f"'option {kind}' does not take any argument")
    return probe.with_option(kind, ()), ""


def _httpchk(words: tuple[str, ...], scope: Scope) -> tuple[AskStep, str]:
    if len(words) > 4:
        raise Refused("'option httpchk' expects at most a method, a URI, a version and a host")
    if len(words) == 1:
        return AskStep(uri=words[0]), ""
    method, uri, version, host = (*words, *("",) * (4 - len(words)))
    headers = []
    if host:
        headers.append(("host", parse_format(host, scope)))
    # The old way to send more: it follows the version.
    version, *lines = version.replace("\r\n", "\n").split("\n")
    body = ""
    if "" in lines:
        body = "\r\n".join(lines[lines.index("") + 1 :])
        lines = lines[: lines.index("")]
    for text in lines:
        found = _HEADER.match(text)
        if found is None:
            raise Refused(f"'option httpchk' : '{text}' behind the version is no header")
        headers.append((found[1].lower(), (Literal(found[2]),)))
    ask = AskStep(
        method or None,
        uri or None,
        http_version(version) if version else None,
        tuple(headers),
        body.encode("latin-1") if body else None,
    )
    hidden = "hiding headers or body at the end of the version string is deprecated; use 'http-check send'"
    return ask, f"'option httpchk' : {hidden}" if lines or body else ""


def check_option(line: Line, proxy: Proxy, context: Context) -> None:
    """`option KIND ...` in a proxy."""
    if proxy.kind == "frontend":
        context.report.warn(
            line.at(1), f"'option {line.words[1]}' ignored because frontend '{proxy.name}' has no backend capability"
        )
        return
    proxy.probe, warning = with_option(proxy.probe, line.words[1:], context.scope(proxy, line.place))
    if warning:
        context.report.warn(line.at(0), warning)


def _step(probe: Probe, line: Line, scope: Scope) -> Probe:
    family = line.words[0].removesuffix("-check")
    words = line.words[1:]
    if family == "http" and words == ("disable-on-404",):
        return replace(probe, disable_on_404=True)
    if family == "http" and words == ("send-state",):
        return replace(probe, send_state=True)
    step = parse(family, words, scope)
    _fits(family, probe, step)
    return probe.with_step(family, step)


def _fits(family: str, probe: Probe, step: CheckStep) -> None:
    """Refuse a step that cannot follow those before it (configuration.txt, `http-check connect`; observed)."""
    before = (probe.tcp if family == "tcp" else probe.http) if family in probe.own else ()
    done = [each for each in before if not isinstance(each, (VariableStep, CommentStep))]
    opened = any(isinstance(each, ConnectStep) for each in done)
    if isinstance(step, ConnectStep) and done and not opened:
        raise Refused(
            f"the first step must be a '{family}-check connect' where there is one; variables may be set before"
        )
    if family == "tcp" or not done:
        return
    last = done[-1]
    needed = ""
    if isinstance(step, ConnectStep) and not isinstance(last, ExpectStep):
        needed = "an expect"
    elif isinstance(step, AskStep) and not isinstance(last, ConnectStep):
        needed = "a connect"
    elif isinstance(step, ExpectStep) and isinstance(last, ConnectStep):
        needed = "a send"
    if needed:
        raise Refused(f"this 'http-check' step must follow {needed}")


@keyword("proxy", "http-check", "tcp-check", where="DLB")
def check_step(line: Line, proxy: Proxy, context: Context) -> None:
    """A step of a check, in the order in which they are taken."""
    proxy.probe = _step(proxy.probe, line, context.scope(proxy, line.place))


def _nowhere(section: HealthCheck) -> Proxy:
    """Whose expressions those of a healthcheck section are: no proxy's in particular."""
    return Proxy("", "defaults", section.place, Side.BACKEND)


@keyword("healthcheck", "type")
def check_type(line: Line, section: HealthCheck, context: Context) -> None:
    """`type KIND ...`: like the option of that name."""
    words = line.words[1:]
    if not words or words[0] not in KINDS:
        given = words[0] if words else ""
        raise Refused(f"'type' expects the kind of a check, not '{given}'{nearest(given, KINDS)}")
    if section.probe.kind:
        raise Refused(f"healthcheck '{section.name}' has a type already, {section.probe.kind}")
    section.probe, warning = with_option(section.probe, words, context.scope(_nowhere(section), line.place))
    if warning:
        context.report.warn(line.at(0), warning)


@keyword("healthcheck", "http-check", "tcp-check")
def section_step(line: Line, section: HealthCheck, context: Context) -> None:
    """A step, as in a proxy."""
    section.probe = _step(section.probe, line, context.scope(_nowhere(section), line.place))
