"""The shape of a vocabulary: the registries the reader asks, handed in so that config imports no room.

Facts the reader looks at: `gives` (type of a fetch's or converter's result), `takes` (type a converter expects),
`at` (where a fetch may stand), `final` (an action that ends the evaluation), `on` (rule sets of an action).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trilb.base.registry import Registry

IMPOSSIBLE_CASTS = frozenset(
    {("bool", "addr"), ("addr", "bool"), ("addr", "meth"), ("bool", "meth"), ("sint", "meth")}
    | {(source, target) for source in ("bin", "meth") for target in ("bool", "sint", "addr")}
)
"""Types of samples (from, to) between which there is no cast: as HAProxy's, for both refuse the same expressions."""

AnyRegistry = Registry[Callable[..., Any]]


def _empty(kind: str) -> AnyRegistry:
    return Registry(kind)


@dataclass(frozen=True, slots=True)
class Language:
    """Everything registered that a configuration may name."""

    fetches: AnyRegistry = field(default_factory=lambda: _empty("sample fetch"))
    converters: AnyRegistry = field(default_factory=lambda: _empty("converter"))
    algorithms: AnyRegistry = field(default_factory=lambda: _empty("balance algorithm"))
    actions: Mapping[str, AnyRegistry] = field(default_factory=dict)
    matchers: AnyRegistry = field(default_factory=lambda: _empty("match method"))
    variables: AnyRegistry = field(default_factory=lambda: _empty("log format variable"))
