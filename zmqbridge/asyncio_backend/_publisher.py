"""Publisher for asyncio; `zmqbridge.twisted_backend._publisher` has the same.

What a call raises is as in `sockets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Protocol,
    Unpack,
    final,
    overload,
)

import anyio
import zmq

from zmqbridge._bridge.audience import count_wanted, subscribers, wanted
from zmqbridge._bridge.publishing import (
    OF_PUBLISHERS,
    packing_and_audience,
    serve_replays,
)
from zmqbridge._bridge.received import high_of
from zmqbridge.asyncio_backend._base import Socket
from zmqbridge.core._checks import check_timeout
from zmqbridge.core._formats import (
    Body,
    FormatName,
    ManyParts,
    OneBody,
)
from zmqbridge.core.framing import Address, BytesLike, as_name
from zmqbridge.core.topics import Change

if TYPE_CHECKING:
    from zmqbridge._bridge.listening import Listening
    from zmqbridge._bridge.pump import Pump
    from zmqbridge.arguments import (
        Options,
        PublisherArguments,
    )
    from zmqbridge.asyncio_backend._driver import LoopDriver


class Publishing(Protocol[Body]):
    """A socket that publishes in a format."""

    _driver: LoopDriver
    _pump: Pump

    @property
    def _pack(self) -> Callable[[bytes, Body], Sequence[BytesLike]]: ...


def publish(self: Publishing[Body], body: Body, tag: Address = b"") -> None:
    """Publish `body` under `tag`. It never waits: a slow subscriber misses messages.

    In the formats "parts" and "raw" the body is a list of parts; in "raw" there is no tag.

    Raises:
        TypeError: the body does not have the type of the format, e.g. a str.
        ValueError: the tag holds a NUL byte, which only "two-part" and "parts" allow; a "raw"
            publication has a tag, or no part.
    """
    driver = self._driver
    if driver.current() != driver.token._thread_id:
        driver.enter()
    if type(tag) is not bytes:
        tag = as_name(tag, "a tag")
    pack = self._pack  # CPython 3.11 is slow to call it as if it were a method
    self._pump.send(pack(tag, body))


@final
class Publisher(Socket, Generic[Body]):
    """PUB: to all subscribers that are there and want the tag; others miss the message.

    For libzmq it is an XPUB, which receives the subscriptions.

    Args:
        format: in which parts publications go over the wire, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.PublisherArguments`.
    """

    kind: ClassVar[int] = zmq.XPUB
    # Each subscription and each end is told, not only the first and the last of a tag.
    defaults: ClassVar[Options] = {**OF_PUBLISHERS, zmq.XPUB_VERBOSER: 1}

    @overload
    def __init__(
        self: Publisher[BytesLike],
        *,
        format: OneBody = "joined",
        **arguments: Unpack[PublisherArguments],
    ) -> None: ...

    @overload
    def __init__(
        self: Publisher[ManyParts],
        *,
        format: Literal["parts", "raw"],
        **arguments: Unpack[PublisherArguments],
    ) -> None: ...

    def __init__(
        self, *, format: FormatName = "joined", **arguments: Unpack[PublisherArguments]
    ) -> None:
        sequence: Any = arguments.get("sequence")
        self._pack: Callable[[bytes, Body], Sequence[BytesLike]]
        self._pack, self._audience = packing_and_audience(format, arguments)
        super().__init__(self._audience, arguments, high_of(arguments))
        serve_replays(self._audience, self._link, sequence, arguments)

    publish: Final = publish
    subscribers: Final = subscribers
    wanted: Final = wanted

    @property
    def replay_address(self) -> str | None:
        """Where publications are asked for again, a wildcard port resolved; None for nowhere."""
        replays = self._audience.replays
        return None if replays is None else replays.address

    async def wait_for(self, tag: Address = b"", count: int = 1, timeout: float = inf) -> None:
        """Wait until at least `count` subscriptions meet `tag`, as `subscribers` counts them.

        Args:
            tag: what will be published under.
            count: at least one.
            timeout: seconds, ``math.inf`` for ever.

        Raises:
            TooFewSubscribers: there were not so many in time.
            StateUnknown: the socket was made with ``zmq.CONFLATE``.
            SocketClosed: the socket is closed, or was while this waited.
            TypeError, ValueError: the tag, the count or the timeout is none.
        """
        check_timeout(timeout)
        count_wanted(count)
        self._driver.enter()
        audience = self._audience
        try:
            with anyio.fail_after(timeout):
                await audience.until(tag, count)
        except TimeoutError:
            raise audience.too_few(tag, count, timeout) from None

    def subscriptions(self) -> Listening[Change]:
        """The changes of subscriptions from now on, by ``async for``.

        Each change is a `zmqbridge.Subscribed` or `zmqbridge.Unsubscribed`, also when a connection
        ends. It ends when the socket is closed.

        Raises:
            StateUnknown: the socket was made with ``zmq.CONFLATE``.
            SocketClosed: the socket is closed.
            LoopError: there is no running loop, or it is not this socket's.
        """
        self._driver.enter()
        return self._audience.listen()
