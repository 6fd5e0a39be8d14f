"""The Deferreds that wait for a socket: what it tells them, and when they take their message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from zmqbridge.core.inbox import Inbox


class Waiter(Deferred[Any]):
    """A Deferred that a socket tells something; it fires with that."""

    inbox: Inbox[Any, Any] | None = None
    told = Deferred.callback


class Receipt(Waiter):
    """A Deferred that takes its message from an inbox in the moment in which it is told."""

    def __init__(self, inbox: Inbox[Any, Any]) -> None:
        super().__init__(Receipt.withdraw)  # type: ignore[arg-type]
        self.inbox: Inbox[Any, Any] = inbox

    def told(self, result: None) -> None:  # type: ignore[override]
        """There is a message for it, unless that was just unsubscribed, or the inbox closed."""
        item = self.inbox.take(self) if self.inbox.promised else None
        if isinstance(item, Exception):  # see `RaisingInbox`
            self.errback(item)
        elif item is not None:
            self.callback(item)

    def withdraw(self) -> None:
        """It was cancelled. If a message was promised to it, `tell` gives it to the next waiter."""
        if not self.inbox.has_promised(self):
            self.inbox.forget(self)


class Reply(Waiter):
    """Fires with the reply to a request, of which it knows the id.

    A canceller for each request, which could know the id, would take four more objects.
    """

    request_id = b""
