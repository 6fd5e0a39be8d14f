"""Observer: tells of a simulated socket's connections, as libzmq's monitors do."""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from typing import Any

import zmq

DONTWAIT = int(zmq.DONTWAIT)


class Observer:
    """The sending end of a monitor (zmq_socket_monitor(3)).

    Args:
        pair: a PAIR of the same context, for this alone.
        name: the inproc address.
        kinds: the events that are wanted.
    """

    def __init__(self, pair: Any, name: str, kinds: int) -> None:
        self._pair = pair
        self._kinds = kinds
        # In libzmq its I/O thread waits at the mark, and everything stands still: so there is none.
        pair.set(zmq.SNDHWM, 0)
        pair.set(zmq.LINGER, 0)
        pair.bind(name)

    def tell(self, event: int, name: str, value: int) -> None:
        """An event has happened."""
        if self._kinds & event:
            with suppress(zmq.ZMQError):  # nobody listens yet
                message = [pack("=HI", event, value), name.encode()]
                self._pair.send_multipart(message, DONTWAIT)

    def end(self) -> None:
        """Say that this was all."""
        self.tell(int(zmq.Event.MONITOR_STOPPED), "", 0)
        self._pair.close()
