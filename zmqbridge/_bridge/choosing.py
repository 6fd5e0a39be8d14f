"""Choosing: a SUB that takes exact tags only, or the newest publication of each tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import Any, TypeVar

from zmqbridge._bridge.link import Link
from zmqbridge._bridge.subscribing import Publication, Subscribing
from zmqbridge.core._formats import Format, format_named
from zmqbridge.core.conflate import ConflatingInbox
from zmqbridge.core.framing import SEPARATOR, Message
from zmqbridge.sequences import counted_by, places_of

Split = TypeVar("Split")


class Choosing(Subscribing[Any, Any]):
    """SUB: takes only some of the publications that match its subscriptions.

    Args:
        format: the format of the publications.
        exact: takes only tags that are equal to a subscription: with True we compare each tag;
            with "framed" the subscription ends with NUL, so the publisher compares.
        conflate: whether only the newest publication of each tag waits.
        bounds: the bounds of the inbox.
    """

    __slots__ = ("_by_tag", "_exact")

    def __init__(
        self,
        decode: None = None,
        *,
        format: Format,
        exact: bool | str | None,
        conflate: bool,
        **bounds: Any,
    ) -> None:
        self._by_tag = conflate
        self._exact = exact is True
        super().__init__(format=format, **bounds)
        self.suffix = SEPARATOR if exact == "framed" else b""
        if conflate:
            prefetch = bounds["prefetch"]
            self.inbox = ConflatingInbox(inf if prefetch is None else prefetch)
            self.room = self.inbox.room

    def joined(self, link: Link) -> None:
        super().joined(link)
        if self._by_tag:
            link.pump.keep_up()

    def split(self, split: Callable[[Message], Split], burst: Iterable[Message]) -> list[Split]:
        publications: list[Any] = super().split(split, burst)
        if not self._exact:
            return publications
        tags = self._subscriptions
        exact = [each for each in publications if each[0] in tags]
        self.inbox.unwanted += len(publications) - len(exact)
        return exact

    def limit(self) -> None:
        if self.conflates or not self._by_tag:
            super().limit()

    def _sift(self, prefix: bytes, wanted: Callable[[Any], bool]) -> None:
        if isinstance(self.inbox, ConflatingInbox):
            self.inbox.sift_tags(prefix, wanted)
        else:
            super()._sift(prefix, wanted)

    def _orphaned(self, publication: Publication, prefix: bytes) -> bool:
        if self._exact:
            return publication[0] not in self._subscriptions  # type: ignore[index]
        return super()._orphaned(publication, prefix)


def pattern_of(format: object, given: Any, numbers: bool) -> Callable[..., Subscribing[Any, Any]]:
    """Take out the other arguments of a Subscriber; returns what makes its pattern.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is no such format, or it does not go with these arguments.
    """
    named = format_named(format)
    exact, conflate = given.pop("exact", None), given.pop("conflate", None)
    if exact != "framed" and not isinstance(exact, bool | None):
        raise TypeError(f"exact={exact!r}: give True, False or 'framed'")
    if not isinstance(conflate, bool | None):
        raise TypeError(f"conflate={conflate!r}: give True or False")
    if exact == "framed" and format != "joined":
        raise ValueError(f"exact='framed' is for format='joined', and not for {format!r}")
    if conflate and format == "raw":
        raise ValueError("conflate=True is by tag, and in format='raw' there is none")
    if conflate and given.get("prefetch_bytes") is not None:
        raise ValueError("conflate=True holds one of each tag: it goes without prefetch_bytes")
    sequenced = sequencing_of(format, given, numbers)
    if sequenced is not None:
        if exact or conflate:
            raise ValueError("numbered publications go without exact= and conflate=")
        return sequenced
    if exact or conflate:
        return partial(Choosing, format=named, exact=exact, conflate=bool(conflate))
    return partial(Subscribing, format=named)


def sequencing_of(
    format: object, given: Any, numbers: bool
) -> Callable[..., Subscribing[Any, Any]] | None:
    """Take out the arguments of numbered publications; None if there are none.

    Raises:
        TypeError: `latest` or `numbers` is no bool, or `since` is of another type.
        ValueError: they do not go together, or with the format.
    """
    by, replay = given.pop("numbered_by", None), given.pop("replay", None)
    on_gap, handler = given.pop("on_gap", None), given.get("handler")
    joins, since = given.pop("latest", None), given.pop("since", None)
    for name, value in (("latest", joins), ("numbers", numbers)):
        if not isinstance(value, bool | None):
            raise TypeError(f"{name}={value!r}: give True or False")
    if joins and (by != "tag" or replay is None):
        raise ValueError("latest=True asks for them: give replay= and numbered_by='tag'")
    if joins and since is not None:
        raise ValueError("latest=True asks for the last of each tag, and since= for all: give one")
    if by is None and replay is None:
        for name, value in (("on_gap", on_gap), ("since", since), ("numbers", numbers or None)):
            if value is not None:
                text = f"{name}= is for numbered publications: give numbered_by= or replay="
                raise ValueError(text)
        return None
    by_tag = counted_by(by or "publisher")
    if on_gap not in (None, "raise", "report"):
        raise ValueError(f"on_gap={on_gap!r}: give 'raise' or 'report'")
    if on_gap == "raise" and handler is not None:
        raise ValueError("on_gap='raise' is for receive and iteration: a handler gets a Gap")
    if format != "joined":
        raise ValueError(f"numbered publications have a format of their own, not {format!r}")
    from zmqbridge._bridge.sequencing import Sequencing  # few need it

    return partial(
        Sequencing,
        by_tag=by_tag,
        replay=replay,
        raises=on_gap != "report" and handler is None,
        joins=bool(joins),
        numbers=numbers,
        since=places_of(since, by_tag),
        security=given.get("security"),
    )


def begin(link: Link) -> None:
    """Open the DEALER that asks for missing publications, if the subscriber has a replay address.

    Raises:
        AddressError: the replay address is not valid; then the subscriber is closed.
    """
    start = getattr(link.pattern, "begin", None)
    if start is not None:
        try:
            start(link)
        except BaseException:
            link.close()
            raise
