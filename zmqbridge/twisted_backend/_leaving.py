"""Leaving: what a socket waits for before it closes, so that what it has sent is read."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError

from zmqbridge._bridge.resting import pauses
from zmqbridge.errors import ContextTerminated, SocketClosed
from zmqbridge.twisted_backend._clocks import steady

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge.twisted_backend._driver import ReactorDriver


async def drain(driver: ReactorDriver, timeout: float) -> int:
    """Wait until libzmq has taken what is queued, and return how many messages it has not."""
    pump, keeper = driver.pump, steady(driver.reactor)
    deadline = driver.now() + timeout
    while (queue := pump.backlog()) is not None and (left := deadline - driver.now()) > 0:
        room = driver.room_in(queue)
        if left < inf:
            room.addTimeout(left, keeper)
        try:
            await room
        except TimeoutError:
            break
    return pump.queued


async def leave(link: Link, driver: Any, close: Callable[[], None]) -> None:
    """Send what is queued, wait until replies can have been read, and close."""
    from twisted.internet.task import deferLater  # a real reactor has imported this module

    keeper = steady(driver.reactor)
    try:
        if not link.closed and link.pump.queues:
            await drain(driver, link.linger())
        for pause in pauses(link):
            await deferLater(keeper, pause)
    except (SocketClosed, ContextTerminated):
        pass  # other code has closed it while we waited
    finally:
        close()
        while link.untold:
            await deferLater(keeper, 0)
