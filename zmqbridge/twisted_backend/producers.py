"""Paced: a sending socket that has a Twisted producer pause while the peers push back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from zmqbridge._bridge.sending import ignore
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.twisted_backend.reactorsocket import ReactorSocket


class Paced(ReactorSocket):
    """Whoever sends whenever it likes can be registered as a producer, and is told when not to."""

    _producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool = True) -> None:
        """Have a producer (`IPushProducer`) paused while messages wait, and resumed after.

        It is told to stop when the socket is closed.

        Raises:
            RuntimeError: there is one already.
            ValueError: it is no push producer; whoever sends only when asked awaits the sending
                call instead.
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
        """Forget the producer; it is told nothing any more."""
        self._producer = None
        self._pump.stalled = ignore

    def _pace(self, queue: Any) -> None:
        producer = self._producer

        def resume(_: None) -> None:
            if self._producer is producer:
                producer.resumeProducing()

        room: Deferred[None] = self._room_in(queue).addCallback(resume)
        room.addErrback(lambda failure: failure.trap(ZmqBridgeError) and None)  # it was closed
        producer.pauseProducing()

    def _end(self, error: ZmqBridgeError | None = None) -> None:
        producer = self._producer
        self.unregisterProducer()
        super()._end(error)
        if producer is not None:
            producer.stopProducing()
