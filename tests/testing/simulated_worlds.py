"""The loops on which the same programs run in the simulated network."""

from __future__ import annotations

from typing import Any

import anyio
from twisted.internet.task import deferLater

from zmqbridge import asyncio_backend, twisted_backend
from zmqbridge.testing import run
from zmqbridge.twisted_backend._reactors import global_reactor


class Loop:
    """A backend of `run`: its classes, and how its programs sleep."""

    def __init__(self, name: Any) -> None:
        self.name = name
        self.classes = twisted_backend if name == "twisted" else asyncio_backend

    def __getattr__(self, name: Any) -> Any:
        return getattr(self.classes, name)

    def sleep(self, seconds: Any) -> Any:
        if self.name == "twisted":
            return deferLater(global_reactor(), seconds)
        return anyio.sleep(seconds)

    def run(self, main: Any, network: Any) -> Any:
        return run(main, network, self.name)


LOOPS = [Loop(name) for name in ("asyncio", "trio", "twisted")]
