"""Variables: `proc`, `sess`, `txn`, `req`, `res`, `check` (configuration.txt, section 2.8).

Each scope is a dictionary made at the first set. A variable remembers nothing but its value; whose type is told
from the value, an address being an `Addr` and binary a `Bin`.
"""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.registry import variable_name
from trilb.live.stream import CheckStream, Stream
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
        if scope == "proc":
            return stream.frontend.process.vars
        # Variables of a check exist in checks alone.
        return stream.check_vars if isinstance(stream, CheckStream) else None

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


Condition = Callable[[Variable, Stream, Value], bool]


def _integers(one: Value | None, two: Value) -> bool:
    return type(one) is int and type(two) is int


_CONDITIONS: dict[str, Condition] = {
    # Those of `proc` exist from the start.
    "ifexists": lambda variable, stream, value: variable.scope == "proc" or variable.get(stream) is not None,
    "ifnotexists": lambda variable, stream, value: variable.scope != "proc" and variable.get(stream) is None,
    "ifset": lambda variable, stream, value: variable.get(stream) is not None,
    "ifnotset": lambda variable, stream, value: variable.get(stream) is None,
    "ifempty": lambda variable, stream, value: isinstance(value, bytes) and not value,
    "ifnotempty": lambda variable, stream, value: not isinstance(value, bytes) or bool(value),
    "ifgt": lambda variable, stream, value: (
        not _integers(old := variable.get(stream), value) or int(old or 0) > int(value)
    ),
    "iflt": lambda variable, stream, value: (
        not _integers(old := variable.get(stream), value) or int(old or 0) < int(value)
    ),
}


def may_set(names: list[str]) -> Condition | None:
    """Whether all the conditions of a `set-var` hold; None without any. Raises Refused for an unknown one."""
    for name in names:
        if name not in _CONDITIONS:
            raise Refused(f"unknown condition '{name}' of set-var; known are {', '.join(_CONDITIONS)}")
    tests = tuple(_CONDITIONS[name] for name in names)
    if not tests:
        return None
    return lambda variable, stream, value: all(test(variable, stream, value) for test in tests)
