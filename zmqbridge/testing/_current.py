"""Current: which node the running code belongs to, and which context its sockets are made in."""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

from zmqbridge.testing._errors import NotSimulated

if TYPE_CHECKING:
    from zmqbridge.testing._nodes import Node

current: ContextVar[Node | None] = ContextVar("zmqbridge.testing.current", default=None)
# The context that the node had when the program began; after a restart the node has another one.
process: ContextVar[Any] = ContextVar("zmqbridge.testing.process", default=None)


def enter(node: Node) -> None:
    """Let the running code belong to the current process of a node."""
    current.set(node)
    process.set(node.context)


def lives(context: Context) -> bool:
    """Whether the process whose code runs in this context is alive."""
    node = context.get(current)
    return node is None or (node.alive and node.context is context[process])


def context_for(given: Any) -> Any:
    """The ØMQ context to make a socket in.

    Args:
        given: the argument ``context=`` of the socket, or None.

    Raises:
        NotSimulated: the program of a simulated node gave a real context.
    """
    node = current.get()
    if node is None:
        return given
    if given is None:
        return process.get()
    if "node" not in vars(given):
        raise NotSimulated(
            f"{given!r} is real, and this is a program of {node!r}: leave out context="
        )
    return given
