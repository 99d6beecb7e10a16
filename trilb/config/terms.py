"""Expressions, formats, conditions and rules as read: what they are made of, not yet built.

Plain data, compared by value. A registered thing (a fetch, a converter, an action) is a `Spec`: its arguments are
checked, it is not built yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trilb.base.diagnostic import NOWHERE, Place
from trilb.config.patterns import Patterns


@dataclass(frozen=True, slots=True)
class Spec:
    """A registered thing by name, with checked arguments."""

    name: str
    args: tuple[object, ...] = ()
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Expr:
    """`fetch(args),converter(args),...`; `text` is how it was written."""

    fetch: Spec
    converters: tuple[Spec, ...] = ()
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Literal:
    """Fixed text of a log format."""

    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A `%name` of a log format.

    `flags` are those in force: Q quotes, X hexadecimal, M marks missing, E escapes, json and cbor encode. `label` and
    `kind` are its name and type in an encoded format; `http` says that mode http alone has it.
    """

    name: str
    flags: frozenset[str] = frozenset()
    label: str = ""
    kind: str = ""
    http: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A `%[expression]` of a log format."""

    expr: Expr
    flags: frozenset[str] = frozenset()
    label: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Encoding:
    """First in a log format: all of it is one `json` or `cbor` object of its named items."""

    name: str
    binary: bool = False


Format = tuple[Literal | Variable | Sample | Encoding, ...]


@dataclass(frozen=True, slots=True)
class AclSpec:
    """One ACL line or anonymous ACL: an expression, how to match it, and what to match it with."""

    expr: Expr
    method: str
    patterns: tuple[Patterns, ...] = ()
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a condition: an ACL by name (all lines of that name, also later ones, add up) or in place."""

    name: str
    acl: AclSpec | None = None
    negated: bool = False
    resolved: tuple[AclSpec, ...] = ()
    """What the name meant in a defaults section, whose ACLs its proxies do not see."""


@dataclass(frozen=True, slots=True)
class Cond:
    """`if` / `unless`: an OR of ANDs of terms."""

    alternatives: tuple[tuple[Term, ...], ...]
    unless: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do, when, and where it was written (the log's last_rule_line)."""

    act: Spec
    when: Cond | None = None
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class StickRule:
    """A `stick` line: what to look for or learn, in which table ("" for the backend's own), when."""

    expr: Expr
    table: str
    match: bool = False
    store_request: bool = False
    store_response: bool = False
    when: Cond | None = None
    place: Place = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class UseBackend:
    """A `use_backend` or `use-server` line: the backend's or server's name, or the format that computes it."""

    name: str
    when: Cond | None
    place: Place = field(default=NOWHERE, compare=False)
    dynamic: Format | None = None
