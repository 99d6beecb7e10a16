"""ACLs, rules and content switching (sections 4.2, 4.3 and 7)."""

from __future__ import annotations

import re
from dataclasses import replace

from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import milliseconds
from trilb.config import known
from trilb.config.expressions import NotServed, parse_acl, parse_condition, parse_format, split_condition
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.model import Proxy
from trilb.config.terms import AclSpec, Cond, Expr, Rule, Spec, Term, UseBackend

_ACL_NAME = re.compile(r"[A-Za-z0-9_.:-]+\Z")
_RESERVED = ("or", "if", "unless", "||", "{", "}")


def condition(line: Line, words: list[str], proxy: Proxy, context: Context, at: str) -> Cond | None:
    """Read the `if`/`unless` part of a rule; None when it has none."""
    if not words:
        return None
    made = parse_condition(words, context.scope(proxy, line.place, at), lambda name: name in proxy.acls)
    if at not in ("request", "response"):
        return made
    alternatives = tuple(
        tuple(_compatible(term, line, proxy, context, at) for term in terms) for terms in made.alternatives
    )
    return replace(made, alternatives=alternatives)


def _compatible(term: Term, line: Line, proxy: Proxy, context: Context, at: str) -> Term:
    """The term without tests of what does not exist here: a request's headers are gone when its answer is judged."""
    specs = proxy.acls.get(term.name, ()) if term.acl is None else ()
    fetches = context.language.fetches.entries
    kept = tuple(s for s in specs if fetches[s.expr.fetch.name].facts.get("at", "any") in ("any", at))
    if len(kept) == len(specs):
        return term
    if not kept:
        context.report.warn(
            line.place,
            f"acl '{term.name}' will never match because it only involves keywords that are incompatible with"
            f" '{line.words[0]}' rules",
        )
        kept = (AclSpec(Expr(Spec("always_false")), "bool", place=line.place),)
    return replace(term, resolved=kept)


@keyword("proxy", "acl")
def acl(line: Line, proxy: Proxy, context: Context) -> None:
    """`acl NAME CRITERION [flags] [patterns]`; lines of one name add up."""
    if proxy.kind == "defaults" and not proxy.name:
        raise Refused("'acl' is not allowed in an anonymous defaults section; give the section a name")
    if len(line.words) < 3:
        raise Refused("'acl' expects a name and a criterion")
    name = line.words[1]
    if not _ACL_NAME.match(name) or name in _RESERVED:
        raise Refused(f"invalid ACL name '{name}'", column=line.columns[1])
    try:
        made = parse_acl(list(line.words[2:]), context.scope(proxy, line.place))
    except NotServed as refused:
        # The name exists all the same, so that rules which use it are not reported as well.
        proxy.acls[name] = (*proxy.acls.get(name, ()),)
        raise NotServed(refused.text, column=line.columns[2]) from None
    except Refused as refused:
        raise Refused(f"acl '{name}' : {refused.text}", column=line.columns[2]) from None
    proxy.acls[name] = (*proxy.acls.get(name, ()), made)


@keyword("proxy", "default_backend")
def default_backend(line: Line, proxy: Proxy, context: Context) -> None:
    """`default_backend NAME`."""
    (proxy.default_backend,) = only(line, 1, "default_backend <backend>")
    proxy.default_backend_place, proxy.inherits_backend = line.at(1), False
    if proxy.kind == "backend":
        context.report.warn(
            line.at(0), f"'default_backend' ignored because backend '{proxy.name}' has no frontend capability"
        )


@keyword("proxy", "use_backend", where="FL")
def use_backend(line: Line, proxy: Proxy, context: Context) -> None:
    """`use_backend NAME [if|unless CONDITION]`."""
    words, when = split_condition(line.words[1:])
    if len(words) != 1:
        raise Refused("'use_backend' expects a backend name, then 'if' or 'unless' and a condition")
    dynamic = parse_format(words[0], context.scope(proxy, line.place, "request")) if "%[" in words[0] else None
    rule = UseBackend(words[0], condition(line, when, proxy, context, "request"), line.at(1), dynamic)
    proxy.use_backend.append(rule)


