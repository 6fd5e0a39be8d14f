"""Testing: programs on a simulated network, in virtual time, with faults drawn from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zmqbridge.testing import faults
from zmqbridge.testing._errors import NotDeterministic, NotSimulated, Stalled
from zmqbridge.testing._network import Network
from zmqbridge.testing._nodes import Node
from zmqbridge.testing._rules import Deliver, Delivery, Drop, Event, Handle, Twice
from zmqbridge.testing._running import check_determinism, run
from zmqbridge.testing._script import Script, Unexpected
from zmqbridge.testing.faults import Fault

if TYPE_CHECKING:
    from zmqbridge.testing._sim_reactor import SimReactor

__all__ = [
    "Deliver", "Delivery", "Drop", "Event", "Fault", "Handle", "Network", "Node",
    "NotDeterministic", "NotSimulated", "Script", "SimReactor", "Stalled", "Twice",
    "Unexpected", "check_determinism", "faults", "run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "SimReactor":  # the only name here that needs Twisted
        from zmqbridge.testing._sim_reactor import SimReactor

        return SimReactor
    raise AttributeError(f"there is no {name!r} in this module")
