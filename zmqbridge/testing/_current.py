"""Current: which node the running code belongs to, and so in which context its sockets are."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zmqbridge.testing.nodes import Node

current: ContextVar[Node | None] = ContextVar("zmqbridge.testing.current", default=None)


def context_of_current() -> Any:
    """The context for a socket that was given none; None outside of a simulation."""
    node = current.get()
    return None if node is None else node.context
