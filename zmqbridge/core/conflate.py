"""ConflatingInbox: an inbox that holds only the newest publication of each tag."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from math import inf
from typing import Any, TypeVar

from zmqbridge.core._prefixes import beginning
from zmqbridge.core.framing import SEPARATOR
from zmqbridge.core.inbox import Inbox

Publication = TypeVar("Publication", bound=tuple[Any, ...])
Waiter = TypeVar("Waiter", bound=Hashable)


class NewestByTag:
    """The newest publication of each tag, oldest tag first; it has the methods of a deque.

    Attributes:
        replaced: how many publications were replaced by a newer one of their tag.
    """

    __slots__ = ("_by_tag", "_sorted", "replaced")

    def __init__(self) -> None:
        # To find its first entry, a plain dict would have to pass over all those that were taken.
        self._by_tag: OrderedDict[bytes, Any] = OrderedDict()
        self._sorted: list[bytes] | None = None  # the tags, and some that were taken since
        self.replaced: int = 0

    def __len__(self) -> int:
        return len(self._by_tag)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._by_tag.values())

    def extend(self, publications: Iterable[Any]) -> None:
        """Add publications; each replaces an older one of its tag and keeps that one's place."""
        by_tag, before, count = self._by_tag, len(self._by_tag), 0
        for publication in publications:
            by_tag[publication[0]] = publication
            count += 1
        self.replaced += before + count - len(by_tag)
        self._sorted = None

    def discard(self, prefix: bytes, wanted: Callable[[Any], bool]) -> int:
        """Drop publications that match a prefix and are not wanted; returns how many.

        The prefix is compared with the first part on the wire, in which a tag may end with NUL.
        """
        by_tag = self._by_tag
        if self._sorted is None:
            self._sorted = sorted(by_tag)
        found = {*beginning(self._sorted, prefix), prefix.partition(SEPARATOR)[0], b""}
        dropped = [tag for tag in found if tag in by_tag and not wanted(by_tag[tag])]
        for tag in dropped:
            del by_tag[tag]
        return len(dropped)

    def popleft(self) -> Any:
        """Take the publication of the tag that came first.

        Raises:
            IndexError: there is none.
        """
        try:
            return self._by_tag.popitem(last=False)[1]
        except KeyError:
            raise IndexError("there is no publication") from None

    def clear(self) -> None:
        """Drop all publications."""
        self._by_tag.clear()


class ConflatingInbox(Inbox[Publication, Waiter]):
    """An inbox in which a publication replaces the waiting one of the same tag.

    So a slow receiver always gets the newest publications, and not more of them wait than there are
    tags. Tags keep the order in which they began to wait. A replaced publication counts as
    `unwanted`.

    Args:
        high: how many tags may wait before reading pauses. During a pause newer publications are
            not read, so by default it never pauses.
    """

    __slots__ = ()

    messages: Any
    unwanted: int

    def __init__(self, high: float = inf) -> None:
        super().__init__(high, 0 if high == inf else -1)
        self.messages = NewestByTag()
        self._popleft = self.messages.popleft
        self.pop: Callable[[], Publication] = self._popleft

    def put(self, items: Iterable[Publication]) -> None:
        """Add a burst of publications."""
        replaced = self.messages.replaced
        super().put(items)
        self.unwanted += self.messages.replaced - replaced

    def sift_tags(self, prefix: bytes, wanted: Callable[[Publication], bool]) -> None:
        """As `sift`, of the publications that match a prefix; it does not look at the others."""
        dropped = self.messages.discard(prefix, wanted)
        if dropped:
            self._dropped(dropped)
