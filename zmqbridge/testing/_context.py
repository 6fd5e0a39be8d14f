"""SimContext: goes where a ``zmq.Context`` goes, and makes simulated sockets."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._sockets import BridgedSimSocket, SimSocket

if TYPE_CHECKING:
    from zmqbridge.testing._ends import End
    from zmqbridge.testing.nodes import Node


@cache
def _base() -> zmq.Context[Any]:
    """One of libzmq's, with a descriptor, does for all: nothing is ever made in it."""
    return zmq.Context()


class SimContext(zmq.Context[Any]):
    """The context of one node: its inproc addresses, and its sockets.

    Attributes:
        node: the node.
        sockets: those that are open.
        meeting_places: who is bound to which inproc address.
        early: who has connected to one before it was bound.
        others: the further contexts of the same process.
    """

    node: Node
    sockets: dict[SimSocket, None]
    meeting_places: dict[str, SimSocket]
    early: dict[str, list[End]]
    others: list[SimContext]

    def __init__(self, node: Node) -> None:
        super().__init__(shadow=_base())
        # pyzmq takes attributes for options, so they are put past it.
        vars(self).update(
            node=node, sockets={}, meeting_places={}, early={}, ended=False, others=[]
        )
        # No thread of the library's ends it: it ends with its node.
        vars(self)["_ended_by"] = "its node"

    def socket(self, socket_type: int, socket_class: Any = None, **kwargs: Any) -> Any:
        """A simulated socket; one for the library when that asks for one of its own."""
        if vars(self)["ended"]:
            raise zmq.ContextTerminated
        from zmqbridge._bridge.bridgedsocket import Bridged

        ours = isinstance(socket_class, type) and issubclass(socket_class, Bridged)
        return self._know((BridgedSimSocket if ours else SimSocket)(self, socket_type))

    def socket_of_facade(self, socket_type: int) -> Any:
        """A socket for `zmqbridge.txzmq`; nobody notices when its methods are replaced."""
        if vars(self)["ended"]:
            raise zmq.ContextTerminated
        return self._know(BridgedSimSocket(self, socket_type))

    def beside(self) -> SimContext:
        """A further context of the same process."""
        other = SimContext(self.node)
        self.others.append(other)
        return other

    def _know(self, socket: SimSocket) -> SimSocket:
        self.sockets[socket] = None
        self.node.network.know(socket)
        return socket

    def bound(self, name: str) -> SimSocket | None:
        """The socket that is bound to an inproc address."""
        return self.meeting_places.get(name)

    def die(self) -> None:
        """The process has ended."""
        self.term()
        for other in self.others:
            other.die()

    def term(self) -> None:
        """End it: every call on its sockets says so from now on. It does not wait for them."""
        vars(self)["ended"] = True
        for socket in list(self.sockets):
            socket.die()

    def destroy(self, linger: float | None = None) -> None:
        """Close its sockets, and end it."""
        for socket in list(self.sockets):
            socket.close(None if linger is None else int(linger))
        self.term()
