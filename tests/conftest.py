"""What all tests share."""

import pytest
from hypothesis import settings

# How long an example takes says something about the machine.
settings.register_profile("trilb", deadline=None)
settings.load_profile("trilb")
pytest.register_assert_rewrite("tests.support.rows", "tests.support.duel")
