"""Each test with the argument ``loop`` runs on each loop of the simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from simulated_worlds import LOOPS

if TYPE_CHECKING:
    from tests.testing.simulated_worlds import Loop


@pytest.fixture(params=LOOPS, ids=lambda loop: loop.name)
def loop(request: pytest.FixtureRequest) -> Loop:
    return request.param