@keyword("proxy", "force-be-switch", where="FL")
def force_be_switch(line: Line, proxy: Proxy, context: Context) -> None:
    """`force-be-switch if|unless CONDITION`: these requests may reach backends that are not published."""
    _, when = split_condition(line.words[1:])
    if line.words[1:2] not in (("if",), ("unless",)):
        raise Refused("'force-be-switch' expects 'if' or 'unless' and a condition")
    made = condition(line, when, proxy, context, "request")
    assert made is not None
    proxy.force_switch.append(made)


@keyword("proxy", "be-unpublished", where="LB")
def be_unpublished(line: Line, proxy: Proxy, context: Context) -> None:
    """`be-unpublished`: other proxies' rules pass this backend over until it is published."""
    only(line, 0, "be-unpublished")
    proxy.unpublished = True


@keyword("proxy", "use-server", where="LB")
def use_server(line: Line, proxy: Proxy, context: Context) -> None:
    """`use-server NAME [if|unless CONDITION]`."""
    words, when = split_condition(line.words[1:])
    if len(words) != 1:
        raise Refused("'use-server' expects a server name, then 'if' or 'unless' and a condition")
    dynamic = parse_format(words[0], context.scope(proxy, line.place, "request")) if "%[" in words[0] else None
    rule = UseBackend(words[0], condition(line, when, proxy, context, "request"), line.at(1), dynamic)
    proxy.use_server.append(rule)


_KNOWN = {
    "http-request": known.HTTP_REQUEST_ACTIONS,
    "http-response": known.HTTP_RESPONSE_ACTIONS,
    "http-after-response": known.HTTP_AFTER_RESPONSE_ACTIONS,
    "tcp-request connection": known.TCP_REQUEST_CONNECTION_ACTIONS,
    "tcp-request session": known.TCP_REQUEST_SESSION_ACTIONS,
    "tcp-request content": known.TCP_REQUEST_CONTENT_ACTIONS,
    "tcp-response content": known.TCP_RESPONSE_CONTENT_ACTIONS,
}


def _add(line: Line, proxy: Proxy, context: Context, family: str, at: str, words: tuple[str, ...]) -> None:
    named_defaults_only(proxy, family)
    rule = action(line, proxy, context, family, at, words)
    proxy.rules[family] = (*proxy.rules.get(family, ()), rule)
    proxy.plain_rules.add(family)


def action(line: Line, proxy: Proxy, context: Context, family: str, at: str, rest: tuple[str, ...]) -> Rule:
    """Read `ACTION arguments [if|unless ...]` of a rule set."""
    registry = context.language.actions[family]
    words, when = split_condition(rest)
    if not words:
        raise Refused(f"'{family}' expects an action{nearest('', registry)}")
    name, parenthesis, inner = words[0].partition("(")
    entry = registry.get(name)
    if entry is None:
        names = _KNOWN[family]
        if name in names or name.rstrip("0123456789") in {n.rstrip("0123456789<>-") for n in names}:
            _unserved_rule(line, proxy, context, family, name, when, at)
        raise Refused(f"unknown {family} action '{name}'{nearest(name, [*registry, *names])}", column=line.columns[1])
    if bool(parenthesis) is not bool(entry.facts.get("named")):
        usage = f"{name}(<name>) ..." if entry.facts.get("named") else f"'{name}' without parentheses"
        raise Refused(f"{family} action '{name}' expects {usage}", column=line.columns[1])
    parse = entry.facts["parse"]
    assert callable(parse)
    arguments = parse(
        [inner.rstrip(")"), *words[1:]] if parenthesis else words[1:], context.scope(proxy, line.place, at)
    )
    return Rule(Spec(name, arguments, line.place), condition(line, when, proxy, context, at), line.place)


def _unserved_rule(
    line: Line, proxy: Proxy, context: Context, family: str, name: str, when: list[str], at: str
) -> None:
    proxy.unique_rules.add(family)
    if when:
        condition(line, when, proxy, context, at)
    raise NotServed(f"{family} {name}", column=line.columns[1])


@keyword("proxy", "http-request")
def http_request(line: Line, proxy: Proxy, context: Context) -> None:
    """`http-request ACTION [if|unless CONDITION]`."""
    _order(line, proxy, context, "http-request")
    _add(line, proxy, context, "http-request", "request", line.words[1:])


@keyword("proxy", "http-response")
def http_response(line: Line, proxy: Proxy, context: Context) -> None:
    """`http-response ACTION [if|unless CONDITION]`."""
    _add(line, proxy, context, "http-response", "response", line.words[1:])


