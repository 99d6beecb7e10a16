"""Converters that count: arithmetic, bits, truth (configuration.txt, section 7.3.1).

Integers have 64 bits and a sign; what would overflow stays at the limit.
"""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.registry import Kind, optional
from trilb.live.stream import Stream
from trilb.samples.casts import any_int, clamped
from trilb.samples.types import Convert, StreamConvert, Value, converter
from trilb.samples.variables import Variable

_OPERAND = (optional("value", Kind.INT_OR_VAR, 0),)
_MOST = (1 << 63) - 1


def _operator(name: str, doc: str, operate: Callable[[int, int], int]) -> None:
    def factory(operand: int | Variable) -> StreamConvert:
        if isinstance(operand, int):
            number = operand
            return lambda value, stream: operate(int(value), number)

        def run(value: Value, stream: Stream) -> int | None:
            found = operand.get(stream)
            other = any_int(found) if found is not None else None
            return operate(int(value), other) if other is not None else None

        return run

    factory.__doc__ = doc
    converter(name, args=_OPERAND, takes="sint", gives="sint", stream=True, source="7.3.1")(factory)


def _div(one: int, two: int) -> int:
    if not two:
        return _MOST
    quotient = abs(one) // abs(two)
    return clamped(quotient if (one < 0) == (two < 0) else -quotient)


def _mod(one: int, two: int) -> int:
    if not two:
        return 0
    rest = abs(one) % abs(two)
    return -rest if one < 0 else rest


_operator("add", "Plus a number or a variable.", lambda one, two: clamped(one + two))
_operator("sub", "Minus a number or a variable.", lambda one, two: clamped(one - two))
_operator("mul", "Times a number or a variable.", lambda one, two: clamped(one * two))
_operator("div", "Divided by a number or a variable, towards zero; by zero the largest number.", _div)
_operator("mod", "The rest of a division, with the sign of what is divided.", _mod)
_operator("and", "The bits set in both.", lambda one, two: one & two)
_operator("or", "The bits set in one or both.", lambda one, two: one | two)
_operator("xor", "The bits set in one of both.", lambda one, two: one ^ two)


@converter("neg", takes="sint", gives="sint", source="7.3.1")
def neg() -> Convert:
    """The opposite."""
    return lambda value: clamped(-int(value))


@converter("cpl", takes="sint", gives="sint", source="7.3.1")
def cpl() -> Convert:
    """All bits flipped."""
    return lambda value: ~int(value)


@converter("bool", takes="sint", gives="bool", source="7.3.1")
def truth() -> Convert:
    """Whether it is not 0."""
    return lambda value: bool(value)


@converter("not", takes="sint", gives="bool", source="7.3.1")
def negation() -> Convert:
    """Whether it is 0."""
    return lambda value: not value


@converter("odd", takes="sint", gives="bool", source="7.3.1")
def odd() -> Convert:
    """Whether it is odd."""
    return lambda value: bool(int(value) & 1)


@converter("even", takes="sint", gives="bool", source="7.3.1")
def even() -> Convert:
    """Whether it is even."""
    return lambda value: not int(value) & 1
