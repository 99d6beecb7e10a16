"""How a coroutine suspends itself: it yields a mark to whoever steps it.

In plain Python even where its users are compiled: a generator of the interpreter is the cheapest thing to await.
"""

from __future__ import annotations

import types
from collections.abc import Generator

PARK, TURN, HOME = object(), object(), object()
"""Sleep until something happens; let others have a turn; go on in the own task."""


@types.coroutine
def suspend(trap: object) -> Generator[object, object, None]:
    """Yield `trap`; returns when the coroutine is stepped again."""
    yield trap


@types.coroutine
def relay(trap: object) -> Generator[object, object, object]:
    """Yield what another coroutine yielded; returns what came for it."""
    return (yield trap)
