"""RaisingInbox: an inbox in which errors stand among the messages, to be raised in their place."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NoReturn, TypeVar

from zmqbridge.core.inbox import Inbox

Waiter = TypeVar("Waiter", bound=Hashable)


class RaisingInbox(Inbox[Any, Waiter]):
    """Messages and errors, in their order. `pop` gives no error: that comes by `poll` or `take`.

    What the driver owes besides: an error that it has got is raised to the receiver.
    """

    __slots__ = ("_errors", "_pop")

    def __init__(self) -> None:
        self._errors = False  # whether there may be one
        super().__init__()

    @property
    def pop(self) -> Callable[[], Any]:
        """As that of `Inbox`; it raises IndexError also where an error is here."""
        if self._errors:
            if not self.messages:
                self._errors = False
            elif isinstance(self.messages[0], Exception):
                return _call_poll
        return self._pop

    @pop.setter
    def pop(self, call: Callable[[], Any]) -> None:
        self._pop = call

    def put(self, items: Iterable[Any]) -> None:
        """Append a burst of messages and errors."""
        items = list(items)
        self._errors = self._errors or any(isinstance(each, Exception) for each in items)
        super().put(items)


def _call_poll() -> NoReturn:
    raise IndexError
