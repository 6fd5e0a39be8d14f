"""RaisingInbox: an inbox that holds errors among its messages, to be raised at their place."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from zmqbridge.core.inbox import HIGH, Inbox, WeighedInbox

Waiter = TypeVar("Waiter", bound=Hashable)


class RaisingInbox(Inbox[Any, Waiter]):
    """Messages and errors in their order. `pop` never returns an error; `poll` and `take` do.

    - commands: those of `Inbox`, and `expect`

    What the driver owes in addition to an `Inbox`: it calls `expect` before it puts an error, and
    it raises an error that it takes, to the receiver.
    """

    __slots__ = ()

    pop: Callable[[], Any]

    def __init__(self, high: float = HIGH, low: float = -1) -> None:
        super().__init__(high, low)

    def expect(self) -> None:
        """Prepare for an error: until the inbox is empty, `pop` looks at each item first."""
        if self.pop == self._popleft:
            self.pop = self._pop_message
        self._popleft = self._pop_message

    def _pop_message(self) -> Any:
        if not self.messages:
            self._popleft = self.messages.popleft
            self._set_pop()
        elif isinstance(self.messages[0], Exception):
            raise IndexError("an error is next")
        return self.messages.popleft()


class WeighedRaisingInbox(RaisingInbox[Waiter], WeighedInbox[Any, Waiter]):
    """The same, with a bound in bytes, too."""

    __slots__ = ()

    def __init__(self, most: int, weigh: Callable[[Any], int]) -> None:
        WeighedInbox.__init__(self, most, weigh)
