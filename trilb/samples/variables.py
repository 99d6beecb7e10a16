"""Variables: `proc`, `sess`, `txn`, `req`, `res` (configuration.txt, section 2.8).

Each scope is a dictionary made at the first set. A variable remembers nothing but its value; whose type is told
from the value, an address being an `Addr`.
"""

from __future__ import annotations

from trilb.base.registry import variable_name
from trilb.live.stream import Stream
from trilb.samples.types import Value


class Variable:
    """One variable, as rules and expressions reach it."""

    __slots__ = ("name", "scope")

    def __init__(self, text: str) -> None:
        self.scope, _, self.name = variable_name(text).partition(".")

    def _values(self, stream: Stream) -> dict[str, Value] | None:
        scope = self.scope
        if scope == "txn":
            return stream.txn_vars
        if scope == "sess":
            return stream.session.vars
        if scope == "req":
            return stream.req_vars
        if scope == "res":
            return stream.res_vars
        return stream.frontend.process.vars if scope == "proc" else None

    def get(self, stream: Stream) -> Value | None:
        """The value, None while unset."""
        values = self._values(stream)
        return None if values is None else values.get(self.name)

    def set(self, stream: Stream, value: Value) -> None:
        """Give it a value."""
        values = self._values(stream)
        if values is None:
            values = {}
            scope = self.scope
            if scope == "txn":
                stream.txn_vars = values
            elif scope == "sess":
                stream.session.vars = values
            elif scope == "req":
                stream.req_vars = values
            elif scope == "res":
                stream.res_vars = values
        values[self.name] = value

    def unset(self, stream: Stream) -> None:
        """Forget the value."""
        values = self._values(stream)
        if values is not None:
            values.pop(self.name, None)
