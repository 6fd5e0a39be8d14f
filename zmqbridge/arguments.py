"""The keyword arguments of all sockets, by group: what they are called, and what they mean.

They also serve to type a function of yours that passes arguments on::

    def worker(**arguments: Unpack[ExchangeArguments]) -> Dealer:
        return Dealer(**arguments)

A program does not load this module when it runs; `inspect.signature` and ``help()`` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar

from zmqbridge.core._formats import FormatName
from zmqbridge.core.framing import Address
from zmqbridge.sequences import By, Sequence

if TYPE_CHECKING:
    import zmq

    from zmqbridge.security import Security

__all__ = [
    "Address",
    "Addresses",
    "ChoosingArguments",
    "ContextArguments",
    "Exact",
    "ExchangeArguments",
    "Format",
    "HandlerArguments",
    "NumberedArguments",
    "OnGap",
    "Options",
    "PublisherArguments",
    "ReactorArguments",
    "ReactorChoosingArguments",
    "ReactorContextArguments",
    "ReactorExchangeArguments",
    "ReactorNumberedArguments",
    "ReactorPublisherArguments",
    "ReactorReceiverArguments",
    "ReactorSenderArguments",
    "ReactorSubscriberArguments",
    "ReceiverArguments",
    "SenderArguments",
    "SocketArguments",
    "SubscriberArguments",
]

Item = TypeVar("Item")

Addresses = Address | Iterable[Address]
Options = Mapping[int, Any]
Format = FormatName
"""In which parts publications go over the wire; the same at both ends.

- ``"joined"``, by default: one part, ``tag + NUL + body``, as txZMQ has it. ``publish(body, tag)``;
  `receive` gives (tag, body), also of a publication in two parts. A part without a NUL is a body
  without a tag.
- ``"two-part"``: the parts tag and body. ``publish(body, tag)``; `receive` gives (tag, body).
- ``"parts"``: the tag, and any number of parts. ``publish([part, ...], tag)``; `receive` gives
  (tag, parts).
- ``"raw"``: the parts as they are, of which subscriptions match the first.
  ``publish([part, ...])``; `receive` gives the parts.

