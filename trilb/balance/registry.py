"""How balancing algorithms are registered.

A factory gets the proxy's configuration (for hash-type and its kin) and the algorithm's own arguments; it returns
an object with `rebuild(servers)` and `pick(key, avoid)`. Facts: `parse` turns the words of the `balance` line into
arguments, `key` (optional) makes from them the closure that extracts the key of a stream.
"""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.registry import Registry
from trilb.live.plan import Balance

algorithms: Registry[Callable[..., Balance]] = Registry("balance algorithm")
algorithm = algorithms.register


def nothing(words: list[str]) -> tuple[object, ...]:
    """The parser of an algorithm without arguments."""
    if words:
        raise Refused(f"'balance' cannot handle unexpected argument '{words[0]}'")
    return ()
