"""`stats ...` lines of a proxy: the statistics page (section 4.2)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import milliseconds
from trilb.config import known
from trilb.config.expressions import NotServed, parse_condition
from trilb.config.keywords.registry import Context, keyword
from trilb.config.lexer import Line
from trilb.config.model import Proxy, Stats

_KNOWN = ("enable", "uri", "refresh", "auth", "admin", "hide-version", "realm")
_LATER = ("http-request", "scope", "show-desc", "show-legends", "show-modules", "show-node")


@keyword("proxy", "stats")
def stats(line: Line, proxy: Proxy, context: Context) -> None:
    """`stats enable|uri|refresh|auth|admin|hide-version|realm`."""
    what = line.words[1] if len(line.words) > 1 else ""
    value = line.words[2] if len(line.words) > 2 else ""
    if what in _LATER:
        raise NotServed(f"stats {what}")
    if what not in _KNOWN:
        raise Refused(f"'stats' does not know '{what}'{nearest(what, [*_KNOWN, *_LATER, *known.SECTIONS])}")
    made = proxy.stats = proxy.stats or Stats()
    if what in ("uri", "refresh", "auth", "realm") and not value:
        raise Refused(f"'stats {what}' expects an argument")
    if what == "uri":
        made.uri = value
    elif what == "refresh":
        made.refresh = milliseconds(value, "s") // 1000
    elif what == "realm":
        made.realm = value
    elif what == "auth":
        user, colon, password = value.partition(":")
        if not colon:
            raise Refused("'stats auth' expects <user>:<password>")
        made.auth = (*made.auth, (user, password))
    elif what == "hide-version":
        made.hide_version = True
    elif what == "admin":
        if proxy.kind == "defaults":
            raise Refused("'stats admin' not allowed in 'defaults' section")
        if value not in ("if", "unless"):
            raise Refused("'stats admin' requires either 'if' or 'unless' followed by a condition")
        scope = context.scope(proxy, line.place, "request")
        made.admin = (*made.admin, parse_condition(list(line.words[2:]), scope, lambda acl: acl in proxy.acls))
