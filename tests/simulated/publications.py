"""The scenarios of publishers and subscribers under faults: numbers, replays, who is there."""

from __future__ import annotations

import contextlib
from collections import Counter
from functools import partial
from typing import Any

import zmq

from tests.simulated.stage import ADDRESS, BACK, UNTIL, Stage, scenario
from zmqbridge import (
    Gap,
    NotAnswered,
    PublicationsMissed,
    PublisherRestarted,
    QueueEmpty,
    Restarted,
    Sequence,
    SocketClosed,
    Subscribed,
    Unsubscribed,
)
from zmqbridge.core.numbered import begins_at
from zmqbridge.testing import faults

REPLAYS = "tcp://server:5556"
BROKER = "tcp://broker:5557"
ALL = [b"a", b"b", b"c"]
LIFE = 1_000_000  # each life of a publisher begins with a multiple of it


class Published:
    """What publishers have published, and which number each has."""

    def __init__(self, by_tag: bool) -> None:
        self.by_tag = by_tag
        self.next: Counter[bytes] = Counter()
        self.all = 0
        self._places: dict[tuple[bytes, int], int] = {}

    def begin(self, first: int) -> None:
        """A publisher starts anew."""
        self.first = first
        for key in self.next:
            self.next[key] = first

    def body(self, tag: bytes) -> bytes:
        """The body of the next publication, which has its number in it."""
        key = tag if self.by_tag else b""
        number = max(self.next[key], self.first)
        self.next[key] = number + 1
        self._places[key, number] = self.all
        self.all += 1
        return b"%d" % number

    def was_dropped(self, gap: Gap, keep: int) -> bool:
        """Whether a publisher that keeps so many has none of these any more."""
        return self._places[gap.tag, gap.last] < self.all - keep


class Ledger:
    """What one subscriber was told: each number once, in order, delivered or as missed."""

    def __init__(self, by_tag: bool) -> None:
        self.by_tag = by_tag
        self.next: dict[bytes, int] = {}
        self.restarts = self.gaps = 0

    def since(self) -> Any:
        """Where a later process goes on."""
        places = {key: number - 1 for key, number in self.next.items()}
        return places if self.by_tag else places.get(b"")

    def note(self, told: Any) -> None:
        """Check one thing that it was told."""
        if isinstance(told, Restarted):
            assert told.tag in self.next, told
            self.next[told.tag] = 0
            self.restarts += 1
        elif isinstance(told, Gap):
            # A gap may come first: the list of tags has shown where a tag was at the beginning.
            first, last = (each - begins_at(each) for each in (told.first, told.last))
            assert first == self.next.get(told.tag, first) <= last, (told, self.next)
            self.gaps += 1
            self.next[told.tag] = last + 1
        else:
            tag, body = told
            key = tag if self.by_tag else b""
            assert int(body) == self.next.get(key, int(body)), (told, self.next)
            self.next[key] = int(body) + 1


async def told_next(stage: Stage, subscriber: Any, patience: float) -> Any:
    """The next thing that a subscriber is told, raised or not; None if nothing comes."""
    try:
        return await stage.within(patience, subscriber.receive)
    except SocketClosed:
        return None
    except PublicationsMissed as error:
        return error.gap
    except PublisherRestarted as error:
        return error.restarted


