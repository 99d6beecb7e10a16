"""`stats ...` lines of a proxy: the statistics page (section 4.2)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import milliseconds
from trilb.config import known
from trilb.config.expressions import parse_condition
from trilb.config.keywords.registry import Context, keyword
from trilb.config.keywords.rules import action
from trilb.config.lexer import Line
from trilb.config.model import Proxy, Stats

_EXPECTED = {
    "uri": "an URI prefix, as in /haproxy?stats",
    "realm": "a realm name",
    "auth": "an account, as in user:password",
    "refresh": "a time, as in 5s",
    "scope": "a proxy's name, or '.' for this one",
}
_RULES = ("allow", "deny", "auth")


@keyword("proxy", "stats")
def stats(line: Line, proxy: Proxy, context: Context) -> None:
    """`stats enable|uri|refresh|auth|realm|admin|http-request|scope|hide-version|show-...`.

    Lines of a defaults section hold together: one line in a proxy, and none of them applies to it.
    """
    what = line.words[1] if len(line.words) > 1 else ""
    value = line.words[2] if len(line.words) > 2 else ""
    if what not in known.STATS_PROXY:
        expected = ", ".join(sorted(known.STATS_PROXY))
        raise Refused(
            f"'stats' does not know '{what}'{nearest(what, [*known.STATS_PROXY, *known.SECTIONS])}"
            if what
            else f"'stats' expects one of {expected}"
        )
    if what in ("admin", "http-request") and proxy.kind == "defaults":
        raise Refused(f"'stats {what}' not allowed in 'defaults' section")
    if not value and what in _EXPECTED:
        raise Refused(f"'stats {what}' expects {_EXPECTED[what]}")
    made = proxy.stats
    if made is None or made.inherited:
        made = proxy.stats = Stats()
    if what == "uri":
        made.uri = value
    elif what == "refresh":
        made.refresh = -(-milliseconds(value, "s") // 1000)
    elif what == "realm":
        made.realm = value
        _one_way_only(made)
    elif what == "auth":
        made.auth = (*made.auth, _account(value))
        _one_way_only(made)
    elif what == "scope":
        made.scope = (*made.scope, value)
    elif what == "show-node":
        made.show_node = value
    elif what == "show-desc":
        made.show_desc = " ".join(line.words[2:])
        if not value and not context.config.globals.description:
            context.report.warn(line.place, "'stats show-desc' shows nothing without a text or a global 'description'")
    elif what in ("show-legends", "show-modules"):
        setattr(made, what.replace("-", "_"), True)
    elif what in ("hide-version", "show-version"):
        made.hide_version = what == "hide-version"
    elif what == "admin":
        if value not in ("if", "unless"):
            raise Refused("'stats admin' requires either 'if' or 'unless' followed by a condition")
        scope = context.scope(proxy, line.place, "request")
        made.admin = (*made.admin, parse_condition(list(line.words[2:]), scope, lambda acl: acl in proxy.acls))
    elif what == "http-request":
        _rule(line, proxy, context, made, value)


def _account(value: str) -> tuple[str, str]:
    """User and password; without a colon HAProxy takes an empty password."""
    user, _, password = value.partition(":")
    return user, password


def _rule(line: Line, proxy: Proxy, context: Context, made: Stats, name: str) -> None:
    if name not in _RULES:
        raise Refused(f"'stats http-request' expects 'allow', 'deny' or 'auth', not '{name}'{nearest(name, _RULES)}")
    made.rules = (*made.rules, action(line, proxy, context, "http-request", "request", line.words[2:]))
    _one_way_only(made)


def _one_way_only(made: Stats) -> None:
    if made.rules and (made.auth or made.realm is not None):
        raise Refused("'stats auth' and 'stats realm' cannot be used together with 'stats http-request'")
