"""Publishers and subscribers of numbered publications are killed and stopped; the ledgers balance.

    python -m tests.soak.publications --seconds 60 --seed 1

What must be true for each life of a subscriber: what it was given and what it was told as missed
follow each other without a hole and without a double, from the first to the last that was
published; also from life to life of those that go on where they were. What is told as missed was
published by a publisher that was killed, or by nobody.
It prints a table and the seed, and exits with 1 when something does not balance.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.actors import LIFE, TAGS, goes_on
from tests.soak.chaos import STEP, Actor, free_port_address

PATIENCE = 90  # seconds until the last ones have come: a silent subscriber asks every 10 s


def cast(folder: str) -> list[Actor]:
    """All actors, started: two publishers, and three subscribers of each."""
    actors = []
    for by, loop in (("publisher", "asyncio"), ("tag", "twisted")):
        places = [f"ipc://{folder}/pub-{by}", free_port_address()]
        actors.append(Actor(folder, loop, "publisher", [*places, by], name=by))
        actors += [
            Actor(folder, here, "subscriber", [*places, by], name=by)
            for here in ("asyncio", "uvloop", "twisted")
        ]
    return actors


def torment(actors: list[Actor], seconds: float, chance: random.Random) -> None:
    """Stop and kill at random for so long."""
    end, say_at = time.monotonic() + seconds, 0.0
    publishers = [actor for actor in actors if actor.role == "publisher"]
    while (now := time.monotonic()) < end:
        if now > say_at:
            kills, stops = sum(a.kills for a in actors), sum(a.stops for a in actors)
            print(f"{end - now:.0f} s to go: {kills} kills, {stops} stops", flush=True)
            say_at = now + STEP
        for actor in actors:
            actor.look(now)
        actor = chance.choice([*actors, *publishers, *publishers])
        if not (actor.wakes_at or actor.starts_at):
            if chance.random() < 0.25:
                actor.kill(gone_for=chance.choice([0.01, 0.5, 1.5]))
            else:
                actor.stop_for(chance.choice([0.1, 0.5, 1.5]))
        time.sleep(chance.uniform(0.2, 1.0))
    for actor in actors:
        if actor.starts_at:
            actor.start()
        elif actor.wakes_at:
            actor.wake()


def last_of(actor: Actor) -> dict[str, int]:
    """The last number that a publisher has given, by tag; nothing while it publishes."""
    ends = [words for words in actor.lines()[-1] if words[0] == "end"]
    return {key: int(last) for key, last in (each.split("=") for each in (ends or [[]])[0][1:])}


def finish(actors: list[Actor], folder: str) -> None:
    """Publish no more, wait until the last ones have come, and end all."""
    subscribers = [actor for actor in actors if actor.role == "subscriber"]
    end = time.monotonic() + PATIENCE
    for actor in actors:
        if actor.role == "publisher":
            while len(actor.lines()[-1]) < len(TAGS):
                wait(end, f"{actor.name} publishes nothing")
    for actor in subscribers:
        for tag in tags_of(actor):  # else nothing tells it that there was anything
            while told_up_to(actor, tag) < 0:
                wait(end, f"{actor.name} was told of nothing")
    Path(folder, "stop-publisher").touch()
    lasts = {}
    for actor in actors:
        if actor.role == "publisher":
            while not (last := last_of(actor)):
                wait(end, f"{actor.name} does not end")
            lasts[actor.addresses[-1]] = last
    for actor in subscribers:
        for tag in tags_of(actor):
            wanted = lasts[actor.addresses[-1]][tag]
            while (told := told_up_to(actor, tag)) < wanted:
                wait(end, f"{actor.name} was told of {tag!r} up to {told}, and not {wanted}")
    for stop in ("stop-subscriber", "stop-publisher-for-good"):
        Path(folder, stop).touch()
    for actor in actors:
        if actor.process.wait(60):
            raise SystemExit(f"{actor.name} failed: {actor.process.returncode}")


def tags_of(subscriber: Actor) -> list[str]:
    """What it counts by."""
    return TAGS[:2] if subscriber.addresses[-1] == "tag" else [""]


def wait(end: float, why: str) -> None:
    if time.monotonic() > end:
        raise SystemExit(why)
    time.sleep(0.2)


def told_up_to(actor: Actor, tag: str) -> int:
    told = [int(w[3]) for w in actor.lines()[-1] if w[0] in ("got", "gap") and w[1] == tag]
    return told[-1] if told else -1


Number = tuple[str, int]
Gaps = list[tuple[str, int, int]]


def audit(actors: list[Actor]) -> list[str]:
    """Print the table; what is wrong is returned."""
    wrong = []
    print(f"{'':30}{'numbers':>9}{'missed':>9}{'lives':>7}{'stops':>7}")
    for publisher in (actor for actor in actors if actor.role == "publisher"):
        published = {
            (words[1], int(words[2]))
            for life in publisher.lines()
            for words in life
            if words[0] == "published"
        }
        # What killed lives published last may have gone with them.
        safe = {each for each in published if each[1] // LIFE == publisher.lives}
        print(f"{publisher.name:30}{len(published):9}{'':9}{publisher.lives:7}{publisher.stops:7}")
        for actor in actors:
            if actor.role != "subscriber" or actor.addresses != publisher.addresses:
                continue
            given = missed = 0
            lives = actor.lines()
            if goes_on(actor.name):
                lives = [[words for life in lives for words in life]]
            for life in lives:
                got, gaps, problems = entries(life, actor.name)
                wrong += problems
                forged, lost = got - published, within(gaps, safe)
                if forged:
                    wrong.append(f"{actor.name} got {min(forged)}, which nobody published")
                if lost:
                    wrong.append(f"{actor.name} missed {len(lost)} that are there: {min(lost)}")
                given += len(got)
                missed += len(within(gaps, published))
            print(f"{actor.name:30}{given:9}{missed:9}{actor.lives:7}{actor.stops:7}")
    return wrong


def within(gaps: Gaps, numbers: set[Number]) -> set[Number]:
    """Those of the numbers that are in a gap."""
    return {
        (tag, number)
        for tag, number in numbers
        if any(tag == of and first <= number <= last for of, first, last in gaps)
    }


def entries(life: list[list[str]], name: str) -> tuple[set[Number], Gaps, list[str]]:
    """What one life of a subscriber was given and told, and what is wrong with its order."""
    expected: dict[str, int] = {}
    got: set[Number] = set()
    gaps: Gaps = []
    wrong = []
    for words in life:
        if words[0] not in ("got", "gap", "restarted"):
            continue
        what, tag, first, last = words[0], words[1], int(words[2]), int(words[3])
        if what == "restarted" or first != expected.get(tag, first) or last < first:
            wrong.append(f"{name}: {' '.join(words)}, and not {expected.get(tag)}")
        expected[tag] = last + 1
        if what == "got":
            got.add((tag, first))
        else:
            gaps.append((tag, first, last))
    return got, gaps, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}, {given.seconds:g} seconds", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        actors = cast(folder)
        try:
            torment(actors, given.seconds, random.Random(seed))
            finish(actors, folder)
            wrong = audit(actors)
        finally:
            for actor in actors:
                if actor.process.poll() is None:
                    actor.process.kill()
                    actor.process.wait()
    for text in wrong[:20]:
        print("WRONG:", text)
    print("\nAll ledgers balance." if not wrong else f"\n{len(wrong)} are wrong.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
