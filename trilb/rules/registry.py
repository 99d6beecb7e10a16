"""How actions are registered: one registry a rule set.

A factory gets its parsed arguments and a Builder, and returns `Stream -> Effect or None`. Facts: `parse` turns the
words after the action into arguments, `final` says that nothing after it is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from trilb.base.registry import Registry
from trilb.config.model import Format
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.samples.types import Resolver

http_request: Registry[Callable[..., Step]] = Registry("http-request action")
http_response: Registry[Callable[..., Step]] = Registry("http-response action")
families = {"http-request": http_request, "http-response": http_response}


class Builder(Resolver, Protocol):
    """What factories build their arguments with."""

    def writer(self, text: Format) -> Callable[[Stream], bytes]:
        """The closure of a log format."""
