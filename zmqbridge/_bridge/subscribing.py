"""Subscribing: the pattern of SUB, on libzmq's options; the same on every loop."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import zmq

from zmqbridge._bridge.barrier import Barriers
from zmqbridge._bridge.calls import raw
from zmqbridge._bridge.link import Link
from zmqbridge._bridge.received import Received
from zmqbridge._bridge.receivingsocket import OF_PUBLISHERS, Refused
from zmqbridge.core._checks import as_list
from zmqbridge.core._formats import Format, split_two_parts
from zmqbridge.core.framing import Address, Message, as_name, split_topic
from zmqbridge.core.inbox import HIGH
from zmqbridge.core.subscriptions import Subscriptions
from zmqbridge.core.topics import (
    Change,
    Subscribed,
    Unsubscribed,
    as_prefix,
    is_answer_to_any,
    pack_change,
    split_change,
)

Publication = TypeVar("Publication")
Waiter = TypeVar("Waiter")

# If publications come faster than we read, there is always a newer one. Then we deliver the newest
# of this number.
PASSED = 4 * HIGH


class Subscribing(Received[Publication, Waiter]):
    """SUB: publications in one format.

    With CONFLATE it delivers only the newest publication, so it asks the socket whether there is a
    newer one.
    """

    __slots__ = (
        "_given_up", "_link", "_newest", "_passed", "_split", "_subscriptions", "_takes_any",
        "barriers", "suffix",
    )  # fmt: skip

    def __init__(self, decode: None = None, *, format: Format, **bounds: Any) -> None:
        super().__init__(self._publications, **{**bounds, "weigh": format.weigh})
        self._split = format.split
        self._takes_any = format.split not in (split_topic, split_two_parts)
        self._subscriptions = Subscriptions(format.head)
        self.suffix = b""  # what is behind each tag in its subscription
        self._given_up = False  # a subscription, since the last message was read
        self._newest: list[Publication] = []  # while there may be a newer one
        self._passed = 0

    def joined(self, link: Link) -> None:
        self._link = link
        self.barriers = Barriers(self, link)

    def option_set(self, socket: zmq.Socket[bytes], option: int, value: Any) -> None:
        # A user may do all of this on the raw socket, too.
        if option == zmq.SUBSCRIBE:
            self._subscriptions.add(value)
        elif option == zmq.UNSUBSCRIBE:
            if self._subscriptions.remove(value):
                self._drop(socket, value)
        elif option == zmq.SNDHWM and value:
            raw(socket).set(socket, option, 0)
        elif option == zmq.CONFLATE:
            # libzmq would also keep only the newest of our subscriptions. So we conflate here.
            raw(socket).set(socket, option, 0)
        super().option_set(socket, option, value)

    def repeats(self, prefix: bytes, begins: bool) -> bool:
        """Whether a subscription, or its end, changes nothing, so that libzmq need not know."""
        return self._subscriptions.repeat(prefix, begins)

    def why_silent(self) -> str:
        return "" if self._subscriptions else "it has no tag; subscribe to '' for all"

    def limit(self) -> None:
        if self.conflates:
            self.inbox.limit(1, newest=True)
        else:
            super().limit()

    def _drop(self, socket: zmq.Socket[bytes], prefix: bytes) -> None:
        """Drop the publications that are here only because of a subscription that has ended."""
        if raw(socket).get(socket, zmq.INVERT_MATCHING):
            return
        orphaned = self._orphaned
        self._sift(prefix, lambda publication: not orphaned(publication, prefix))
        if self._newest and orphaned(self._newest[0], prefix):
            self._newest.clear()
            self.inbox.unwanted += 1
        self._given_up = True

    def _sift(self, prefix: bytes, wanted: Callable[[Publication], bool]) -> None:
        self.inbox.sift(wanted)

    def _orphaned(self, publication: Publication, prefix: bytes) -> bool:
        return self._subscriptions.orphaned(publication, prefix)

    def _publications(self, burst: list[Message]) -> Iterable[Publication]:
        if self._takes_any or self.barriers:
            burst = self.barriers.pass_on(burst)
        malformed = self.malformed
        publications = self.split(self._split, burst)
        if self.malformed > malformed:
            self._forgive(burst)
        if self._given_up and publications:
            # When EVENTS are read, libzmq fetches one message, and does not filter that again.
            if self._subscriptions.orphaned(publications[0], b""):
                del publications[0]
                self.inbox.unwanted += 1
            self._given_up = False
        return self._newest_of(publications) if self.conflates else publications

    def is_settled(self) -> bool:
        """Whether all is known from which publications can be missed."""
        return True

    def _forgive(self, burst: list[Message]) -> None:
        """What a publisher answers to another subscriber is no fault of its own."""
        answers = len(burst) - len(self.barriers.pass_on(burst))
        self.malformed -= answers
        if answers and self.rejected is not None and is_answer_to_any(self.rejected.message):
            self.rejected = None

    def _newest_of(self, publications: list[Publication]) -> list[Publication]:
        """The newest of these publications; nothing while libzmq has a newer one."""
        held = [*self._newest, *publications]
        self._newest = held[-1:]
        self.inbox.unwanted += len(held) - len(self._newest)
        self._passed += len(publications)
        events: Any = raw(self._link.socket).get(self._link.socket, zmq.EVENTS)
        if events & zmq.POLLIN and self._passed < PASSED:
            self._link.pump.schedule()
            return []
        newest, self._newest, self._passed = self._newest, [], 0
        return newest

    def disown(self) -> None:
        super().disown()
        self._newest.clear()

    def close(self, remains: list[Any]) -> list[Any]:
        waiters = super().close(remains) + self.barriers.close()
        self.unclaimed += len(self._newest)
        self._newest.clear()
        return waiters

    def counts(self) -> dict[str, int]:
        counts = super().counts()
        return {**counts, "unread": counts["unread"] + len(self._newest)}


class Relayed(Received[Publication, Waiter]):
    """XSUB: publications in one format, as they come; it does not count its subscriptions."""

    __slots__ = ()

    def __init__(self, decode: None = None, *, format: Format, **bounds: Any) -> None:
        def publications(burst: list[Message]) -> Iterable[Publication]:
            return self.split(format.split, burst)

        super().__init__(publications, **{**bounds, "weigh": format.weigh})

    def option_set(self, socket: zmq.Socket[bytes], option: int, value: Any) -> None:
        if option == zmq.SNDHWM and value:
            raw(socket).set(socket, option, 0)
        super().option_set(socket, option, value)


class Changes(Received[Change, Waiter]):
    """XPUB: what subscribers subscribe to and unsubscribe from."""

    __slots__ = ()
    refused: Refused = OF_PUBLISHERS

    def __init__(self, decode: None = None, **bounds: Any) -> None:
        super().__init__(lambda burst: self.split(split_change, burst), **bounds)


def as_tags(tags: Address | Iterable[Address], given: Any) -> list[bytes]:
    """The tags that a constructor gets; an address among them is a mistake.

    Raises:
        TypeError: a tag is neither str nor bytes-like.
        ValueError: a tag is an address, and no address is given; or it is too long.
    """
    wanted = [as_prefix(tag) for tag in as_list(tags, "tags")]
    if not (given.get("bind") or given.get("connect")):
        for tag in wanted:
            if re.match(rb"(tcp|ipc|inproc)://", tag):
                raise ValueError(f"the tag {tag!r} is an address: give it as connect= or bind=")
    return wanted


def subscribe(self: Any, tag: Address = b"") -> None:
    """Take publications whose tag starts with `tag`, from now on; ``""`` means all.

    Raises:
        TypeError: the tag is neither str nor bytes-like.
        ValueError: the tag has more than 4,096 bytes.
        SocketClosed: the socket is closed.
    """
    link = self._link
    link.check_open()
    link.socket.setsockopt(zmq.SUBSCRIBE, as_prefix(as_name(tag, "a tag") + link.pattern.suffix))


def unsubscribe(self: Any, tag: Address = b"") -> None:
    """Undo one `subscribe`; a tag that was never subscribed is fine.

    After the last one of a tag, no publication is delivered that came only for this tag, also none
    that is already here.

    Raises:
        TypeError: the tag is neither str nor bytes-like.
        SocketClosed: the socket is closed.
    """
    link = self._link
    link.check_open()
    link.socket.setsockopt(zmq.UNSUBSCRIBE, as_name(tag, "a tag") + link.pattern.suffix)


def subscribe_onward(self: Any, tag: Address = b"") -> None:
    """Ask the publishers for publications whose tag starts with `tag`; ``""`` means all.

    The subscription is a message, and counts as sent. Publishers to which this socket connects
    later are told, too.

    Raises:
        TypeError: the tag is neither str nor bytes-like.
        ValueError: the tag has more than 4,096 bytes.
        SocketClosed: the socket is closed.
    """
    self._link.check_open()
    self._pump.send((pack_change(Subscribed(as_prefix(tag))),))


def unsubscribe_onward(self: Any, tag: Address = b"") -> None:
    """Undo one `subscribe`; a tag that was never subscribed is fine.

    Publications that are under way are still received, because nothing is filtered here.

    Raises:
        TypeError: the tag is neither str nor bytes-like.
        SocketClosed: the socket is closed.
    """
    self._link.check_open()
    self._pump.send((pack_change(Unsubscribed(as_name(tag, "a tag"))),))
