"""LoopMonitor: the monitor of a socket on a loop that is awaited."""

from __future__ import annotations

from zmqbridge.asyncio_backend.loopsocket import LoopSocket
from zmqbridge.monitoring import Monitor


class LoopMonitor(Monitor, LoopSocket):
    """A monitor on the loop of the socket that it tells of."""
