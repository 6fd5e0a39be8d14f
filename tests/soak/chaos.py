"""Processes are stopped, killed and started again at random under load; the ledgers must balance.

    python tests/soak/chaos.py --seconds 60 --seed 1

What must be true at the end: every request has ended in exactly one way, each reply is the caller's
own, no request was seen twice, none was seen that had ended while it was queued, and each that was
answered was seen. Pushed messages arrive in order and never twice; all of them, where nobody was
killed. It prints a table and the seed, and exits with 1 when something does not balance.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ACTORS = Path(__file__).with_name("actors.py")
STEP = 10  # seconds between two lines of progress
LOOPS = ["asyncio", "uvloop", "twisted", "facade"]
# What a killed puller takes with it: both high water marks, the inbox, what the kernel holds.
LOST_WITH_A_PULLER = 100 + 100 + 1000 + 1000


class Actor:
    """A process that may be stopped, killed and started again, and all its ledgers."""

    def __init__(
        self,
        folder: str,
        loop: str,
        role: str,
        addresses: list[str],
        may_be_killed: bool = True,
        name: str = "",
    ) -> None:
        self.folder, self.loop, self.role, self.addresses = folder, loop, role, addresses
        self.may_be_killed = may_be_killed
        self.name = f"{role}-{loop}{name and '-' + name}{'' if may_be_killed else '-safe'}"
        self.lives = self.kills = self.stops = 0
        self.wakes_at = self.starts_at = 0.0
        self.start()

    def start(self) -> None:
        self.lives += 1
        self.starts_at = 0
        name = f"{self.name}.{self.lives}"
        self.process = subprocess.Popen(
            [sys.executable, ACTORS, self.folder, self.loop, self.role, name, *self.addresses]
        )

    def stop_for(self, seconds: float) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.stops += 1
        self.wakes_at = time.monotonic() + seconds

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.wakes_at = 0

    def kill(self, gone_for: float = 0.0) -> None:
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.wakes_at = 0
        self.starts_at = time.monotonic() + gone_for

    def look(self, now: float) -> None:
        """Wake it or start it when that is due; nobody ends by itself."""
        if self.starts_at:
            if self.starts_at < now:
                self.start()
        elif self.process.poll() is not None:
            raise SystemExit(f"{self.name} has ended by itself: {self.process.returncode}")
        elif self.wakes_at and self.wakes_at < now:
            self.wake()

    def lines(self) -> list[list[list[str]]]:
        """What its ledgers say: for each life, a list of lines split in words."""
        lives = []
        for life in range(1, self.lives + 1):
            path = Path(self.folder, f"{self.name}.{life}")
            text = path.read_text() if path.exists() else ""
            lives.append([line.split(" ") for line in text.splitlines()])
        return lives


def free_port_address() -> str:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def cast(folder: str) -> list[Actor]:
    """All actors, started."""
    servers = {
        loop: f"ipc://{folder}/{loop}.sock" if number % 2 else free_port_address()
        for number, loop in enumerate(LOOPS)
    }
    actors = [Actor(folder, loop, "server", [address]) for loop, address in servers.items()]
    actors += [Actor(folder, loop, "client", list(servers.values())) for loop in LOOPS]
    for safe in (True, False):
        for there, here in (("asyncio", "twisted"), ("twisted", "uvloop")):
            address = f"ipc://{folder}/push-{there}-{safe}.sock"
            actors.append(Actor(folder, there, "pusher", [address], may_be_killed=not safe))
            actors.append(Actor(folder, here, "puller", [address], may_be_killed=not safe))
    return actors


def wait_until_all_work(actors: list[Actor]) -> None:
    end = time.monotonic() + 60
    for actor in actors:
        while actor.role != "pusher" and not any(actor.lines()):
            if time.monotonic() > end:
                raise SystemExit(f"{actor.name} does not begin")
            time.sleep(0.05)


def black_out(actors: list[Actor]) -> None:
    """For a while there is no server at all."""
    for actor in actors:
        if actor.role == "server" and not actor.starts_at:
            actor.kill(gone_for=1.5)


def torment(actors: list[Actor], seconds: float, chance: random.Random) -> None:
    """Stop and kill at random for so long."""
    end = time.monotonic() + seconds
    say_at = 0.0
    black_out(actors)
    while (now := time.monotonic()) < end:
        if now > say_at:
            kills, stops = sum(a.kills for a in actors), sum(a.stops for a in actors)
            print(f"{end - now:.0f} s to go: {kills} kills, {stops} stops", flush=True)
            say_at = now + STEP
        for actor in actors:
            actor.look(now)
        actor = chance.choice(actors)
        if actor.wakes_at or actor.starts_at:
            pass
        elif actor.role == "server" and chance.random() < 0.1:
            black_out(actors)
        elif actor.may_be_killed and actor.role != "pusher" and chance.random() < 0.4:
            actor.kill(gone_for=chance.choice([0.01, 0.5]))
        else:
            actor.stop_for(chance.choice([0.01, 0.1, 0.3, 1.5]))
        time.sleep(chance.uniform(0.05, 0.6))
    for actor in actors:
        if actor.starts_at:
            actor.start()
        else:
            actor.wake()


def finish(actors: list[Actor], folder: str) -> None:
    """Have the actors end in order: who asks before who answers."""
    for stop, roles in (
        ("client", ["client"]),
        ("server", ["server"]),
        ("pusher", []),
        ("puller", ["puller"]),
        ("pusher-for-good", ["pusher"]),
    ):
        if stop == "puller":
            wait_for_pushers(actors, folder)
        Path(folder, f"stop-{stop}").touch()
        for actor in actors:
            if actor.role in roles and actor.process.wait(60):
                raise SystemExit(f"{actor.name} failed: {actor.process.returncode}")


def wait_for_pushers(actors: list[Actor], folder: str) -> None:
    end = time.monotonic() + 60
    for actor in (actor for actor in actors if actor.role == "pusher"):
        while not any(words[0] == "statistics" for words in actor.lines()[-1]):
            if time.monotonic() > end:
                raise SystemExit(f"{actor.name} does not end")
            time.sleep(0.05)


class Audit:
    """The table and what is wrong with it."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def check(self, right: object, text: str) -> None:
        if not right:
            self.wrong.append(text)

    def requests(self, actors: list[Actor]) -> None:
        seen = collections.Counter(
            words[1]
            for actor in actors
            if actor.role == "server"
            for life in actor.lines()
            for words in life
            if words[0] == "seen"
        )
        self.check(max(seen.values(), default=0) < 2, "a request was seen twice")
        print(f"{'requests of':16}{'begun':>9}{'replied':>9}{'timed out':>11}{'not sent':>10}"
              f"{'killed':>8}{'seen':>9}{'  stops':>8}{'kills':>7}")  # fmt: skip
        for actor in (actor for actor in actors if actor.role == "client"):
            ends: collections.Counter[str] = collections.Counter()
            begun = 0
            for number, life in enumerate(actor.lines(), 1):
                open_ones: set[str] = set()
                for words in life:
                    if words[0] == "begin":
                        open_ones.add(words[1])
                        begun += 1
                    elif words[0] == "end":
                        self.end_of(words[1], words[2], open_ones, seen)
                        ends[words[2]] += 1
                last = number == actor.lives
                self.check(not (last and open_ones), f"{actor.name} left requests without an end")
                ends["killed"] += len(open_ones)
            self.statistics(actor, begun_in_last_life(actor))
            self.check(sum(ends.values()) == begun, f"{actor.name} does not balance")
            mine = sum(1 for body in seen if body.startswith(actor.name + "."))
            print(f"{actor.loop:16}{begun:9}{ends['replied']:9}{ends['sent']:11}{ends['queued']:10}"
                  f"{ends['killed']:8}{mine:9}{actor.stops:8}{actor.kills:7}")  # fmt: skip
        for actor in (actor for actor in actors if actor.role == "server"):
            served = sum(words[0] == "seen" for life in actor.lines() for words in life)
            print(f"{actor.loop + ' server':72}{served:9}{actor.stops:8}{actor.kills:7}")

    def end_of(
        self, body: str, end: str, open_ones: set[str], seen: collections.Counter[str]
    ) -> None:
        self.check(body in open_ones, f"{body} has two ends")
        open_ones.discard(body)
        self.check(end != "crossed", f"{body} got another's reply")
        self.check(end != "replied" or seen[body], f"{body} was answered by nobody")
        self.check(end != "queued" or not seen[body], f"{body} was sent after its time")

    def statistics(self, actor: Actor, begun: int) -> None:
        words = next((w for w in actor.lines()[-1] if w[0] == "statistics"), None)
        self.check(words is not None, f"{actor.name} gave no statistics")
        if words is not None:
            counts = json.loads(words[1])
            self.check(counts["accepted"] == begun, f"{actor.name} accepted {counts}")
            self.check(counts["open_requests"] == 0, f"{actor.name} has open requests")

    def messages(self, actors: list[Actor]) -> None:
        print(f"\n{'messages from':16}{'to':10}{'pushed':>9}{'received':>10}{'lost':>7}"
              f"{'  stops of both':>15}{'kills':>7}")  # fmt: skip
        by_address: dict[str, dict[str, Actor]] = collections.defaultdict(dict)
        for actor in actors:
            if actor.role in ("pusher", "puller"):
                by_address[actor.addresses[0]][actor.role] = actor
        for pair in by_address.values():
            pusher, puller = pair["pusher"], pair["puller"]
            _, pushed, left = next(w for w in pusher.lines()[-1] if w[0] == "pushed")
            got = []
            for life in puller.lines():
                numbers = [int(words[1]) for words in life if words[0] == "got"]
                self.check(numbers == sorted(numbers), f"{puller.name}: not in order")
                self.check(all(w[2] == "1000" for w in life if w[0] == "got"), "a half message")
                got += numbers
            self.check(len(got) == len(set(got)), f"{puller.name}: a message came twice")
            self.check(not got or max(got) < int(pushed), f"{puller.name}: a forged message")
            lost = int(pushed) - int(left) - len(got)
            bound = puller.kills * LOST_WITH_A_PULLER
            self.check(0 <= lost <= bound, f"{puller.name}: {lost} lost with {puller.kills} kills")
            stops = pusher.stops + puller.stops
            print(f"{pusher.loop:16}{puller.loop:10}{int(pushed):9}{len(got):10}{lost:7}"
                  f"{stops:15}{puller.kills:7}")  # fmt: skip


def begun_in_last_life(actor: Actor) -> int:
    return sum(words[0] == "begin" for words in actor.lines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}, {given.seconds:g} seconds", flush=True)
    audit = Audit()
    with tempfile.TemporaryDirectory() as folder:
        actors = cast(folder)
        try:
            wait_until_all_work(actors)
            torment(actors, given.seconds, random.Random(seed))
            finish(actors, folder)
            audit.requests(actors)
            audit.messages(actors)
        finally:
            for actor in actors:
                if actor.process.poll() is None:
                    actor.process.kill()
                    actor.process.wait()
    for text in audit.wrong[:20]:
        print("WRONG:", text)
    print("\nAll ledgers balance." if not audit.wrong else f"\n{len(audit.wrong)} are wrong.")
    sys.exit(bool(audit.wrong))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "default")
    main()
