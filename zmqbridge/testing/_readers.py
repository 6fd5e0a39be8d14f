"""Readers of a simulated reactor: calls their ``doRead`` while the FDs of sockets are readable."""

from __future__ import annotations

from contextvars import Context
from typing import Any

from twisted.python import log
from twisted.python.failure import Failure

from zmqbridge.testing._current import lives
from zmqbridge.testing._errors import NotSimulated
from zmqbridge.testing._network import Network
from zmqbridge.testing._twisted_world import context_of


class Readers:
    """The readers, by the FDs of their sockets.

    Args:
        network: the simulated network, which has the sockets.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._readers: dict[int, tuple[Any, Context]] = {}

    def add(self, reader: Any) -> None:
        """Call a reader while its socket's FD is readable, as a part of that socket's node.

        Raises:
            NotSimulated: the reader has a real descriptor.
        """
        fd = reader.fileno()
        socket = self._network.sockets.get(fd)
        if socket is None:
            raise NotSimulated(
                f"descriptor {fd} is real: make every socket with context=node.context"
            )
        if fd not in self._readers:
            self._readers[fd] = reader, context_of(socket.node)

    def remove(self, reader: Any) -> None:
        """Remove a reader."""
        for fd in [fd for fd, (each, _) in self._readers.items() if each is reader]:
            del self._readers[fd]

    def all(self) -> list[Any]:
        """All readers."""
        return [reader for reader, _ in self._readers.values()]

    def forget_dead(self) -> None:
        """Remove the readers whose process was killed."""
        for fd in [fd for fd, (_, context) in self._readers.items() if not lives(context)]:
            del self._readers[fd]

    def read(self) -> int:
        """Call the readers whose FDs are readable, and return how many there were."""
        network = self._network
        rung = [socket for socket in network.rung if not socket.node.paused]
        if len(rung) > 1:
            network.random.shuffle(rung)
        made = 0
        for socket in rung:
            found = self._readers.get(network.descriptor(socket))
            if found is not None and socket.rings and lives(found[1]):
                made += 1
                found[1].run(self._read, found[0])
        return made

    def _read(self, reader: Any) -> None:
        try:
            why = log.callWithLogger(reader, reader.doRead)
        except Exception as error:
            log.err()
            why = error
        if why is not None:
            self.remove(reader)
            reader.connectionLost(Failure(why))
