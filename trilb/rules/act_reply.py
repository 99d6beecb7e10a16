"""Actions that end a request: allow, deny, tarpit, return, auth, reject, silent-drop (configuration.txt, 4.4)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.base.units import whole
from trilb.config.expressions import Scope
from trilb.config.model import ReplyLine, Source
from trilb.config.replies import handled, parse_reply
from trilb.live.effects import ALLOW, Challenge, Deny, Drop, Effect, Return, Tarpit
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.answers import answer
from trilb.rules.registry import HTTP, REQUEST, RESPONSE, TCP, Builder, action


def _nothing(words: list[str], scope: Scope) -> tuple[object, ...]:
    if words:
        raise Refused(f"cannot handle unexpected argument '{words[0]}'; the action takes none")
    return ()


def _refusal(words: list[str], scope: Scope, status: int) -> tuple[object, ...]:
    """Words of deny and tarpit: nothing, or deny_status alone, mean the proxy's error page."""
    if not words or (words[0] == "deny_status" and len(words) == 2):
        if words:
            status = handled(words[1], "'deny_status'")
        return (ReplyLine(status, Source.DEFAULT, place=scope.place),)
    if words[0] == "deny_status":
        words = ["status", *words[1:]]
    return (parse_reply(words, scope, status),)


def _deny(words: list[str], scope: Scope) -> tuple[object, ...]:
    return _refusal(words, scope, 502 if scope.at == "response" else 403)


def _tarpit(words: list[str], scope: Scope) -> tuple[object, ...]:
    return _refusal(words, scope, 500)


def _return(words: list[str], scope: Scope) -> tuple[object, ...]:
    return (parse_reply(words, scope, 200),)


def _auth(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words:
        return (None,)
    if words[0] != "realm":
        raise Refused(f"'auth' knows 'realm <realm>', not '{words[0]}'")
    if len(words) < 2:
        raise Refused("'auth realm' expects a value")
    if len(words) > 2:
        raise Refused(f"'auth' cannot handle unexpected argument '{words[2]}'; quote a realm that has blanks")
    return (words[1],)


def _ttl(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words:
        return (0,)
    if words[0] != "rst-ttl" or len(words) != 2:
        raise Refused("'silent-drop' takes nothing, or 'rst-ttl <ttl>'")
    return (whole(words[1], 1, 255, "'rst-ttl'"),)


@action("allow", on=HTTP, source="4.4", parse=_nothing, final=True)
def allow(builder: Builder) -> Step:
    """Stop evaluating this rule set and go on."""
    return lambda stream: ALLOW


@action("deny", on=(REQUEST, RESPONSE), source="4.4", parse=_deny, final=True)
def deny(line: ReplyLine, builder: Builder) -> Step:
    """Refuse with an error page, or with the given answer."""
    effect = Deny(line.status, answer(line, builder))
    return lambda stream: effect


@action("return", on=(REQUEST, RESPONSE), source="4.4", parse=_return, final=True)
def send_back(line: ReplyLine, builder: Builder) -> Step:
    """Answer with a status, fields and a text, or with a file."""
    effect = Return(line.status, answer(line, builder))
    return lambda stream: effect


@action("tarpit", on=(REQUEST,), source="4.4", parse=_tarpit, final=True)
def tarpit(line: ReplyLine, builder: Builder) -> Step:
    """Hold the client for `timeout tarpit`, then refuse."""
    effect = Tarpit(line.status, answer(line, builder))
    return lambda stream: effect


@action("auth", on=(REQUEST,), source="4.4", parse=_auth, final=True)
def auth(realm: str | None, builder: Builder) -> Step:
    """Ask the client for a user and a password."""
    effect: Effect = Challenge(realm.encode("latin-1") if realm is not None else None)
    return lambda stream: effect


@action("disable-l7-retry", on=(REQUEST,), source="4.4", parse=_nothing)
def disable_l7_retry(builder: Builder) -> Step:
    """Send this request once only, whatever `retry-on` says."""

    def act(stream: Stream) -> None:
        stream.no_l7_retry = True

    return act


@action("reject", on=(REQUEST,), source="4.4", parse=_nothing, final=True)
def reject(builder: Builder) -> Step:
    """Close without an answer."""
    effect = Drop(silent=False)
    return lambda stream: effect


@action("silent-drop", on=(REQUEST, RESPONSE, *TCP), source="4.4", parse=_ttl, final=True)
def silent_drop(ttl: int, builder: Builder) -> Step:
    """Vanish: close without telling the client; `rst-ttl` tells the equipment on so many hops."""
    effect = Drop(silent=True, ttl=ttl)
    return lambda stream: effect
