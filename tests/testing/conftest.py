"""Each test with the argument ``loop`` runs on each loop of the simulation."""

from __future__ import annotations

from typing import Any

import pytest
from simulated_worlds import LOOPS


@pytest.fixture(params=LOOPS, ids=lambda loop: loop.name)
def loop(request: Any) -> Any:
    return request.param
