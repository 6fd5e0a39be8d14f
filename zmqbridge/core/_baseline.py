"""Baseline: which number each tag had when a subscriber began, so that new tags are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

from zmqbridge.core._prefixes import ByTag
from zmqbridge.core.numbered import (
    LENGTH,
    MOST_PREFIXES,
    START,
    AskedList,
    begins_at,
    is_of_another,
    run_of,
)


class Baseline:
    """Lists of the last numbers of tags, as their publisher has them.

    The first list of a prefix shows from which number on publications of its tags can be missed.
    All of a tag that is in no list can be missed, as the tag is new. Later lists have only tags
    that are new since the earlier one, which may have been published under while nothing was heard.

    - inputs: `note`, `ended`, `failed`
    - commands: `want`, `leave`, `again`, `ask`, `take`, `drop`
    - getters: `before`, `knows`, `is_of_other`, `pending`, `unlisted`

    Attributes:
        numbers: by tag, the last number in a list, while nothing of the tag has come.
    """

    __slots__ = (
        "_again", "_asked", "_covered", "_first", "_later", "_lengths", "_others", "_place",
        "_prefixes", "_vain", "_wanted", "numbers",
    )  # fmt: skip

    def __init__(self) -> None:
        self._prefixes: dict[bytes, None] = {}
        self._wanted: dict[bytes, None] = {}  # prefixes without a list
        self._asked: tuple[bytes, ...] = ()  # those of the list that is under way
        self._later = False  # that list has only what is new
        self._again = False  # such a list is wanted
        self._vain = False  # the last question had no answer
        self._covered: set[bytes] = set()
        self._lengths: Counter[int] = Counter()  # how many of these have this length
        self._place = START
        self._first = 0
        self.numbers: ByTag[int] = ByTag()
        self._others: set[int] = set()  # runs of publishers that are not the one that is asked

    @property
    def pending(self) -> bool:
        """Whether there is a question to ask."""
        return bool(self._wanted) or (self._again and bool(self._prefixes))

    @property
    def unlisted(self) -> bool:
        """Whether the first list of a prefix may still come."""
        under_way = bool(self._asked) and not self._later
        return not self._vain and (bool(self._wanted) or under_way)

    def want(self, prefix: bytes) -> None:
        """The user subscribes to a prefix."""
        if prefix not in self._prefixes:
            self._prefixes[prefix] = self._wanted[prefix] = None

    def leave(self, prefix: bytes) -> None:
        """The user has unsubscribed from a prefix."""
        self._prefixes.pop(prefix, None)
        self._wanted.pop(prefix, None)
        if prefix in self._covered:
            self._covered.discard(prefix)
            self._lengths[len(prefix)] -= 1

    def again(self) -> None:
        """It is time to ask for tags that are new since the last list."""
        self._again = self._place != START

    def ask(self) -> AskedList:
        """The question to ask now, while one is pending; from now on it counts as asked."""
        self._later = not self._wanted
        self._asked = tuple(self._wanted or self._prefixes)
        self._wanted, self._again = {}, self._again and not self._later
        prefixes = self._asked
        if len(prefixes) > MOST_PREFIXES:
            prefixes = (common(prefixes),)
        return AskedList(self._place if self._later else START, prefixes)

    def note(self, tag: bytes, number: int) -> int | None:
        """Note the last number of a tag.

        Returns:
            If nothing was heard of the tag that can be missed: the number before its first one.
        """
        known = self.numbers.get(tag)
        if self._later and (known is None or is_of_another(number, known + 1)):
            self.numbers.pop(tag, None)
            return self._first_of(number) - 1
        if not self._later:
            self.numbers[tag] = number
        return None

    def ended(self, place: bytes) -> None:
        """The list is complete; `place` is where it ends, or empty if the publisher made none."""
        asked, self._asked, self._vain = self._asked, (), False
        if len(place) == len(START):
            covers = {each for each in asked if each in self._prefixes} - self._covered
            self._covered |= covers
            self._lengths.update(map(len, covers))
            self._first = int.from_bytes(place[:LENGTH], "big")
            if self._later or self._place == START:
                self._place = place

    def failed(self) -> None:
        """There was no answer: the question is pending again."""
        if self._later:
            self._again = True
        else:
            self._wanted.update((each, None) for each in self._asked if each in self._prefixes)
        self._asked, self._vain = (), True

    def before(self, tag: bytes, number: int) -> int:
        """The number after which publications of a tag are missing, as this one comes first."""
        known = self.numbers.pop(tag, None)
        if known is not None and not is_of_another(number, known + 1):
            return min(known, number - 1)
        if run_of(number) in self._others or (known is None and not self._covers(tag)):
            return number - 1
        return min(self._first_of(number), number) - 1

    def knows(self, following: int) -> bool:
        """Whether a publisher knows a tag whose next publication has this number."""
        return following > self._first_of(following)

    def is_of_other(self, number: int, mark: bytes) -> bool:
        """Whether a tag that came first with this number is of a publisher that cannot be asked.

        Args:
            number: the number.
            mark: what the end mark of the answer about the tag says.
        """
        run, known = run_of(number), run_of(self._first)
        if mark:
            following = int.from_bytes(mark, "big")
            if self.knows(following) or run_of(following) != known:
                return False  # it is of this one, or may be of one that has begun anew since
        if run and run == known:
            return False
        self._others |= {run} - {0}
        return True

    def take(self, most: int) -> list[tuple[bytes, int]]:
        """Take tags of which nothing has come, with their numbers, to ask for what follows."""
        numbers = self.numbers
        return [(tag, numbers.pop(tag)) for tag in [*numbers][:most]]

    def drop(self, wanted: Callable[[bytes], bool], prefix: bytes = b"") -> None:
        """Forget tags with this prefix that are not wanted any more."""
        for tag in self.numbers.beginning(prefix):
            if not wanted(tag):
                del self.numbers[tag]

    def _first_of(self, number: int) -> int:
        return begins_at(number) if run_of(number) else self._first

    def _covers(self, tag: bytes) -> bool:
        lengths = self._lengths
        return any(count and tag[:length] in self._covered for length, count in lengths.items())


def common(prefixes: Collection[bytes]) -> bytes:
    """What all these prefixes begin with."""
    first, last = min(prefixes), max(prefixes)
    length = next((n for n in range(len(first)) if first[n] != last[n]), len(first))
    return first[:length]
