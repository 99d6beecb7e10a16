"""Actions on logging: set-log-level (configuration.txt, section 4.4)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.diagnostic import Refused, nearest
from trilb.base.registry import Registry
from trilb.config.expressions import Scope
from trilb.config.keywords.logs import LEVELS
from trilb.live.plan import Step
from trilb.live.stream import SILENT, Stream
from trilb.rules.registry import Builder, http_request, http_response


def _parse(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 1 or words[0] not in (*LEVELS, "silent"):
        word = words[0] if words else ""
        raise Refused(f"'set-log-level' expects a level or 'silent', not '{word}'{nearest(word, LEVELS)}")
    return (SILENT if words[0] == "silent" else LEVELS.index(words[0]),)


def _register(registry: Registry[Callable[..., Step]]) -> None:
    @registry.register("set-log-level", source="4.4", parse=_parse)
    def set_log_level(level: int, builder: Builder) -> Step:
        """Log this stream at another level, or not at all."""

        def act(stream: Stream) -> None:
            stream.log_level = level

        return act


_register(http_request)
_register(http_response)
