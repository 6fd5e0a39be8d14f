"""The scenario of last values by tag: who comes late knows them, and each change from then on."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import zmq

from tests.simulated.publications import REPLAYS, told_next
from tests.simulated.stage import ADDRESS, BACK, UNTIL, Stage, scenario
from zmqbridge import Gap, NotAnswered, Restarted, Sequence

BUSY, QUIET = [b"a", b"ab", b"b"], [b"aq", b"q"]  # the quiet ones once in each life, at first


class Values:
    """What one subscriber knows of each tag: only newer, and nothing left out without a word.

    Args:
        runs: a gap is within one life of the publisher, so it has as many numbers as are missed.
    """

    def __init__(self, runs: bool) -> None:
        self.runs = runs
        self.last: dict[bytes, int] = {}
        self.begins: set[bytes] = set()  # tags of which any newer one may come next

    def note(self, told: Any) -> None:
        """Check one thing that it was told."""
        if isinstance(told, Restarted):
            assert told.tag in self.last, told
            self.begins.add(told.tag)
        elif isinstance(told, Gap):
            if self.runs and told.tag in self.last and told.tag not in self.begins:
                self.last[told.tag] += len(told)
            else:
                self.begins.add(told.tag)
        else:
            tag, body = told
            number, last = int(body), self.last.get(tag)
            if last is not None:
                assert number > last, (told, self.last, "older, or twice")
                assert number == last + 1 or tag in self.begins, (told, self.last, "left out")
            self.last[tag] = number
            self.begins.discard(tag)

    def forget(self, left: list[bytes]) -> None:
        """These prefixes are left: a later subscription begins anew."""
        for tag in [tag for tag in self.last if not tag.startswith(tuple(left))]:
            del self.last[tag]
            self.begins.discard(tag)


@scenario
async def who_joins_knows_the_last_of_each_tag(stage: Stage) -> None:
    """D.6: whatever is cut, killed or full, all end with the last values, and see none go back.

    The first numbers have runs in them, or each life of the publisher has higher ones.
    """
    kept = stage.random.choice([{"last_values": 10, "keep": 3}, {"keep": 10_000}])
    runs, mark = stage.random.random() < 0.5, stage.random.choice([1000, 1000, 3])
    published: Counter[bytes] = Counter()
    alive: set[bytes] = set()  # tags that the present life has published under
    known: dict[str, Values] = {}
    wanted: dict[str, list[bytes]] = {}

    def publish(publisher: Any, tag: bytes) -> None:
        published[tag] += 1
        alive.add(tag)
        publisher.publish(b"%d" % published[tag], tag)

    async def serve() -> None:
        alive.clear()
        first = None if runs else 1000 * int(1 + 10 * stage.now())
        sequence = Sequence(REPLAYS, by="tag", first=first, **kept)
        async with stage.make(
            "Publisher", "server", bind=ADDRESS, sequence=sequence, barrier=True,
            options={zmq.SNDHWM: mark},
        ) as publisher:  # fmt: skip
            for tag in QUIET:
                publish(publisher, tag)
            while stage.now() < UNTIL + BACK:
                for _ in range(stage.random.choice([1, 1, 1, 15])):
                    publish(publisher, stage.random.choice(BUSY))
                await stage.sleep(0.05)
            await stage.sleep(1000)

    async def subscribe(name: str) -> None:
        if name not in known:
            await stage.sleep(UNTIL * stage.random.random())
        values = known[name] = Values(runs)
        prefixes = wanted[name] = stage.random.choice([[b""], [b"a"], [b"ab", b"q"]])[:]
        async with stage.make(
            "Subscriber", name, connect=ADDRESS, tags=prefixes, numbered_by="tag", replay=REPLAYS,
            latest=True, on_gap=stage.random.choice(["raise", "report"]),
            options={zmq.RCVHWM: mark}, prefetch=stage.random.choice([1000, 2]),
        ) as subscriber:  # fmt: skip
            if stage.random.random() < 0.3:
                try:
                    await subscriber.ready(timeout=5)
                except NotAnswered:
                    assert stage.now() > 3, "the faults are short"
            while True:
                patience = stage.random.choice([0.001, 0.1, 10])
                if (told := await told_next(stage, subscriber, patience)) is not None:
                    values.note(told)
                if stage.random.random() < 0.02 and stage.now() < UNTIL:
                    if len(prefixes) > 1:
                        subscriber.unsubscribe(prefixes.pop())
                        values.forget(prefixes)
                    else:
                        prefixes.append(stage.random.choice([b"b", b"q", b"a"]))
                        subscriber.subscribe(prefixes[-1])
                    await stage.sleep(0.2)

    stage.network.node("main")
    names = [f"subscriber{n}" for n in range(stage.random.randint(1, 3))]
    stage.spawn("server", serve)
    stage.trouble("server", *names, kinds=("cut", "silence", "one_way", "slow", "restart"))
    for name in names:
        stage.spawn(name, partial(subscribe, name))
    await stage.sleep(UNTIL + BACK)
    await stage.sleep(40)  # longer than attempts in vain take, and the silence before a question
    for name in names:
        for tag in alive:
            if tag.startswith(tuple(wanted[name])):
                assert known[name].last.get(tag) == published[tag], (name, tag, known[name].last)
