"""Actions that decide over connections: accept, reject, expect-proxy, switch-mode (configuration.txt, section 4.4)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.config.expressions import NotServed, Scope
from trilb.live.effects import ALLOW, Drop, ExpectProxy, Upgrade
from trilb.live.plan import Step
from trilb.rules.registry import CONNECTION, CONTENT, SESSION, TCP, TCP_RESPONSE, Builder, action


def _nothing(words: list[str], scope: Scope) -> tuple[object, ...]:
    if words:
        raise Refused(f"unexpected argument '{words[0]}'; the action takes none")
    return ()


def _layer4(words: list[str], scope: Scope) -> tuple[object, ...]:
    if words != ["layer4"]:
        raise Refused("'expect-proxy' expects 'layer4'")
    return ()


def _mode(words: list[str], scope: Scope) -> tuple[object, ...]:
    if words[:1] != ["http"]:
        raise Refused("'switch-mode' expects 'http', optionally followed by 'proto <name>'")
    if len(words) == 3 and words[1] == "proto":
        if words[2] not in ("h1", "h2", "none"):
            raise NotServed(f"switch-mode http proto {words[2]}")
        return (words[2],)
    if len(words) > 1:
        raise Refused(f"'switch-mode http' expects 'proto <name>' or nothing, not '{words[1]}'")
    return ("",)


@action("accept", on=TCP, source="4.4", parse=_nothing, final=True)
def accept(builder: Builder) -> Step:
    """Stop evaluating this rule set and go on."""
    return lambda stream: ALLOW


@action("reject", on=(CONNECTION, SESSION, CONTENT, TCP_RESPONSE), source="4.4", parse=_nothing, final=True)
def reject(builder: Builder) -> Step:
    """Close the connection without an answer."""
    drop = Drop(silent=False)
    return lambda stream: drop


@action("close", on=(TCP_RESPONSE,), source="4.4", parse=_nothing, final=True)
def close(builder: Builder) -> Step:
    """Close the connection to the server at once."""
    drop = Drop(silent=False)
    return lambda stream: drop


@action("expect-proxy", on=(CONNECTION,), source="4.4", parse=_layer4)
def expect_proxy(builder: Builder) -> Step:
    """Read a PROXY header from this connection before anything else, as `accept-proxy` does for all."""
    wanted = ExpectProxy()
    return lambda stream: wanted


@action("switch-mode", on=(CONTENT,), source="4.4", parse=_mode, final=True)
def switch_mode(proto: str, builder: Builder) -> Step:
    """Go on with the connection as HTTP."""
    upgrade = Upgrade(proto)
    return lambda stream: upgrade
