"""What all tests share."""

import pytest
from hypothesis import settings

from trilb.proxy import http1

# How long an example takes says something about the machine.
settings.register_profile("trilb", deadline=None)
settings.load_profile("trilb")
COMPILED = not str(http1.__file__).endswith(".py")
"""Are the hot modules those that mypyc made (setup.py)?"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what puts something of its own in a hot module's place: compiled ones let nobody do that."""
    if COMPILED:
        for item in items:
            if item.get_closest_marker("pure"):
                item.add_marker(pytest.mark.skip(reason="needs the modules as Python has them"))


pytest.register_assert_rewrite("tests.support.rows", "tests.support.duel")
