"""Request: a request that came to a Replier; each backend gives it a `reply` of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zmqbridge.core.framing import BytesLike, Message, as_parts, pack_reply, require_parts
from zmqbridge.errors import AlreadyReplied


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
        """The message that answers this request; it can be had once."""
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
    """The error to report when a handler returns something and has not replied."""
    kind = type(result).__name__
    return TypeError(
        f"the handler of {request!r} returned {kind}, which is sent nowhere, and has not replied: "
        "answer by request.reply(...)"
    )


def bytes_of(request: Request) -> int:
    """How many bytes a request has."""
    return sum(map(len, request.parts))
