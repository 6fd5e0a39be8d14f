"""Hypothesis settings of the core's tests: the same cases everywhere, and no deadlines."""

from hypothesis import settings

settings.register_profile("core", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("core")
