"""LastValues: the last publication of each tag, for those who come later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

Publication = Sequence[bytes]
"""A publication as it is sent, whose first part begins with its tag."""


class LastValues:
    """The last publication of each tag, of so many tags; and which of them are to be sent again.

    - inputs: `wanted` (somebody subscribed)
    - commands: `keep`, `then`, `part`, `clear`
    - getters: `pending`, `matching`, ``len()``

    What the driver owes: while `pending`, take a `part` now and again, and send it.

    Args:
        most: how many tags. Of more, those are forgotten that nothing was published under for
            longest.
    """

    __slots__ = ("_last", "_most", "_prefixes", "_running", "_then", "_then_now")

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: OrderedDict[bytes, Publication] = OrderedDict()
        self._prefixes: set[bytes] = set()
        self._then: list[bytes] = []
        # What is sent again now, and what is to follow it.
        self._running: Iterator[Publication | None] | None = None
        self._then_now: list[bytes] = []

    def __len__(self) -> int:
        return len(self._last)

    def keep(self, tag: bytes, publication: Publication) -> None:
        """This is the last one of its tag now."""
        last = self._last
        last[tag] = publication
        last.move_to_end(tag)
        if len(last) > self._most:
            last.popitem(last=False)

    def matching(self, prefixes: Collection[bytes]) -> Iterator[Publication | None]:
        """The last publication of each tag that is here now, if its first part has a prefix of
        these; else None. Publications may be kept meanwhile, and it gives the newest.
        """
        lengths = set(map(len, prefixes))
        for tag in list(self._last):
            found = self._last.get(tag)
            if found is not None and any(found[0][:length] in prefixes for length in lengths):
                yield found
            else:
                yield None

    @property
    def pending(self) -> bool:
        """Whether there is more to send again."""
        return self._running is not None or bool(self._prefixes or self._then)

    def wanted(self, prefix: bytes) -> None:
        """Somebody has subscribed to this: what begins with it is to be sent again."""
        self._prefixes.add(prefix)

    def then(self, sign: bytes) -> None:
        """Give this back when all was sent that was wanted up to now."""
        self._then.append(sign)

    def part(self, most: int) -> tuple[list[Publication], list[bytes]]:
        """What to send again next, and the signs that are to follow it.

        Args:
            most: how many tags are looked at.
        """
        if self._running is None:
            prefixes, self._prefixes = self._prefixes, set()
            self._then_now, self._then = self._then, []
            self._running = self.matching(prefixes) if prefixes else iter(())
        looked_at = list(islice(self._running, most))
        signs: list[bytes] = []
        if len(looked_at) < most:
            self._running, signs, self._then_now = None, self._then_now, []
        return [each for each in looked_at if each is not None], signs

    def clear(self) -> None:
        """Forget all."""
        self._last.clear()
        self._prefixes, self._then, self._then_now, self._running = set(), [], [], None
