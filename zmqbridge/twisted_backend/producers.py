"""Paced: a sending socket that pauses a Twisted producer while its peers take no messages."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from zmqbridge._bridge.sending import ignore
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.twisted_backend.reactorsocket import ReactorSocket


class Paced(ReactorSocket):
    """A sending socket with which a push producer can be registered.

    The socket tells the producer when to pause and when to go on.
    """

    _producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool = True) -> None:
        """Pause a producer (`IPushProducer`) while messages wait, and resume it afterwards.

        The producer is told to stop when the socket is closed.

        Raises:
            RuntimeError: the socket has a producer already.
            ValueError: it is no push producer; code that can wait before it sends awaits the
                sending call instead.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        if not streaming:
            raise ValueError("streaming=False: a pull producer need not be paced, use await")
        if self._producer is not None:
            raise RuntimeError(f"{self!r} has the producer {self._producer!r} already")
        self._producer = producer
        self._pump.stalled = self._pace
        if (queue := self._pump.backlog()) is not None:
            self._pace(queue)

    def unregisterProducer(self) -> None:
        """Forget the producer; the socket does not call it any more."""
        self._producer = None
        self._pump.stalled = ignore

    def _pace(self, queue: Any) -> None:
        producer = self._producer

        def resume(_: None) -> None:
            if self._producer is producer:
                producer.resumeProducing()

        room: Deferred[None] = self._room_in(queue).addCallback(resume)
        room.addErrback(lambda failure: failure.trap(ZmqBridgeError) and None)  # the socket closed
        producer.pauseProducing()

    def _end(self, error: ZmqBridgeError | None = None) -> None:
        producer = self._producer
        self.unregisterProducer()
        super()._end(error)
        if producer is not None:
            producer.stopProducing()
