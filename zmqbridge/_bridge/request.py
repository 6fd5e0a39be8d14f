"""Requests that came to a Replier, and the end of serving them; the same on every loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from zmqbridge.core.framing import BytesLike, Message, as_parts, pack_reply, require_parts
from zmqbridge.errors import AlreadyReplied, SocketClosed

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge.core.inbox import Inbox


class Request:
    """A request that came to a Replier, to be answered once.

    Attributes:
        parts: what was sent, a list of bytes.
    """

    __slots__ = ("_answered", "_route", "_send", "parts")

    def __init__(self, send: Callable[[Message], Any], route: Message, parts: Message) -> None:
        self._send = send
        self._route = route
        self._answered = False
        self.parts: Message = parts

    @property
    def peer(self) -> bytes:
        """The routing id of the peer it came from (a proxy, if one is in between)."""
        return self._route[0]

    @property
    def id(self) -> bytes:
        """The id as its sender chose it; ``b""`` from a plain REQ, which sends none."""
        return self._route[-1] if len(self._route) > 1 else b""

    @property
    def answered(self) -> bool:
        """Whether `reply` was called."""
        return self._answered

    def _answer(self, parts: tuple[BytesLike, ...]) -> Message:
        """The message that answers this request; it is made once."""
        if not parts:
            require_parts(parts)
        message = pack_reply(self._route, as_parts(parts))
        if self._answered:
            raise AlreadyReplied(f"{self!r} was answered already")
        self._answered = True
        return message

    def __repr__(self) -> str:
        return f"<Request {self.id.hex()} from {self.peer.hex()}, {len(self.parts)} parts>"


def not_replied(request: Request, result: object) -> TypeError:
    """The error to report when a handler returns a value and has not replied."""
    kind = type(result).__name__
    return TypeError(
        f"the handler of {request!r} returned {kind}, which is sent nowhere, and has not replied: "
        "answer by request.reply(...)"
    )


def not_awaitable(request: Request, result: object) -> TypeError:
    """The error to report when a handler, which is awaited, returns what cannot be."""
    if result is not None:
        return not_replied(request, result)
    return TypeError(
        f"the handler of {request!r} returned None: it is awaited, so write it as `async def`, and "
        "await request.reply(...)"
    )


def bytes_of(request: Request) -> int:
    """How many bytes a request has."""
    return sum(map(len, request.parts))


def stopped(link: Link) -> SocketClosed:
    """The error of a call that waits for requests after the end of serving."""
    return link.closed_error(f"{link!r} was told to stop: it takes nothing any more")


async def stop_all(
    servings: Iterable[Any], link: Link, inbox: Inbox[Any, Any], timeout: float
) -> list[Any]:
    """Take no more requests, and wait until each `Serving` has ended.

    Args:
        servings: the calls of `serve` that are under way.
        link: that of the socket.
        inbox: where its requests wait.
        timeout: seconds, ``inf`` for as long as the handlers take; then they are cancelled.

    Returns:
        The requests that were not answered.
    """
    link.fail(inbox.end(), link.closed_error(f"{link!r} was told to stop"))
    left: list[Any] = []
    for serving in servings:
        left += await serving.stop(timeout)
    return [request for request in left + inbox.rest() if not request.answered]
