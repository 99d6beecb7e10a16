"""Fixtures which run HAProxy and trilb on the same config text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.duel import Duel, start_duel

DuelFactory = Callable[..., Duel]


@pytest.fixture
def duel() -> Iterator[DuelFactory]:
    """Start both programs: `duel(config_text, respond=None, linger=False, **texts)`; stopped after the test."""
    with ExitStack() as stack:
        yield lambda text, *args, **kw: stack.enter_context(start_duel(text, *args, **kw))


@pytest.fixture(scope="module")
def module_duel() -> Iterator[DuelFactory]:
    """Like `duel`, but stopped after the module."""
    with ExitStack() as stack:
        yield lambda text, *args, **kw: stack.enter_context(start_duel(text, *args, **kw))
