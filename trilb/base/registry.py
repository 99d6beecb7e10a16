"""A registered thing is a factory: load calls it once with checked arguments, serving calls what it returned.

A registry keeps the factories of one kind (fetches, converters, actions, algorithms, commands, checks) under
their names. An entry carries all that the parser, the error messages and the reference need; no second list of
names exists anywhere. Registration happens at import, a second entry of the same name is a programming error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from trilb.base.diagnostic import Refused, nearest
from trilb.base.units import milliseconds, saturated, size

F = TypeVar("F", bound=Callable[..., object])


class Kind(Enum):
    """What an argument may be; the reader turns its text into the value the factory receives."""

    STR = "string"
    INT = "integer"
    TIME = "time"
    SIZE = "size"
    FRONTEND = "frontend"
    BACKEND = "backend"
    SERVER = "server"
    TABLE = "table"
    MAP = "map file"
    VAR = "variable"
    USERLIST = "userlist"
    RESOLVERS = "resolvers section"
    ACLS = "acl names"
    INT_OR_VAR = "integer or variable"
    STR_OR_VAR = "string or variable"


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument: its name, what it may be, and its default (REQUIRED when it must be given)."""

    name: str
    kind: Kind = Kind.STR
    default: object = None
    required: bool = True


def optional(name: str, kind: Kind = Kind.STR, default: object = None) -> Arg:
    """An argument that may be left out."""
    return Arg(name, kind, default, required=False)


@dataclass(frozen=True, slots=True)
class Entry(Generic[F]):
    """A registered factory with what the outside needs to know of it."""

    name: str
    factory: F
    args: tuple[Arg, ...]
    source: str
    facts: Mapping[str, object]

    @property
    def doc(self) -> str:
        """The first line of the factory's docstring."""
        return (self.factory.__doc__ or "").strip().partition("\n")[0]


@dataclass(slots=True)
class Registry(Generic[F]):
    """The entries of one kind, by name."""

    kind: str
    entries: dict[str, Entry[F]] = field(default_factory=dict)

    def register(self, *names: str, args: tuple[Arg, ...] = (), source: str, **facts: object) -> Callable[[F], F]:
        """Decorate a factory to enter it under `names`; `source` is the manual section it follows."""

        def enter(factory: F) -> F:
            if not factory.__doc__:
                raise TypeError(f"{self.kind} '{names[0]}' has no docstring")
            for name in names:
                if name in self.entries:
                    raise TypeError(f"{self.kind} '{name}' is registered twice")
                self.entries[name] = Entry(name, factory, args, source, facts)
            return factory

        return enter

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def get(self, name: str) -> Entry[F] | None:
        """The entry of that name, or None."""
        return self.entries.get(name)

    def unknown(self, name: str) -> str:
        """The message for a name nobody registered."""
        return f"unknown {self.kind} '{name}'{nearest(name, self.entries)}"


_VARIABLE = re.compile(r"(?:proc|sess|txn|req|res|check)\.[A-Za-z0-9_.]+")


_INTEGER = re.compile(r"[+-]?[0-9]+")
_MOST, _LEAST = (1 << 63) - 1, -(1 << 63)


def names_variable(text: str) -> bool:
    """Whether the text names a variable, where a string may stand as well."""
    return _VARIABLE.fullmatch(text) is not None


def _integer(text: str) -> int | None:
    # Decimal only, `010` is ten; what does not fit in 64 bits is the nearest that does.
    return max(min(saturated(text), _MOST), _LEAST) if _INTEGER.fullmatch(text) else None


def variable_name(text: str) -> str:
    """The text itself when it names a variable (section 2.8). Raises Refused."""
    if not _VARIABLE.fullmatch(text):
        raise Refused(
            f"invalid variable name '{text}': a variable name must start with its scope and a dot, the scope"
            " being 'proc', 'sess', 'txn', 'req', 'res' or 'check', and hold letters, digits, '_' and '.' only"
        )
    return text


def check_args(what: str, args: tuple[Arg, ...], given: list[str]) -> tuple[object, ...]:
    """Turn the texts of a call's arguments into values, in order. Raises Refused naming what is wrong.

    References (frontend, backend, server, table) stay names here; they are resolved once all proxies are read.
    """
    if args and args[-1].kind is Kind.ACLS and len(given) >= len(args):
        return (*check_args(what, args[:-1], given[: len(args) - 1]), tuple(given[len(args) - 1 :]))
    if len(given) > len(args):
        most = len(args)
        raise Refused(f"{what} takes {'no argument' if not most else f'at most {most} argument(s)'}, not {len(given)}")
    values: list[object] = []
    for position, arg in enumerate(args):
        text = given[position] if position < len(given) else ""
        if text == "" and position >= len(given):
            if arg.required:
                raise Refused(f"{what} expects its argument '{arg.name}' ({arg.kind.value})")
            values.append(arg.default)
        elif text == "" and not arg.required and arg.kind is not Kind.STR:
            values.append(arg.default)
        elif arg.kind is Kind.VAR:
            values.append(variable_name(text))
        elif arg.kind in (Kind.INT, Kind.INT_OR_VAR):
            number = _integer(text)
            if number is not None:
                values.append(number)
            elif arg.kind is Kind.INT_OR_VAR and names_variable(text):
                values.append(text)
            else:
                raise Refused(f"{what} expects an {arg.kind.value} for '{arg.name}', not '{text}'")
        elif arg.kind is Kind.TIME:
            values.append(milliseconds(text))
        elif arg.kind is Kind.SIZE:
            values.append(size(text))
        else:
            values.append(text)
    return tuple(values)