@scenario
async def what_was_delivered_and_what_is_told_make_up_all(stage: Stage) -> None:
    """D.t3: whatever is cut, killed, restarted or full, each publication is delivered or told.

    By chance a subscriber that restarts goes on where it was; then its ledger does, too. And by
    chance there is a broker in between.
    """
    by: Any = stage.random.choice(["publisher", "tag"])
    replay = stage.random.choice([REPLAYS, REPLAYS, None])
    tags = stage.random.sample(ALL, 2) if by == "tag" else [b""]
    mark = stage.random.choice([1000, 1000, 3])
    keep = stage.random.choice([2, 30, 2 * LIFE])
    subscribers = [f"subscriber{n}" for n in range(stage.random.randint(1, 3))]
    goes_on, relayed = stage.random.random() < 0.5, stage.random.random() < 0.3
    published, lives = Published(by == "tag"), 0
    ledgers: dict[str, Ledger] = {}

    async def publish() -> None:
        nonlocal lives
        lives += 1
        published.begin(lives * LIFE)
        sequence = Sequence(replay, keep=keep, by=by, first=lives * LIFE)
        async with stage.make(
            "Publisher", "server", bind=ADDRESS, sequence=sequence, options={zmq.SNDHWM: mark}
        ) as publisher:
            while stage.now() < UNTIL:
                for _ in range(stage.random.choice([1, 1, 1, 1, 20])):
                    tag = stage.random.choice(ALL)
                    publisher.publish(published.body(tag), tag)
                await stage.sleep(0.05)
            while True:  # what comes last shows what was lost before it
                for tag in ALL:
                    publisher.publish(published.body(tag), tag)
                await stage.sleep(2)

    async def subscribe(name: str) -> None:
        given: dict[str, Any] = {"replay": replay} if replay else {}
        if goes_on and name in ledgers:
            given["since"] = ledgers[name].since()
        else:
            ledgers[name] = Ledger(by == "tag")
        ledger = ledgers[name]
        async with stage.make(
            "Subscriber", name, connect=BROKER if relayed else ADDRESS, tags=tags, numbered_by=by,
            on_gap=stage.random.choice(["raise", "report"]), options={zmq.RCVHWM: mark},
            prefetch=stage.random.choice([1000, 5]), **given,
        ) as subscriber:  # fmt: skip
            while True:
                patience = stage.random.choice([0.001, 0.1, 10])
                if (told := await told_next(stage, subscriber, patience)) is not None:
                    ledger.note(told)
                    if isinstance(told, Gap) and replay and lives == 1:
                        assert published.was_dropped(told, keep), f"{told} could be asked for"
                if stage.random.random() < 0.02:
                    await stage.sleep(0.3)

    stage.spawn("server", publish)
    stage.network.node("main")
    if relayed:
        stage.spawn("broker", partial(relay, stage))
    for name in subscribers:
        stage.spawn(name, partial(subscribe, name))
    kinds = ("cut", "silence", "one_way", "slow", "restart")
    stage.trouble("server", *subscribers, *["broker"] * relayed, kinds=kinds)
    await stage.sleep(UNTIL + BACK)
    await stage.sleep(30)  # longer than attempts in vain take
    for name in subscribers:
        heard = ledgers[name].next
        assert set(heard) == ({b""} if by == "publisher" else set(tags)), heard
        for key, number in heard.items():
            behind = published.next[key] - number
            assert 0 <= behind <= (len(ALL) if key == b"" else 1), (name, key, heard)
        if replay and keep > LIFE and lives == 1:
            assert not ledgers[name].gaps, "what was missed was there to be asked for"


@scenario
async def a_restart_is_told_before_what_follows_it(stage: Stage) -> None:
    """A publisher whose numbers begin anew: `Restarted`, then each of the new ones or its gap."""
    counts = sorted(stage.random.sample(range(1, 60), 2), reverse=True)
    replay = stage.random.choice([REPLAYS, None])
    # By default each life has a run of numbers of its own, and may be told by them at once.
    given_first: dict[str, Any] = stage.random.choice([{"first": 0}, {}])
    ledger = Ledger(by_tag=False)
    alive: list[Any] = []

    async def publish() -> None:
        sequence = Sequence(replay, **given_first)
        async with stage.make("Publisher", "server", bind=ADDRESS, sequence=sequence) as publisher:
            alive.append(publisher)
            await stage.sleep(10_000)

    given = {"replay": replay} if replay else {}
    async with stage.make(
        "Subscriber", "client", connect=ADDRESS, tags=[""], numbered_by="publisher",
        on_gap=stage.random.choice(["raise", "report"]), **given,
    ) as subscriber:  # fmt: skip

        async def listen() -> None:
            while not subscriber.closed:
                if (told := await told_next(stage, subscriber, 100)) is not None:
                    ledger.note(told)

        stage.spawn("client", listen)
        stage.spawn("server", publish)
        await stage.sleep(0.1)
        for life, count in enumerate(counts):
            await alive[-1].wait_for("", timeout=60)
            found = faults.draw(stage.random, ["server", "client"], 0.1 * count, longest=0.5)
            faults.apply(stage.network, found if life else [])
            for number in range(count):
                alive[-1].publish(b"%d" % number)
                await stage.sleep(0.1)
            await stage.sleep(BACK)
            # All has been heard, but what was lost at the very end, which nothing tells yet.
            while alive[-1].subscribers() == 0:
                await stage.sleep(0.1)
            alive[-1].publish(b"%d" % count)
            await stage.sleep(BACK)
            assert ledger.next == {b"": count + 1}
            assert ledger.restarts == life
            stage.network.node("server").restart()
            await stage.sleep(BACK)