What comes in another shape is malformed: counted in ``statistics()``, reported once a burst, and
not delivered.
"""

OnGap = Literal["raise", "report"]
"""Whether it is raised or delivered that publications were missed."""
Exact = bool | Literal["framed"]
"""Whether, and where, publications with longer tags are left out."""


class ContextArguments(TypedDict, total=False):
    """What sockets and authenticators take.

    Attributes:
        context: another libzmq context than the one that the library owns.
    """

    context: zmq.Context[Any] | None


class SocketArguments(ContextArguments, total=False):
    """What every socket takes, of either backend.

    Attributes:
        bind: one address or several to bind to, as by `bind`.
        connect: one address or several to connect to, as by `connect`.
        options: values of libzmq's options by their number, e.g. ``{zmq.SNDHWM: 100}``; they are
            set before any address.
        security: credentials, or what is asked of clients: one of `zmqbridge.security`.
        monitor: have libzmq tell of its connections from the start, for `events` and `connected`.
            See docs/connection-state.md.
    """

    bind: Addresses
    connect: Addresses
    options: Options | None
    security: Security | None
    monitor: bool


class SenderArguments(SocketArguments, total=False):
    """What sending sockets take.

    Attributes:
        send_queue: how many messages may wait in the send queue, at least 1; for a ROUTER, in the
            queue of each peer. ``math.inf`` is no limit. By default 1,000; for requests no limit,
            because the caller of each request waits. See docs/what-is-held.md.
    """

    send_queue: float | None


class PublisherArguments(SenderArguments, total=False):
    """What a Publisher takes beside its format.

    Attributes:
        barrier: subscribers that await `Subscriber.ready` get an answer, a message of four parts
            under a tag of their own. A peer of another library that subscribes to everything sees
            one such message for each.
        sequence: a `zmqbridge.Sequence`: the publications are numbered, and the last ones kept for
            subscribers that missed them. Then a publication has three parts: tag, number, body.
        last_values: for how many tags the last publication is kept, at least 1. When a peer
            subscribes, it is sent again to all subscribers to its tag. Not for the format "raw".
    """

    barrier: bool | None
    sequence: Sequence | None
    last_values: int | None


class ReceiverArguments(SocketArguments, total=False):
    """What receiving sockets take.

    Attributes:
        prefetch: how many messages may wait in the inbox before a receiver asks for them, 0 for
            none. By default ``zmq.RCVHWM``, but at most 1,000. See docs/what-is-held.md.
        prefetch_bytes: at how many bytes in the inbox, at least 1, reading pauses, too. By default
            bytes are not counted.
    """

    prefetch: int | None
    prefetch_bytes: int | None


class ChoosingArguments(ReceiverArguments, total=False):
    """What a Subscriber takes that does not want every publication.

    Attributes:
        exact: take only publications whose tag is one of these, and not each that begins with it.
            With True the subscriber looks at each publication; with ``"framed"`` the publisher
            does, which sends nothing else. That is for the format "joined" and publications in one
            part, of this library and of txZMQ.
        conflate: of each tag only the newest publication waits in the inbox, in the order in which
            the tags came. So a slow receiver gets what holds now, and what waits is bounded by the
            number of tags; `prefetch` bounds them, too. What gave way counts as ``unwanted``.
    """

    exact: Exact | None
    conflate: bool | None


class NumberedArguments(ReceiverArguments, total=False):
    """What a Subscriber of numbered publications takes.

    Attributes:
        numbered_by: the publications are numbered, and by what: ``"publisher"`` or ``"tag"``.
            Several publishers behind one socket need numbers by tag, and tags of their own.
        replay: where publications that are missing are asked for; the numbers are by publisher
            unless `numbered_by` says otherwise. Nothing newer is delivered while an older one may
            still come.
        latest: begin with the last publication of each tag, which is asked for at the address
            `replay`; with ``numbered_by="tag"``.
        since: the number of the last publication that an earlier process has received, so what was
            published since then is asked for, or told as missed; -1 for none. With
            ``numbered_by="tag"`` it is a mapping from each tag to its last number.
    """

    numbered_by: By | None
    replay: Address | None
    latest: bool | None
    since: int | Mapping[Address, int] | None


class SubscriberArguments(ChoosingArguments, NumberedArguments, total=False):
    """What a Subscriber takes beside its tags and its format.

    Attributes:
        on_gap: what becomes of what was missed for good: ``"raise"``, by default, raises
            `PublicationsMissed` in its place, and `PublisherRestarted`; ``"report"``, by default
            with a handler, delivers a `zmqbridge.Gap`, and `zmqbridge.Restarted`.
    """

    on_gap: OnGap | None


class ExchangeArguments(SenderArguments, ReceiverArguments, total=False):
    """What sockets take that send and receive."""


class ReactorArguments(TypedDict, total=False):
    """What all classes for Twisted take.

    Attributes:
        reactor: another reactor than the global one.
    """

    reactor: Any


class HandlerArguments(TypedDict, Generic[Item], total=False):
    """What receiving sockets for Twisted take besides.

    Attributes:
        handler: called with what `receive` would give. It may return a Deferred or a coroutine;
            what goes wrong in it is logged, and the next message is handled.
    """

    handler: Callable[[Item], object] | None


class ReactorContextArguments(ContextArguments, ReactorArguments, total=False):
    """What authenticators for Twisted take."""


class ReactorSenderArguments(SenderArguments, ReactorArguments, total=False):
    """What sending sockets for Twisted take."""


class ReactorPublisherArguments(PublisherArguments, ReactorArguments, total=False):
    """What a Publisher takes on Twisted beside its format."""


class ReactorReceiverArguments(
    ReceiverArguments, HandlerArguments[Item], ReactorArguments, Generic[Item], total=False
):
    """What receiving sockets for Twisted take."""


class ReactorChoosingArguments(
    ChoosingArguments, HandlerArguments[Item], ReactorArguments, Generic[Item], total=False
):
    """What a Subscriber takes on Twisted that does not want every publication."""


class ReactorNumberedArguments(NumberedArguments, ReactorArguments, total=False):
    """What a Subscriber of numbered publications takes on Twisted."""


class ReactorSubscriberArguments(
    SubscriberArguments, HandlerArguments[Item], ReactorArguments, Generic[Item], total=False
):
    """What a Subscriber takes on Twisted beside its tags and its format."""


class ReactorExchangeArguments(
    ExchangeArguments, HandlerArguments[Item], ReactorArguments, Generic[Item], total=False
):
    """What sockets for Twisted take that send and receive."""
