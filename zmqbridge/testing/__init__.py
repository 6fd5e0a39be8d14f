"""Testing: the whole stack on a simulated network, under virtual time, with faults, by a seed."""

from __future__ import annotations

from zmqbridge.testing.errors import NotDeterministic, NotSimulated, Stalled
from zmqbridge.testing.network import (
    Deliver,
    Delivery,
    Drop,
    Event,
    Handle,
    Network,
    Node,
    Twice,
)

__all__ = [
    "Deliver", "Delivery", "Drop", "Event", "Handle", "Network", "Node", "NotDeterministic",
    "NotSimulated", "Stalled", "Twice",
]  # fmt: skip