@scenario
async def after_ready_nothing_is_missed(stage: Stage) -> None:
    """D.t1: what is published after `ready` is heard, directly and through a broker."""
    relayed = stage.random.random() < 0.5
    stage.network.node("client")
    async with contextlib.AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(
            stage.make("Publisher", "server", bind=ADDRESS, barrier=True)
        )
        address = ADDRESS
        if relayed:
            address = BROKER
            front = await stack.enter_async_context(
                stage.make("XSubscriber", "broker", connect=ADDRESS, format="raw")
            )
            verbose = {zmq.XPUB_VERBOSER: 1}
            back = await stack.enter_async_context(
                stage.make("XPublisher", "broker", bind=address, format="raw", options=verbose)
            )
            stage.spawn("broker", partial(pass_on_publications, front, back))
            stage.spawn("broker", partial(pass_on_subscriptions, front, back))
        for one, other in [("server", "broker"), ("server", "client"), ("broker", "client")]:
            for name in (one, other):
                stage.network.node(name)
            stage.network.slow(one, other, latency=(0.0001, stage.random.choice([0.001, 0.3])))
        if stage.random.random() < 0.5:
            stage.trouble("server", "client", "broker")
        for number in range(10):
            async with stage.make(
                "Subscriber", "client", connect=address, tags=["a", "b"]
            ) as subscriber:
                before = cuts_so_far(stage)
                try:
                    await subscriber.ready(timeout=stage.random.choice([0.2, 5]))
                except NotAnswered:
                    await stage.sleep(stage.random.random())
                    continue
                # A broker that connects again meanwhile sends all it knows in the order of libzmq's
                # trie: the barrier before the tags.
                cuts = before if relayed else cuts_so_far(stage)
                publisher.publish(b"%d" % number, stage.random.choice(["a", "b"]))
                heard = await stage.within(10, subscriber.receive)
                if cuts_so_far(stage) == cuts:
                    assert heard is not None, "missed after `ready`"
                    assert heard[1] == b"%d" % number
            await stage.sleep(0.5)


async def relay(stage: Stage) -> None:
    """A broker between the address of the server and its own."""
    async with (
        stage.make("XSubscriber", "broker", connect=ADDRESS, format="raw") as front,
        stage.make("XPublisher", "broker", bind=BROKER, format="raw") as back,
    ):
        while True:  # one program, so that it begins again as a whole
            if (parts := await stage.within(0.005, front.receive)) is not None:
                back.publish(parts)
            with contextlib.suppress(QueueEmpty):
                pass_on(back.receive_nowait(), front)


def cuts_so_far(stage: Stage) -> int:
    return sum(event.what == "cut" for event in stage.network.trace)


async def pass_on_publications(front: Any, back: Any) -> None:
    async for parts in front:
        back.publish(parts)


async def pass_on_subscriptions(front: Any, back: Any) -> None:
    async for change in back:
        pass_on(change, front)


def pass_on(change: Subscribed | Unsubscribed, front: Any) -> None:
    if isinstance(change, Subscribed):
        front.subscribe(change.tag)
    else:
        front.unsubscribe(change.tag)


