"""SimContext: goes where a ``zmq.Context`` goes, and makes simulated sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._sockets import BridgedSimSocket, SimSocket

if TYPE_CHECKING:
    from zmqbridge.testing._ends import End
    from zmqbridge.testing.nodes import Node


class SimContext(zmq.Context[Any]):
    """The context of one node: its inproc addresses, and its sockets.

    Attributes:
        node: the node.
        sockets: those that are open.
        meeting_places: who is bound to which inproc address.
        early: who has connected to one before it was bound.
    """

    node: Node
    sockets: dict[SimSocket, None]
    meeting_places: dict[str, SimSocket]
    early: dict[str, list[End]]

    def __init__(self, node: Node) -> None:
        super().__init__()
        # pyzmq takes attributes for options, so they are put past it.
        vars(self).update(node=node, sockets={}, meeting_places={}, early={}, ended=False)

    def socket(self, socket_type: int, socket_class: Any = None, **kwargs: Any) -> Any:
        """A simulated socket; one for the library when that asks for one of its own."""
        if vars(self)["ended"]:
            raise zmq.ContextTerminated
        from zmqbridge._bridge.bridgedsocket import Bridged

        ours = isinstance(socket_class, type) and issubclass(socket_class, Bridged)
        socket = (BridgedSimSocket if ours else SimSocket)(self, socket_type)
        self.sockets[socket] = None
        self.node.network.know(socket)
        return socket

    def bound(self, name: str) -> SimSocket | None:
        """The socket that is bound to an inproc address."""
        return self.meeting_places.get(name)

    def die(self) -> None:
        """The process has ended."""
        vars(self)["ended"] = True
        for socket in list(self.sockets):
            socket.die()

    def term(self) -> None:
        """End it: every call on its sockets says so from now on. It does not wait for them."""
        self.die()

    def destroy(self, linger: float | None = None) -> None:
        """Close its sockets, and end it."""
        for socket in list(self.sockets):
            socket.close(None if linger is None else int(linger))
        self.die()
