"""The scenarios of subscribers that come late, and of tags that are new while nothing is heard."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import zmq

from tests.simulated.publications import REPLAYS, told_next
from tests.simulated.stage import ADDRESS, BACK, UNTIL, Stage, scenario
from zmqbridge import Gap, NotAnswered, Restarted, Sequence

FIRST = 1000  # the first number of each tag; a body is its number


class Feed:
    """What is published: a number of each tag, which is also the body."""

    def __init__(self, stage: Stage, tags: int) -> None:
        self._stage = stage
        self.tags = [b"tag%d" % number for number in range(tags)]
        self.next: Counter[bytes] = Counter()
        self._places: dict[tuple[bytes, int], int] = {}

    def publish(self, publisher: Any, tag: bytes = b"") -> None:
        tag = tag or self._stage.random.choice(self.tags)
        number = self.next[tag] = max(self.next[tag], FIRST)
        self.next[tag] += 1
        self._places[tag, number] = len(self._places)
        publisher.publish(b"%d" % number, tag)

    def was_dropped(self, gap: Gap, keep: int) -> bool:
        """Whether a publisher that keeps so many has none of these any more."""
        return self._places[gap.tag, gap.last] < len(self._places) - keep

    async def go_on(self, publisher: Any) -> None:
        """Publish while faults happen, then of each known tag once more, and stay."""
        while self._stage.now() < UNTIL + BACK:
            for _ in range(self._stage.random.choice([0, 1, 5])):
                self.publish(publisher)
            await self._stage.sleep(0.1)
        for tag in sorted(self.next):
            self.publish(publisher, tag)
        await self._stage.sleep(1000)


@scenario
async def who_comes_late_is_given_the_last_of_each_tag(stage: Stage) -> None:
    """Of each tag the last publication or a later one, none older after it, none of them twice.

    It is asked for, or sent again; then without numbers it may be sent twice.
    """
    feed = Feed(stage, 8)
    asks, numbered = stage.random.choice([(True, True), (False, True), (False, False)])
    heard: dict[str, dict[bytes, int]] = {}
    given: dict[str, Any] = {"barrier": True}
    hearing: dict[str, Any] = {}
    if numbered:
        most = 100 if asks else 0
        given["sequence"] = Sequence(
            REPLAYS if asks else None, by="tag", first=FIRST, last_values=most
        )
        hearing = {"numbered_by": "tag", "on_gap": "report"}
    if asks:
        hearing |= {"replay": REPLAYS, "latest": True}
    else:
        given["last_values"] = 100

    async def publish() -> None:
        async with stage.make("Publisher", "server", bind=ADDRESS, **given) as publisher:
            for _ in range(stage.random.randint(1, 40)):
                feed.publish(publisher)
            await feed.go_on(publisher)

    async def subscribe(name: str) -> None:
        await stage.sleep(stage.random.uniform(0.01, UNTIL))
        mine = heard[name] = {}
        before = dict(feed.next)
        async with stage.make(
            "Subscriber", name, connect=ADDRESS, tags=["tag"], **hearing
        ) as subscriber:
            while True:
                told = await told_next(stage, subscriber, 100)
                if isinstance(told, Gap | Restarted) or told is None:
                    assert type(told) is not Restarted, told
                    continue
                tag, number = told[0], int(told[1])
                least = mine.get(tag, before.get(tag, FIRST) - 1 - numbered) + numbered
                assert number >= least, (tag, number, least)
                mine[tag] = number

    stage.spawn("server", publish)
    names = ["one", "two", "three"]
    for name in names:
        stage.spawn(name, partial(subscribe, name))
    stage.trouble("server", *names)
    await stage.sleep(UNTIL + 2 * BACK + 15)  # and what came last is asked for after 10 s
    wanted = {tag: following - 1 for tag, following in feed.next.items()}
    for name in names:
        assert heard[name] == wanted, name


@scenario
async def of_a_new_tag_nothing_is_missed_in_silence(stage: Stage) -> None:
    """After `ready`, all of each tag is delivered or told as missed, from its very first on."""
    feed = Feed(stage, stage.random.choice([3, 30]))
    keep = stage.random.choice([3, 20, 10_000])
    last: dict[bytes, int] = {}
    begins: dict[bytes, int] = {}
    made: list[Any] = []

    async def publish() -> None:
        sequence = Sequence(REPLAYS, by="tag", first=FIRST, keep=keep)
        async with stage.make(
            "Publisher", "server", bind=ADDRESS, barrier=True, sequence=sequence
        ) as publisher:
            made.append(publisher)
            for _ in range(stage.random.choice([0, 2])):
                feed.publish(publisher)
            await feed.go_on(publisher)

    def note(told: Any) -> None:
        if isinstance(told, Gap):
            assert feed.was_dropped(told, keep), f"{told} could be asked for"
            tag, first, until = told.tag, told.first, told.last
        else:
            tag, first, until = told[0], int(told[1]), int(told[1])
        least = last.get(tag, begins.get(tag, FIRST) - 1) + 1
        assert first == least or (tag not in last and first < least), (told, least)
        last[tag] = until

    async with stage.make(
        "Subscriber", "client", connect=ADDRESS, tags=["tag"], numbered_by="tag", replay=REPLAYS,
        on_gap=stage.random.choice(["raise", "report"]),
    ) as subscriber:  # fmt: skip
        stage.spawn("server", publish)
        while True:
            try:
                await subscriber.ready(timeout=5)
            except NotAnswered:
                continue
            break
        # Of these only what is published from now on is sure.
        begins.update(feed.next)
        stage.trouble("server", "client")
        while stage.now() < UNTIL + 2 * BACK + 15:
            if (told := await told_next(stage, subscriber, 1)) is not None:
                note(told)
        assert last == {tag: following - 1 for tag, following in feed.next.items()}


@scenario
async def an_answer_that_was_lost_is_asked_for_again(stage: Stage) -> None:
    """`ready` comes back also where a full queue has lost the first answers, and misses nothing."""
    marks = {zmq.SNDHWM: 3, zmq.RCVHWM: 3}
    async with (
        stage.make("Publisher", "server", bind=ADDRESS, barrier=True, options=marks) as publisher,
        stage.make(
            "Subscriber", "client", connect=ADDRESS, tags=["a"], options=marks
        ) as subscriber,
    ):
        await publisher.wait_for("a")
        # More than the buffers of the kernel take, so that publications and answers are lost.
        stage.network.slow("server", "client", per_second=1_000_000)

        async def flood() -> None:
            while stage.now() < UNTIL:
                publisher.publish(bytes(200_000), "a")
                await stage.sleep(0.01)

        stage.spawn("server", flood)
        await stage.sleep(stage.random.uniform(0.1, 2))
        await subscriber.ready(timeout=30)
        while await stage.within(5, subscriber.receive) is not None:
            pass
        publisher.publish(b"seen", "a")
        assert (await subscriber.receive())[1] == b"seen"


@scenario
async def what_a_slow_one_has_missed_comes_though_nothing_follows(stage: Stage) -> None:
    """One that is too slow is given all of each tag, in order, also if nothing more comes."""
    tags = [b"tag%d" % number for number in range(stage.random.choice([1, 8]))]
    marks = stage.random.choice([{}, {zmq.SNDHWM: 3, zmq.RCVHWM: 3}])
    sequence = Sequence(REPLAYS, by="tag", first=FIRST)
    feed, got = Feed(stage, len(tags)), Counter[bytes]()
    async with (
        stage.make(
            "Publisher", "server", bind=ADDRESS, barrier=True, sequence=sequence, options=marks
        ) as publisher,
        stage.make(
            "Subscriber", "client", connect=ADDRESS, tags=["tag"], numbered_by="tag",
            replay=REPLAYS, prefetch=stage.random.choice([1, 5]), options=marks,
        ) as subscriber,
    ):  # fmt: skip
        await subscriber.ready(timeout=10)
        for _ in range(stage.random.randint(1, 20)):
            feed.publish(publisher)
            await stage.sleep(stage.random.choice([0, 0, 0, 0.05]))
        stage.network.cut("server", "client")
        for _ in range(stage.random.randint(1, 100)):
            feed.publish(publisher)
        await stage.sleep(BACK)
        for tag in tags:
            # With room again, the last one shows what was lost.
            await stage.sleep(0.1 if marks else 0)
            feed.publish(publisher, tag)
        while got != feed.next:
            heard = await stage.within(3, subscriber.receive)
            assert heard is not None, (got, feed.next)
            assert int(heard[1]) == got.setdefault(heard[0], FIRST)
            got[heard[0]] += 1
            await stage.sleep(stage.random.choice([0, 0.02, 0.1]))


@scenario
async def one_that_goes_on_misses_nothing(stage: Stage) -> None:
    """One that opens anew with the last numbers of before is given all that came since."""
    by_tag = stage.random.random() < 0.5
    feed = Feed(stage, 3 if by_tag else 1)
    numbered_by: Any = "tag" if by_tag else "publisher"
    sequence = Sequence(REPLAYS, by=numbered_by, first=FIRST)
    last: dict[bytes, int] = {}
    async with stage.make(
        "Publisher", "server", bind=ADDRESS, barrier=True, sequence=sequence
    ) as publisher:
        stage.network.node("client")
        for _ in range(5):
            since: Any = dict(last) if by_tag else next(iter(last.values()), None)
            async with stage.make(
                "Subscriber", "client", connect=ADDRESS, tags=["tag"], numbered_by=numbered_by,
                replay=REPLAYS, **({"since": since} if last else {}),
            ) as subscriber:  # fmt: skip
                await subscriber.ready(timeout=10)
                for tag in feed.tags if not last else ():
                    feed.publish(publisher, tag)
                for _ in range(stage.random.randint(0, 10)):
                    feed.publish(publisher)
                while last != {tag: following - 1 for tag, following in feed.next.items()}:
                    heard = await stage.within(12, subscriber.receive)
                    assert heard is not None, (last, feed.next)
                    tag, number = heard[0], int(heard[1])
                    assert number == last.get(tag, FIRST - 1) + 1, (heard, last)
                    last[tag] = number
            for _ in range(stage.random.randint(0, 20)):
                feed.publish(publisher)
            await stage.sleep(stage.random.random())