@scenario
async def who_subscribes_is_known(stage: Stage) -> None:
    """D.t2: what subscribers want is counted right, whoever is cut off, killed or comes back."""
    names = [f"subscriber{n}" for n in range(4)]
    relayed = stage.random.random() < 0.3
    wanted: dict[str, Counter[bytes]] = {}
    told: Counter[bytes] = Counter()

    async def subscribe(name: str) -> None:
        tags = wanted[name] = Counter()
        address = BROKER if relayed else ADDRESS
        async with stage.make("Subscriber", name, connect=address) as subscriber:
            while stage.now() < UNTIL:
                tag = stage.random.choice([b"", b"a", b"ab", b"b"])
                if tags[tag] and stage.random.random() < 0.5:
                    subscriber.unsubscribe(tag)
                    tags[tag] -= 1
                else:
                    subscriber.subscribe(tag)
                    tags[tag] += 1
                await stage.sleep(stage.random.random() * 0.2)
            await stage.sleep(1000)

    async with stage.make("Publisher", "server", bind=ADDRESS) as publisher:

        async def listen() -> None:
            async for change in publisher.subscriptions():
                told[change.tag] += 1 if isinstance(change, Subscribed) else -1
                assert told[change.tag] >= 0

        stage.spawn("server", listen)
        if relayed:
            stage.spawn("broker", partial(relay, stage))
        for name in names:
            stage.spawn(name, partial(subscribe, name))
        stage.trouble("server", *names, *["broker"] * relayed)
        stage.trouble(*names, kinds=("restart",))
        await stage.sleep(0.1)
        victim = stage.random.choice(names)
        stage.network.after(UNTIL + BACK, stage.network.node(victim).kill)
        await stage.sleep(UNTIL + 2 * BACK)
        del wanted[victim]
        for tag in (b"", b"a", b"ab", b"abc", b"b"):
            # A subscription is sent once for each tag, however often it was asked for; and by a
            # broker once for all who are behind it.
            matching = [
                prefix
                for tags in wanted.values()
                for prefix, count in tags.items()
                if count and tag.startswith(prefix)
            ]
            mine = len({*matching} if relayed else matching)
            assert publisher.subscribers(tag) == mine, (tag, wanted)
            assert publisher.wanted(tag) == bool(mine)
            if mine:
                await publisher.wait_for(tag, mine, timeout=1)
        publisher.publish(b"", b"abc")
        await stage.sleep(0.1)
        those = [prefix for tags in wanted.values() for prefix, count in tags.items() if count]
        assert +told == Counter({*those} if relayed else those)


@scenario
async def the_newest_of_each_tag_comes(stage: Stage) -> None:
    """D.t6: one that is far too slow holds one publication of each tag, and ends with the last.

    By chance it wants exact tags; then what only begins as one of them does not come.
    """
    exact = stage.random.random() < 0.5
    tags = [b"a", b"b", b"c"]
    newest: dict[bytes, int] = {}
    last: dict[bytes, int] = {}

    async def publish() -> None:
        async with stage.make("Publisher", "server", bind=ADDRESS) as publisher:
            number = 0
            while True:
                for _ in range(stage.random.choice([1, 30])):
                    tag = stage.random.choice(tags)
                    number += 1
                    last[tag] = number
                    publisher.publish(b"%d" % number, tag)
                    if exact:
                        publisher.publish(b"%d" % number, tag + b"b")
                await stage.sleep(0.04)
                if stage.now() > UNTIL + BACK:
                    break
            for tag in tags:
                last[tag] = number = number + 1
                publisher.publish(b"%d" % number, tag)
            await stage.sleep(1000)

    stage.spawn("server", publish)
    stage.trouble("server", "client")
    async with stage.make(
        "Subscriber",
        "client",
        connect=ADDRESS,
        tags=tags if exact else [""],
        conflate=True,
        exact=exact,
    ) as subscriber:
        while last != newest or stage.now() < UNTIL + 2 * BACK:
            if (publication := await stage.within(0.2, subscriber.receive)) is not None:
                tag, body = publication
                assert tag in tags
                assert int(body) > newest.get(tag, 0)
                newest[tag] = int(body)
            assert subscriber.statistics().unread <= len(tags)
            await stage.sleep(stage.random.choice([0, 0.1]))
            assert stage.now() < 60, (newest, last)
