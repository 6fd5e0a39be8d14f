"""Observer: sends the events of a simulated socket's connections, as libzmq's monitor does."""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from typing import Any

import zmq

DONTWAIT = int(zmq.DONTWAIT)


class Observer:
    """The sending end of a monitor (zmq_socket_monitor(3)).

    Args:
        pair: a PAIR socket of the same context, which only the observer uses.
        name: the inproc address.
        kinds: the wanted events, as bits.
    """

    def __init__(self, pair: Any, name: str, kinds: int) -> None:
        self._pair = pair
        self._kinds = kinds
        # At a high water mark libzmq's I/O thread would wait, and all I/O with it. So none is set.
        pair.set(zmq.SNDHWM, 0)
        pair.set(zmq.LINGER, 0)
        pair.bind(name)

    def tell(self, event: int, name: str, value: int) -> None:
        """Send an event, if it is wanted."""
        if self._kinds & event:
            with suppress(zmq.ZMQError):  # no reader has connected yet
                message = [pack("=HI", event, value), name.encode()]
                self._pair.send_multipart(message, DONTWAIT)

    def end(self) -> None:
        """Send MONITOR_STOPPED, and close."""
        self.tell(int(zmq.Event.MONITOR_STOPPED), "", 0)
        self._pair.close()
