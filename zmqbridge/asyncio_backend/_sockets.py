"""The patterns for asyncio; `zmqbridge.twisted_backend._sockets` has the same with Deferreds.

Those of publications are in `_publisher` and `_publications`. What their constructors take is in
`zmqbridge.arguments`, and what all of them can do in `Link`.

Every call may raise `SocketClosed`, `ContextTerminated`, and `LoopError` when there is no running
loop or it is not the socket's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Final, Unpack, final

import zmq
from anyio.abc import UnreliableObjectSendStream

from zmqbridge._bridge.keepers import Patrols
from zmqbridge._bridge.received import high_of
from zmqbridge._bridge.request import bytes_of, stop_all
from zmqbridge.asyncio_backend._base import Socket
from zmqbridge.asyncio_backend._receiver import Receiver
from zmqbridge.asyncio_backend._request import Request
from zmqbridge.core._checks import (
    check_handler,
    check_limit,
    check_optional_timeout,
)
from zmqbridge.core.framing import (
    BytesLike,
    Message,
    join_peer,
    split_peers,
    split_request,
)
from zmqbridge.core.patterns import Pattern, bytes_from_peer

if TYPE_CHECKING:
    from zmqbridge.arguments import (
        ExchangeArguments,
        Options,
        ReceiverArguments,
        SenderArguments,
    )
    from zmqbridge.asyncio_backend._serving import Serving


# The calls of a Dealer, and of a Pusher also under other names: an alias costs no frame. They are
# `Final`, because otherwise type checkers would differ on what they are.
async def send(self: Socket, *parts: BytesLike) -> None:
    """Send a message, waiting while the peers push back; cancelled in the wait, it is not sent.

    Raises:
        TypeError: a part is not bytes-like, e.g. a str.
        ValueError: there are no parts.
    """
    pump, driver = self._pump, self._driver
    current = driver.current  # a variable, for the reason that `pump` gives
    if pump.sent >= driver.yield_at or pump.queues or current() != driver.token._thread_id:
        await driver.clear_to_send(parts)
    pump.send(parts)


def send_nowait(self: Socket, *parts: BytesLike) -> None:
    """Send a message, or queue it while the peers push back.

    Raises:
        QueueFull: the queue is at its high water mark; the error carries the message.
        TypeError, ValueError: as the call that waits.
    """
    driver = self._driver
    if driver.current() != driver.token._thread_id:
        driver.enter()
    self._pump.send(parts)


@final
class Pusher(Socket, UnreliableObjectSendStream[BytesLike]):
    """PUSH: each message to one of the pullers, in turn.

    As one of anyio's streams it sends messages of one part, by `send`.
    """

    kind: ClassVar[int] = zmq.PUSH

    def __init__(self, **arguments: Unpack[SenderArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(Pattern(), arguments, high_of(arguments))

    push: Final = send
    push_nowait: Final = send_nowait
    send: Final = send  # type: ignore[assignment]  # an item has no name here
    send_nowait: Final = send_nowait


@final
class Puller(Receiver[Message]):
    """PULL: `receive` and ``async for`` give the parts of a message, a list of bytes."""

    kind: ClassVar[int] = zmq.PULL

    def __init__(self, **arguments: Unpack[ReceiverArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments)


@final
class Replier(Receiver[Request]):
    """Replies over ROUTER: `receive` and ``async for`` give requests, `serve` handles them."""

    kind: ClassVar[int] = zmq.ROUTER
    # A reply to a peer that is gone raises an error, and is not lost in silence.
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    def __init__(self, **arguments: Unpack[ExchangeArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))
        self._patrols = Patrols(self._link)
        self._serving: list[Serving[Request]] = []

    async def serve(
        self, handler: Callable[[Request], Awaitable[object]], limit: int = 100
    ) -> None:
        """Call ``await handler(request)`` for each request, until the socket is closed or stopped.

        Each call is made in a copy of the context in which `serve` was called. The loop's exception
        handler is told what a handler raises, also a cancellation that was not meant for `serve`;
        the request stays unanswered. A peer that does not take its replies is reported once.
        Cancelling `serve` cancels the handlers under way.

        Args:
            handler: answers by ``await request.reply(...)``.
            limit: how many handlers may be under way; further requests wait in the inbox.

        Raises:
            TypeError: the handler cannot be called.
            ValueError: the limit is less than one.
        """
        check_limit(limit)
        check_handler(handler)
        from zmqbridge.asyncio_backend._serving import Serving  # loaded by programs that serve

        serving = Serving(self, handler, limit, self._patrols.blame)
        self._serving.append(serving)
        await serving.run()

    async def stop_serving(self, timeout: float | None = None) -> list[Request]:
        """Take no more requests from libzmq, let those that are here be handled, and end `serve`.

        From then on the socket can still reply, and should be closed: `aclose` gives the clients a
        tenth of a second to read the last replies. Another `serve` returns at once. Requests that
        libzmq has already received stay there, and are lost when it is closed: see "Leave on
        SIGTERM" in the documentation for how to have few of them.

        Args:
            timeout: seconds for the handlers; then those under way are cancelled. None waits as
                long as they take.

        Returns:
            The requests that were not answered, oldest first, those of cancelled handlers before
            the others. They can be answered until the socket is closed.

        Raises:
            SocketClosed: the socket is closed.
            TypeError, ValueError: the timeout is no number, or negative.
            RuntimeError: a handler calls it, for whose end it would wait: call it in another task.
        """
        timeout = check_optional_timeout(timeout)
        self._driver.enter()
        for each in self._serving:
            each.refuse_handlers()
        return await stop_all(self._serving, self._link, self._inbox, timeout)

    def _decode(self, burst: list[Message]) -> Iterable[Request]:
        requests, reply = self._pattern.split(split_request, burst), self._reply
        return [Request(reply, route, parts) for route, parts in requests]

    _weigh = staticmethod(bytes_of)

    async def _reply(self, message: Message) -> None:
        # This waits for no peer: a reply for which there is no room is refused.
        pump, driver = self._pump, self._driver
        current = driver.current
        if pump.sent >= driver.yield_at or current() != driver.token._thread_id:
            driver.enter()
            await driver.let_others_go_on()
        pump.send(message)


@final
class Dealer(Receiver[Message], UnreliableObjectSendStream[BytesLike]):
    """DEALER: messages to the peers in turn, and from all of them, as their parts."""

    kind: ClassVar[int] = zmq.DEALER

    def __init__(self, **arguments: Unpack[ExchangeArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))

    send: Final = send  # type: ignore[assignment]  # an item has no name here
    send_nowait: Final = send_nowait


@final
class Router(Receiver[tuple[bytes, Message]]):
    """ROUTER: `receive` and ``async for`` give (peer, parts); `send` names the peer."""

    kind: ClassVar[int] = zmq.ROUTER
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    def __init__(self, **arguments: Unpack[ExchangeArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))
        self._patrols = Patrols(self._link)

    async def send(self, peer: BytesLike, *parts: BytesLike) -> None:
        """Send a message to one peer, waiting while that one pushes back; others are not held up.

        Raises:
            PeerUnreachable: no such peer is connected.
            TypeError: the peer or a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        message = join_peer(peer, parts)
        pump, driver = self._pump, self._driver
        if (
            pump.sent >= driver.yield_at
            or pump.queues
            or driver.current() != driver.token._thread_id
        ):
            await driver.clear_to_send(message)
        pump.send(message)

    def send_nowait(self, peer: BytesLike, *parts: BytesLike) -> None:
        """Send a message to one peer, or queue it while that one pushes back.

        Raises:
            QueueFull: this peer's queue is at its high water mark; the error carries the message.
            PeerUnreachable, TypeError, ValueError: as `send`.
        """
        send_nowait(self, *join_peer(peer, parts))

    _decode = staticmethod(split_peers)
    _weigh = staticmethod(bytes_from_peer)


@final
class Pair(Receiver[Message], UnreliableObjectSendStream[BytesLike]):
    """PAIR: messages to the one peer that there can be, and from it, as their parts.

    For two threads or tasks of one program, over inproc. A second peer is refused in silence.
    """

    kind: ClassVar[int] = zmq.PAIR

    def __init__(self, **arguments: Unpack[ExchangeArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))

    send: Final = send  # type: ignore[assignment]  # an item has no name here
    send_nowait: Final = send_nowait
