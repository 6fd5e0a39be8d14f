"""ReactorMonitor: the monitor of a socket on a reactor."""

from __future__ import annotations

from zmqbridge._bridge.monitoring import Monitor
from zmqbridge.twisted_backend.reactorsocket import ReactorSocket


class ReactorMonitor(Monitor, ReactorSocket):
    """A monitor on the reactor of the socket that it tells of."""
