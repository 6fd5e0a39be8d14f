"""The patterns of publications for Twisted; `zmqbridge.asyncio_backend._publications` has the same.

What a call raises, and what comes with its Deferred, is as in `sockets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Unpack,
    final,
    overload,
)

import zmq
from twisted.internet.defer import Deferred

from zmqbridge._bridge.choosing import begin, pattern_of
from zmqbridge._bridge.publishing import OF_PUBLISHERS, packing_of
from zmqbridge._bridge.received import high_of
from zmqbridge._bridge.subscribing import (
    Changes,
    Relayed,
    as_tags,
    subscribe,
    subscribe_onward,
    unsubscribe,
    unsubscribe_onward,
)
from zmqbridge.core._checks import check_timeout
from zmqbridge.core._formats import (
    Body,
    FormatName,
    ManyParts,
    NumberedPublication,
    OneBody,
    Publication,
    format_named,
)
from zmqbridge.core.framing import BytesLike, Message
from zmqbridge.core.topics import Change
from zmqbridge.twisted_backend._base import Receiver
from zmqbridge.twisted_backend._publisher import publish

if TYPE_CHECKING:
    from zmqbridge.arguments import (
        Addresses,
        Options,
        ReactorChoosingArguments,
        ReactorExchangeArguments,
        ReactorNumberedArguments,
        ReactorReceiverArguments,
        ReactorSubscriberArguments,
    )
    from zmqbridge.core.gaps import Gap, Restarted


@final
class Subscriber(Receiver[Publication]):
    """SUB: `receive` and ``async for`` give (tag, body), or what the format says.

    Args:
        tags: one prefix or several to subscribe to, as by `subscribe`; ``""`` is all.
        format: in which parts publications come, see `zmqbridge.arguments.Format`.
        numbers: whether numbered publications come as (tag, body, number).
        arguments: `zmqbridge.arguments.ReactorSubscriberArguments`.
    """

    kind: ClassVar[int] = zmq.SUB
    # Subscriptions are messages to the publisher; libzmq drops those above this mark.
    defaults: ClassVar[Options] = {zmq.SNDHWM: 0}

    @overload
    def __init__(
        self: Subscriber[tuple[bytes, bytes]],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        on_gap: None = None,
        **arguments: Unpack[ReactorChoosingArguments[tuple[bytes, bytes]]],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[tuple[bytes, bytes]],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        on_gap: Literal["raise"] | None = None,
        **arguments: Unpack[ReactorNumberedArguments],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[NumberedPublication],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        numbers: Literal[True],
        on_gap: Literal["raise"] | None = None,
        **arguments: Unpack[ReactorNumberedArguments],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[NumberedPublication | Gap | Restarted],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        numbers: Literal[True],
        **arguments: Unpack[ReactorSubscriberArguments[NumberedPublication | Gap | Restarted]],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[tuple[bytes, bytes] | Gap | Restarted],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        **arguments: Unpack[ReactorSubscriberArguments[tuple[bytes, bytes] | Gap | Restarted]],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[tuple[bytes, Message]],
        tags: Addresses = (),
        *,
        format: Literal["parts"],
        **arguments: Unpack[ReactorChoosingArguments[tuple[bytes, Message]]],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[Message],
        tags: Addresses = (),
        *,
        format: Literal["raw"],
        **arguments: Unpack[ReactorChoosingArguments[Message]],
    ) -> None: ...

    def __init__(
        self,
        tags: Addresses = (),
        *,
        format: FormatName = "joined",
        numbers: bool = False,
        **arguments: Unpack[ReactorSubscriberArguments[Any]],
    ) -> None:
        wanted = as_tags(tags, arguments)
        super().__init__(arguments, pattern_of=pattern_of(format, arguments, numbers))
        begin(self._link)
        for tag in wanted:
            self.subscribe(tag)

    subscribe: Final = subscribe
    unsubscribe: Final = unsubscribe

    def ready(self, timeout: float = inf) -> Deferred[None]:
        """Fire when nothing will be missed that is published from then on under its tags.

        Each publisher answers for itself, also behind proxies: one for each address to which the
        socket is connected. Of a bound socket the first answer counts.

        Args:
            timeout: seconds, ``math.inf`` for ever.

        Raises:
            NotAnswered: not all have answered in time. Only a ``Publisher(barrier=True)`` answers.
            SocketClosed: the socket is closed, or was while this waited.
            TypeError, ValueError: the timeout is no number, or not greater than zero.
        """
        check_timeout(timeout)
        pattern: Any = self._pattern
        barriers, answers = pattern.barriers, set[bytes]()
        return self._unless_late(
            lambda: barriers.passed(answers),
            timeout,
            lambda: barriers.not_answered(answers, timeout),
        )


@final
class XPublisher(Receiver[Change], Generic[Body]):
    """XPUB: publishes as `Publisher`, and receives what subscribers want.

    `receive` and ``async for`` give `zmqbridge.Subscribed` and `zmqbridge.Unsubscribed`. By
    default, as in libzmq, these are the first subscription to a tag and the end of the last one;
    ``options={zmq.XPUB_VERBOSER: 1}`` gives all of them. Read them: unread ones wait in libzmq
    without a bound.

    Args:
        format: in which parts publications go over the wire, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.ReactorExchangeArguments`.
    """

    kind: ClassVar[int] = zmq.XPUB
    defaults: ClassVar[Options] = OF_PUBLISHERS

    @overload
    def __init__(
        self: XPublisher[BytesLike],
        *,
        format: OneBody = "joined",
        **arguments: Unpack[ReactorExchangeArguments[Change]],
    ) -> None: ...

    @overload
    def __init__(
        self: XPublisher[ManyParts],
        *,
        format: Literal["parts", "raw"],
        **arguments: Unpack[ReactorExchangeArguments[Change]],
    ) -> None: ...

    def __init__(
        self,
        *,
        format: FormatName = "joined",
        **arguments: Unpack[ReactorExchangeArguments[Change]],
    ) -> None:
        self._pack: Callable[[bytes, Body], Sequence[BytesLike]] = packing_of(format, arguments)
        super().__init__(arguments, high_of(arguments), Changes)

    publish: Final = publish


@final
class XSubscriber(Receiver[Publication]):
    """XSUB: receives as `Subscriber`, whose subscriptions are messages and filter nothing here.

    So it also receives publications that were under way when a tag was unsubscribed, and those that
    a publisher sends to all. It is one side of a broker, whose other side is an `XPublisher`.

    Args:
        tags: one prefix or several to subscribe to, as by `subscribe`; ``""`` is all.
        format: in which parts publications come, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.ReactorReceiverArguments`.
    """

    kind: ClassVar[int] = zmq.XSUB
    defaults: ClassVar[Options] = {zmq.SNDHWM: 0}

    @overload
    def __init__(
        self: XSubscriber[tuple[bytes, bytes]],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        **arguments: Unpack[ReactorReceiverArguments[tuple[bytes, bytes]]],
    ) -> None: ...

    @overload
    def __init__(
        self: XSubscriber[tuple[bytes, Message]],
        tags: Addresses = (),
        *,
        format: Literal["parts"],
        **arguments: Unpack[ReactorReceiverArguments[tuple[bytes, Message]]],
    ) -> None: ...

    @overload
    def __init__(
        self: XSubscriber[Message],
        tags: Addresses = (),
        *,
        format: Literal["raw"],
        **arguments: Unpack[ReactorReceiverArguments[Message]],
    ) -> None: ...

    def __init__(
        self,
        tags: Addresses = (),
        *,
        format: FormatName = "joined",
        **arguments: Unpack[ReactorReceiverArguments[Any]],
    ) -> None:
        wanted = as_tags(tags, arguments)
        relayed: Any = partial(Relayed, format=format_named(format))
        super().__init__(arguments, pattern_of=relayed)
        for tag in wanted:
            self.subscribe(tag)

    subscribe: Final = subscribe_onward
    unsubscribe: Final = unsubscribe_onward
