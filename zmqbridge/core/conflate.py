"""ConflatingInbox: of each tag the newest publication, until a receiver takes it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from math import inf
from typing import Any, TypeVar

from zmqbridge.core.inbox import Inbox

Publication = TypeVar("Publication", bound=tuple[Any, ...])
Waiter = TypeVar("Waiter", bound=Hashable)


class NewestByTag:
    """Publications in the order in which their tags came first; its methods are those of a deque.

    Attributes:
        replaced: how many gave way to a newer one of their tag.
    """

    __slots__ = ("_by_tag", "replaced")

    def __init__(self) -> None:
        # A dict would have to look past all that were taken, to find the first.
        self._by_tag: OrderedDict[bytes, Any] = OrderedDict()
        self.replaced: int = 0

    def __len__(self) -> int:
        return len(self._by_tag)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._by_tag.values())

    def extend(self, publications: Iterable[Any]) -> None:
        """Take publications, each in the place of an older one of its tag if that is here."""
        by_tag, before, count = self._by_tag, len(self._by_tag), 0
        for publication in publications:
            by_tag[publication[0]] = publication
            count += 1
        self.replaced += before + count - len(by_tag)

    def popleft(self) -> Any:
        """Take the publication whose tag came first.

        Raises:
            IndexError: there is none.
        """
        try:
            return self._by_tag.popitem(last=False)[1]
        except KeyError:
            raise IndexError("there is no publication") from None

    def clear(self) -> None:
        """Drop all."""
        self._by_tag.clear()


class ConflatingInbox(Inbox[Publication, Waiter]):
    """An inbox in which a publication takes the place of the one before it under the same tag.

    So a slow receiver is never behind, and what waits is bounded by the number of tags. Tags come
    in the order in which the first of their publications came. What gave way counts as `unwanted`.

    Args:
        high: how many tags may wait before reading pauses. In a pause the newest are not read, so
            by default there is none.
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
        """Take a burst of publications."""
        replaced = self.messages.replaced
        super().put(items)
        self.unwanted += self.messages.replaced - replaced
