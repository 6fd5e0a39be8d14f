"""Taking: a message that is here now, for a call that does not wait; the same on every loop."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, TypeVar

from zmqbridge._bridge.link import Link
from zmqbridge._bridge.pace import Pace
from zmqbridge._bridge.request import stopped
from zmqbridge.core._pacing import SLICE
from zmqbridge.core.inbox import Inbox
from zmqbridge.errors import QueueEmpty

Item_co = TypeVar("Item_co", covariant=True)


class Receives(Protocol[Item_co]):
    """A receiving socket of either backend."""

    _link: Link
    empty_error: ClassVar[type[QueueEmpty]]

    @property
    def _driver(self) -> Pace: ...

    @property
    def _inbox(self) -> Inbox[Any, Any]: ...

    def __aiter__(self) -> Receives[Item_co]: ...

    async def __anext__(self) -> Item_co: ...


def receive_nowait(self: Receives[Item_co]) -> Item_co:
    """Take the next message if one is here, also one that libzmq has received already.

    As many messages stay as there are calls of `receive` that wait, so each of these gets one.
    Messages are handed out in their order, so this call gets the oldest.

    Raises:
        QueueEmpty: no message is here for this call; on asyncio this is also an `anyio.WouldBlock`.
        SocketClosed: the socket is closed.
        ContextTerminated: the context was terminated.
    """
    try:
        return self._inbox.pop()  # type: ignore[no-any-return]
    except IndexError:
        pass
    self._driver.check_open()
    link, inbox = self._link, self._inbox
    paused = inbox.paused
    item = inbox.poll()
    if item is None:
        item = _fetched(link, inbox)
    if paused and not inbox.paused:
        link.pump.schedule()
    if item is None:
        if inbox.ended:
            raise stopped(link)
        raise self.empty_error(f"{link!r} has no message now")
    if isinstance(item, Exception):  # see `RaisingInbox`
        raise item
    return item  # type: ignore[no-any-return]


def _fetched(link: Link, inbox: Inbox[Any, Any]) -> Any:
    """A message that is read from libzmq now; None if there is none beside those for other calls.

    Messages that are not delivered, e.g. malformed ones, are skipped, for a slice of time at most.
    """
    pump = link.pump
    end, received = pump.monotonic() + SLICE, -1
    item = None
    while item is None and pump.received > received and not inbox.standing:
        if pump.monotonic() > end:
            break
        received = pump.received
        inbox.standing += 1  # or messages are read only for calls that wait
        try:
            pump.fetch()
        finally:
            inbox.standing -= 1
        item = inbox.poll()
    return item
