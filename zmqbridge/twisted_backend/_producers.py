"""Producers: a sending socket pauses a Twisted producer while its peers take no messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zmqbridge._bridge.link import Link
from zmqbridge._bridge.sending import ignore
from zmqbridge.errors import ZmqBridgeError


class Producer:
    """The producer of a sending socket; the socket tells it when to pause and when to go on."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._producer: Any = None
        link.at_end = self.end

    def register(self, producer: Any, streaming: bool) -> None:
        """Pause a producer while messages wait, and resume it afterwards."""
        link = self._link
        link.check_open()
        if not streaming:
            raise ValueError("streaming=False: a pull producer need not be paced, use await")
        if self._producer is not None:
            raise RuntimeError(f"{link!r} has the producer {self._producer!r} already")
        self._producer = producer
        link.pump.stalled = self.pace
        if (queue := link.pump.backlog()) is not None:
            self.pace(queue)

    def unregister(self) -> None:
        """Forget the producer."""
        self._producer = None
        self._link.pump.stalled = ignore

    def pace(self, queue: Any) -> None:
        """A message waits in this queue: pause the producer until there is room."""
        producer = self._producer

        def resume(_: None) -> None:
            if self._producer is producer:
                producer.resumeProducing()

        room: Any = self._link.driver.room_in(queue)
        room.addCallback(resume)
        room.addErrback(lambda failure: failure.trap(ZmqBridgeError) and None)  # the socket closed
        producer.pauseProducing()

    def end(self) -> Callable[[], object] | None:
        """The socket closes: forget the producer, and return what tells it to stop."""
        producer = self._producer
        self.unregister()
        stop: Callable[[], object] | None = getattr(producer, "stopProducing", None)
        return stop


def registerProducer(self: Any, producer: Any, streaming: bool = True) -> None:
    """Pause a producer (`IPushProducer`) while messages wait, and resume it afterwards.

    The producer is told to stop when the socket is closed.

    Raises:
        RuntimeError: the socket has a producer already.
        ValueError: it is no push producer; code that can wait before it sends awaits the sending
            call instead.
        SocketClosed: the socket is closed.
    """
    self._producer.register(producer, streaming)


def unregisterProducer(self: Any) -> None:
    """Forget the producer; the socket does not call it any more."""
    self._producer.unregister()
