"""The keyword arguments of all sockets, by group: what they are called, and what they mean.

A function of yours that passes them on is typed with these as well::

    def worker(**arguments: Unpack[ExchangeArguments]) -> Dealer:
        return Dealer(**arguments)

Nothing is loaded for them when a program runs, but by `inspect.signature` and ``help()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

from zmqbridge.core.formats import FormatName
from zmqbridge.core.framing import Address

if TYPE_CHECKING:
    import zmq

    from zmqbridge.security import Security

__all__ = [
    "Address",
    "Addresses",
    "ContextArguments",
    "ExchangeArguments",
    "Format",
    "HandlerArguments",
    "Options",
    "ReactorArguments",
    "ReactorContextArguments",
    "ReactorExchangeArguments",
    "ReactorReceiverArguments",
    "ReactorSenderArguments",
    "ReceiverArguments",
    "SenderArguments",
    "SocketArguments",
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
    """What those take that send.

    Attributes:
        send_queue: how many messages may wait in the send queue, at least 1, of each peer where
            the peer is named; ``math.inf`` is no limit. By default 1,000; for requests no limit,
            as each has a caller who waits. See docs/what-is-held.md.
    """

    send_queue: float | None


class ReceiverArguments(SocketArguments, total=False):
    """What those take that receive.

    Attributes:
        prefetch: how many messages may wait in the inbox that nobody has asked for yet, 0 for
            none. By default ``zmq.RCVHWM``, but at most 1,000. See docs/what-is-held.md.
        prefetch_bytes: with how many bytes in the inbox, at least 1, reading pauses as well. By
            default that is not looked at.
    """

    prefetch: int | None
    prefetch_bytes: int | None


class ExchangeArguments(SenderArguments, ReceiverArguments, total=False):
    """What those take that send and receive."""


class ReactorArguments(TypedDict, total=False):
    """What everything on Twisted takes.

    Attributes:
        reactor: another reactor than the global one.
    """

    reactor: Any


class HandlerArguments(TypedDict, Generic[Item], total=False):
    """What those take that receive on Twisted.

    Attributes:
        handler: called with what `receive` would give. It may return a Deferred or a coroutine;
            what goes wrong in it is logged, and the next message is handled.
    """

    handler: Callable[[Item], object] | None


class ReactorContextArguments(ContextArguments, ReactorArguments, total=False):
    """What authenticators take on Twisted."""


class ReactorSenderArguments(SenderArguments, ReactorArguments, total=False):
    """What those take that send on Twisted."""


class ReactorReceiverArguments(
    ReceiverArguments, HandlerArguments[Item], ReactorArguments, Generic[Item], total=False
):
    """What those take that receive on Twisted."""


class ReactorExchangeArguments(
    ExchangeArguments, HandlerArguments[Item], ReactorArguments, Generic[Item], total=False
):
    """What those take that send and receive on Twisted."""