@keyword("proxy", "http-after-response")
def http_after_response(line: Line, proxy: Proxy, context: Context) -> None:
    """`http-after-response ACTION [if|unless CONDITION]`: on every answer, trilb's own included."""
    _add(line, proxy, context, "http-after-response", "response", line.words[1:])


_ORDER = ("tcp-request session", "tcp-request content", "http-request", "redirect", "use_backend", "use-server")
"""What is evaluated after what; tcp-request connection comes before all of it."""


def _order(line: Line, proxy: Proxy, context: Context, family: str) -> None:
    """Rules run by kind, not by line: one written after a later kind is probably not meant so."""
    present = {
        "redirect": proxy.redirects,
        "use_backend": bool(proxy.use_backend),
        "use-server": bool(proxy.use_server),
        "http-request": "http-request" in proxy.plain_rules,
    }
    later = _ORDER[_ORDER.index(family) + 1 :] if family in _ORDER else _ORDER
    for kind in later:
        if present.get(kind, kind in proxy.plain_rules):
            context.report.warn(
                line.at(0), f"a '{line.words[0]}' rule placed after a '{kind}' rule will still be processed before"
            )
            return


@keyword("proxy", "redirect", where="FLB")
def redirect(line: Line, proxy: Proxy, context: Context) -> None:
    """`redirect ...`: the old spelling of `http-request redirect`."""
    _order(line, proxy, context, "redirect")
    proxy.redirects = True
    before = set(proxy.plain_rules)
    words, when = split_condition(line.words)
    # The old spelling knows no formats: what it says stands for itself.
    for at, word in enumerate(words[:-1]):
        if word in ("location", "prefix", "scheme"):
            words[at + 1] = words[at + 1].replace("%", "%%")
    _add(line, proxy, context, "http-request", "request", (*words, *when))
    proxy.plain_rules = before


@keyword("proxy", "tcp-request")
def tcp_request(line: Line, proxy: Proxy, context: Context) -> None:
    """`tcp-request connection|session|content ACTION [if|unless CONDITION]`, `tcp-request inspect-delay TIME`."""
    kind = line.words[1] if len(line.words) > 1 else ""
    if kind == "inspect-delay":
        named_defaults_only(proxy, line.words[0])
        proxy.inspect_delay = _delay(line)
    elif kind in ("connection", "session"):
        _order(line, proxy, context, f"tcp-request {kind}")
        if proxy.kind == "backend":
            raise Refused(f"'tcp-request {kind}' is not allowed in a backend; only its 'content' rules are")
        _add(line, proxy, context, f"tcp-request {kind}", kind, line.words[2:])
    elif kind == "content":
        _order(line, proxy, context, "tcp-request content")
        _add(line, proxy, context, "tcp-request content", "request", line.words[2:])
    else:
        raise Refused("'tcp-request' expects 'connection', 'session', 'content' or 'inspect-delay'")


@keyword("proxy", "tcp-response")
def tcp_response(line: Line, proxy: Proxy, context: Context) -> None:
    """`tcp-response content ACTION [if|unless CONDITION]`, `tcp-response inspect-delay TIME`."""
    kind = line.words[1] if len(line.words) > 1 else ""
    if proxy.kind == "frontend":
        raise Refused("'tcp-response' is not allowed in a frontend")
    if kind == "inspect-delay":
        named_defaults_only(proxy, line.words[0])
        proxy.response_inspect_delay = _delay(line)
    elif kind == "content":
        _add(line, proxy, context, "tcp-response content", "response", line.words[2:])
    else:
        raise Refused("'tcp-response' expects 'content' or 'inspect-delay'")


def _delay(line: Line) -> float:
    if len(line.words) != 3:
        raise Refused(f"'{line.words[0]} inspect-delay' expects one time, as in 5s")
    return milliseconds(line.words[2]) / 1000


def named_defaults_only(proxy: Proxy, family: str) -> None:
    """Rules may stand in a defaults section only when it has a name (section 4.2 of each rule set)."""
    if proxy.kind == "defaults":
        if not proxy.name:
            raise Refused(f"'{family}' is not allowed in an anonymous defaults section; give the section a name")
        proxy.unique_rules.add(family)
