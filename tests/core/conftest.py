"""How the core's tests are run: the same cases everywhere, others at night, bounded by CPU time."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any, NoReturn

import pytest
from hypothesis import settings

LIMIT = 60  # seconds of CPU that one test may use
CLOCK_LIMIT = 900  # seconds by the clock, for a test that does not even run

pytest.register_assert_rewrite("machines")
settings.register_profile("core", deadline=None, derandomize=True, max_examples=100)
# Other cases each night, from a seed that `nox -s nightly` prints.
settings.register_profile(
    "nightly", deadline=None, max_examples=1000, stateful_step_count=100, print_blob=True
)


def pytest_configure(config: pytest.Config) -> None:
    # Before any test is imported, as some machines take a multiple of the profile's examples.
    settings.load_profile(config.getoption("hypothesis_profile", None) or "core")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Nothing in the core waits, so a test that hangs uses CPU time. The clock says little: under
    # coverage and beside eight busy processes, 8 s of CPU are more than 60 s.
    limit = 0 if at_night(config) else CLOCK_LIMIT
    for item in items:
        if item.path.is_relative_to(config.rootpath / "tests" / "core"):
            item.add_marker(pytest.mark.timeout(limit))


def at_night(config: pytest.Config) -> bool:
    profile: str | None = config.getoption("hypothesis_profile", None)
    return profile == "nightly"


class TooMuchCPU(BaseException):
    """A test has used more CPU time than it may; no Exception, for Hypothesis not to shrink it."""


@pytest.fixture(autouse=True, scope="module")
def cpu_limit_is_heard() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise TooMuchCPU(f"a test has used {LIMIT} s of CPU")

    before = signal.signal(signal.SIGVTALRM, stop)
    yield
    signal.signal(signal.SIGVTALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    if not at_night(item.config):
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
