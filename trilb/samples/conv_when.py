"""The converter `when` (configuration.txt, section 7.3.1)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, optional
from trilb.config.expressions import NotServed
from trilb.live.stream import Stream
from trilb.samples.types import StreamConvert, converter


def _error(stream: Stream) -> bool:
    # What `option dontlog-normal` still logs.
    return stream.cause not in "-L" or bool(stream.retries) or stream.redispatched or stream.status >= 500


def _forwarded(stream: Stream) -> bool:
    return stream.server is not None and bool(stream.connected)


def _applet(stream: Stream) -> bool:
    return stream.server is None and bool(stream.connected)


_CONDITIONS: dict[str, Callable[[Stream], bool]] = {
    "error": _error,
    "normal": lambda stream: not _error(stream),
    "forwarded": _forwarded,
    "toapplet": _applet,
    "processed": lambda stream: bool(stream.connected),
    "stopping": lambda stream: stream.frontend.stopped,
}


@converter(
    "when", args=(Arg("condition"), optional("argument")), takes="any", gives="same", stream=True, source="7.3.1"
)
def when(condition: str, argument: str | None) -> StreamConvert:
    """The value while a condition holds, nothing otherwise."""
    name = condition.removeprefix("!")
    if name == "acl":
        raise NotServed("condition 'acl' of converter 'when'")
    test = _CONDITIONS.get(name)
    if test is None:
        raise Refused(f"unknown condition '{condition}'; known are {', '.join(_CONDITIONS)} and acl")
    if argument is not None:
        raise Refused(f"condition '{name}' takes no argument")
    if condition.startswith("!"):
        return lambda value, stream: None if test(stream) else value
    return lambda value, stream: value if test(stream) else None
