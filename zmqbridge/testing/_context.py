"""SimContext: stands in for a ``zmq.Context``, and makes simulated sockets."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._sockets import BridgedSimSocket, SimSocket

if TYPE_CHECKING:
    from zmqbridge.testing._ends import End
    from zmqbridge.testing._nodes import Node
    from zmqbridge.testing._proxies import SimEngine


@cache
def _base() -> zmq.Context[Any]:
    """The libzmq context that all `SimContext` objects shadow; no socket is ever made in it."""
    return zmq.Context()


class SimContext(zmq.Context[Any]):
    """A context of one node: its inproc addresses and its sockets.

    Attributes:
        node: the node.
        sockets: the open sockets.
        meeting_places: the bound socket of each inproc address.
        early: for each inproc address that is not bound yet, the ends that have connected to it.
        others: further contexts of the same process.
    """

    node: Node
    sockets: dict[SimSocket, None]
    meeting_places: dict[str, SimSocket]
    early: dict[str, list[End]]
    others: list[SimContext]

    def __init__(self, node: Node) -> None:
        super().__init__(shadow=_base())
        # pyzmq sets an option of the context for each attribute, so ours go into `vars`.
        vars(self).update(
            node=node, sockets={}, meeting_places={}, early={}, ended=False, others=[]
        )
        # The library starts no thread to end this context: it ends with its node.
        vars(self)["_zmqbridge_ended_by"] = "its node"
        vars(self)["_zmqbridge_started"] = True  # it needs no descriptor

    def socket(self, socket_type: int, socket_class: Any = None, **kwargs: Any) -> Any:
        """Make a simulated socket, of the library's class if `socket_class` is the library's."""
        if vars(self)["ended"]:
            raise zmq.ContextTerminated
        from zmqbridge._bridge.bridgedsocket import Bridged

        ours = isinstance(socket_class, type) and issubclass(socket_class, Bridged)
        return self._know((BridgedSimSocket if ours else SimSocket)(self, socket_type))

    def socket_of_facade(self, socket_type: int) -> Any:
        """Make a socket for `zmqbridge.txzmq`; it does not notice when its methods are replaced."""
        if vars(self)["ended"]:
            raise zmq.ContextTerminated
        return self._know(BridgedSimSocket(self, socket_type))

    def proxy_engine(self, *arguments: Any) -> SimEngine:
        """Make what a `Proxy` of this process is made of, in a context of its own."""
        from zmqbridge.testing._proxies import SimEngine  # few programs have one

        return SimEngine(self.beside(), *arguments)

    def beside(self) -> SimContext:
        """Make a further context of the same process."""
        other = SimContext(self.node)
        self.others.append(other)
        return other

    def _know(self, socket: SimSocket) -> SimSocket:
        self.sockets[socket] = None
        self.node.network.know(socket)
        return socket

    def bound(self, name: str) -> SimSocket | None:
        """The socket that is bound to an inproc address, or None."""
        return self.meeting_places.get(name)

    def die(self) -> None:
        """End with the process, and so do its other contexts."""
        self.term()
        for other in self.others:
            other.die()

    def term(self) -> None:
        """End the context without waiting: each call on its sockets raises from now on."""
        vars(self)["ended"] = True
        for socket in list(self.sockets):
            socket.die()

    def destroy(self, linger: float | None = None) -> None:
        """Close all sockets, and end the context."""
        for socket in list(self.sockets):
            socket.close(None if linger is None else int(linger))
        self.term()
