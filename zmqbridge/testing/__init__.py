"""Testing: the whole stack on a simulated network, under virtual time, with faults, by a seed."""

from __future__ import annotations

from zmqbridge.testing.errors import NotDeterministic, NotSimulated, Stalled
from zmqbridge.testing.network import Network
from zmqbridge.testing.nodes import Node
from zmqbridge.testing.rules import Deliver, Delivery, Drop, Event, Handle, Twice
from zmqbridge.testing.running import check_determinism, run

__all__ = [
    "Deliver", "Delivery", "Drop", "Event", "Handle", "Network", "Node", "NotDeterministic",
    "NotSimulated", "Stalled", "Twice", "check_determinism", "run",
]  # fmt: skip
