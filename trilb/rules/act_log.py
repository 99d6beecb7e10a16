"""Actions on logging: set-log-level and do-log (configuration.txt, section 4.4)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused, nearest
from trilb.config.expressions import Scope
from trilb.config.keywords.logs import LEVELS
from trilb.live.plan import Step
from trilb.live.stream import SILENT, Stream
from trilb.rules.registry import (
    AFTER,
    CONNECTION,
    CONTENT,
    HTTP,
    REQUEST,
    RESPONSE,
    SESSION,
    TCP,
    TCP_RESPONSE,
    Builder,
    action,
)

ORIGINS = {
    CONNECTION: "tcp-req-conn",
    SESSION: "tcp-req-sess",
    CONTENT: "tcp-req-cont",
    TCP_RESPONSE: "tcp-res-cont",
    REQUEST: "http-req",
    RESPONSE: "http-res",
    AFTER: "http-after-res",
}
"""What a rule set is called in log profiles and by %OG."""


def _parse(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 1 or words[0] not in (*LEVELS, "silent"):
        word = words[0] if words else ""
        raise Refused(f"'set-log-level' expects a level or 'silent', not '{word}'{nearest(word, LEVELS)}")
    return (SILENT if words[0] == "silent" else LEVELS.index(words[0]),)


@action("set-log-level", on=(REQUEST, RESPONSE, AFTER, CONTENT, TCP_RESPONSE), source="4.4", parse=_parse)
def set_log_level(level: int, builder: Builder) -> Step:
    """Log this stream at another level, or not at all."""

    def act(stream: Stream) -> None:
        stream.log_level = level

    return act


def _parse_do_log(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words:
        return ("",)
    if words[0] != "profile" or len(words) != 2:
        raise Refused(f"'do-log' expects nothing or 'profile <name>', not '{' '.join(words)}'")
    return (words[1],)


@action("do-log", on=(*HTTP, *TCP), source="4.4", parse=_parse_do_log)
def do_log(profile: str, builder: Builder) -> Step:
    """Write a log line now; a profile may say how it looks."""
    return builder.logger(ORIGINS[builder.family], profile)
