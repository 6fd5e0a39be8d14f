"""LastValues: the last publication of each tag, for subscribers that come later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from zmqbridge.core._prefixes import Prefixes

Publication = Sequence[bytes]
"""A publication as it is sent, whose first part begins with its tag."""


class LastValues:
    """Keeps the last publication of each tag, and says which of them to send again.

    - inputs: `wanted` (a peer subscribed)
    - commands: `keep`, `then`, `part`, `close`
    - getters: `pending`, `last`, `matching`, ``len()``

    What the driver owes: while `pending`, call `part` from time to time, and send the result.

    Args:
        most: how many tags are kept at most. Beyond that, the tag is forgotten that was published
            under least recently.
    """

    __slots__ = ("_last", "_lengths", "_most", "_prefixes", "_running", "_then", "_then_now")

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: OrderedDict[bytes, Publication] = OrderedDict()
        self._prefixes: set[bytes] = set()
        self._then: list[bytes] = []
        # The publications that are sent again now, and the signs that follow them.
        self._running: Iterator[Publication | None] | None = None
        self._lengths = 0  # of the prefixes for which they are sent
        self._then_now: list[bytes] = []

    def __len__(self) -> int:
        return len(self._last)

    def keep(self, tag: bytes, publication: Publication) -> None:
        """Keep a publication as the last one of its tag."""
        last = self._last
        last[tag] = publication
        last.move_to_end(tag)
        if len(last) > self._most:
            last.popitem(last=False)

    def last(self, tag: bytes) -> Publication | None:
        """The last publication of a tag, if it is kept."""
        return self._last.get(tag)

    def matching(self, prefixes: Iterable[bytes]) -> Iterator[Publication | None]:
        """Go through the tags: the last publication if its first part has such a prefix, else None.

        Publications may be kept between two steps; then it gives the newest one of a tag.
        """
        wanted = Prefixes(prefixes)
        for tag in list(self._last):
            found = self._last.get(tag)
            yield found if found is not None and wanted.begin(found[0]) else None

    @property
    def pending(self) -> bool:
        """Whether more is to be sent again."""
        return self._running is not None or bool(self._prefixes or self._then)

    def wanted(self, prefix: bytes) -> None:
        """A peer has subscribed to a prefix: publications that begin with it are sent again."""
        self._prefixes.add(prefix)

    def then(self, sign: bytes) -> None:
        """Return this sign from `part` after all publications that are wanted up to now."""
        self._then.append(sign)

    def part(self, most: int, look: int, size: int) -> tuple[list[Publication], list[bytes]]:
        """Take the next publications to send again, and the signs that follow them.

        Args:
            most: how many publications and signs are taken at most.
            look: how many tags are looked at at most; fewer if the prefixes have many lengths.
            size: after so many bytes no more publications are taken.
        """
        if self._running is None:
            prefixes, self._prefixes = self._prefixes, set()
            self._lengths = len(set(map(len, prefixes)))
            self._then_now, self._then = self._then, []
            self._running = self.matching(prefixes) if prefixes else iter(())
        publications: list[Publication] = []
        look = max(1, look // max(1, self._lengths))
        for found in islice(self._running, look):
            look -= 1
            if found is not None:
                publications.append(found)
                size -= sum(map(len, found))
                if size <= 0 or len(publications) == most:
                    return publications, []
        if not look:
            return publications, []
        signs = self._then_now[: most - len(publications)]
        del self._then_now[: len(signs)]
        if not self._then_now:
            self._running = None
        return publications, signs

    def close(self) -> None:
        """Forget all publications."""
        self._last.clear()
        self._prefixes, self._then, self._then_now, self._running = set(), [], [], None
