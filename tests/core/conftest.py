"""Hypothesis settings of the core's tests: the same cases everywhere, and no deadlines."""

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("machines")
settings.register_profile("core", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("core")
