"""Current: which node the running code belongs to, and so in which context its sockets are."""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

from zmqbridge.testing.errors import NotSimulated

if TYPE_CHECKING:
    from zmqbridge.testing.nodes import Node

current: ContextVar[Node | None] = ContextVar("zmqbridge.testing.current", default=None)
# The context that the node had when the program began; it has another when it was restarted.
process: ContextVar[Any] = ContextVar("zmqbridge.testing.process", default=None)


def enter(node: Node) -> None:
    """From now on the running code belongs to the process that a node is now."""
    current.set(node)
    process.set(node.context)


def lives(context: Context) -> bool:
    """Whether the process of the code that runs in it was not killed."""
    node = context.get(current)
    return node is None or (node.alive and node.context is context[process])


def context_for(given: Any) -> Any:
    """The context for a socket, whose user gave this one or None.

    Raises:
        NotSimulated: in a program of a simulated node it is a real one.
    """
    node = current.get()
    if node is None:
        return given
    if given is None:
        return process.get()
    if "node" not in vars(given):
        raise NotSimulated(f"{given!r} is real, and this is a program of {node!r}")
    return given
