"""LoopMonitor: the monitor of a socket on a loop that is awaited."""

from __future__ import annotations

from typing import Any

from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.monitoring import Monitor
from zmqbridge.asyncio_backend.loopsocket import LoopSocket


class LoopMonitor(Monitor, LoopSocket):
    """A monitor on the loop of the socket that it tells of."""

    _now = staticmethod(monotonic)  # until there is a loop

    def _enter(self, stand_in: Any = None) -> None:
        super()._enter(stand_in)
        if self._monitored is not None:
            self.arm()

    def _call_at(self, deadline: float) -> None:
        if self._home is not None:  # else it is armed when there is one
            super()._call_at(deadline)
