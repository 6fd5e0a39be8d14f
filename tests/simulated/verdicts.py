"""The scenarios of security: who comes in, who does not, and how each of them is told."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from tests.simulated.stage import ADDRESS, BACK, UNTIL, Stage, scenario
from zmqbridge import HandshakeFailed, RequestTimeout
from zmqbridge.security import Null, Peer, PlainClient, PlainServer, Policy

PASSWORD = "open sesame"
COMES_BACK = 60.0  # seconds; who was refused tries again after as many, at the latest


async def echo(
    stage: Stage, seen: Counter[bytes], security: Any, policies: Any, made: list[Any] | None = None
) -> None:
    """A server that notes whom it has heard; `made` gets its authenticator."""
    async with (
        stage.make("Authenticator", "server", policies) as authenticator,
        stage.make("Replier", "server", bind=ADDRESS, security=security) as replier,
    ):
        if made is not None:
            made.append(authenticator)

        async def handle(request: Any) -> None:
            seen[request.parts[0]] += 1
            await request.reply(*request.parts)

        await replier.serve(handle)


@scenario
async def only_who_is_let_in_is_heard(stage: Stage) -> None:
    """Each client by its own verdict, also after faults; who is refused is told so, at once."""
    fails = stage.random.choice(["raises", "says yes in words", "ends by a timeout"])
    verdicts = {"known": True, "asked": True, "unknown": False, "wrong": False, "failing": False}
    seen: Counter[bytes] = Counter()
    told: dict[str, str] = {}

    async def check(peer: Peer) -> Any:
        await stage.sleep(stage.random.choice([0, 0.1]))
        if peer.username != "failing":
            return peer.username == "asked"
        if fails == "raises":
            raise ArithmeticError("on purpose; it is reported")
        if fails == "ends by a timeout":
            await stage.sleep(1000)
        return "yes"

    policy = Policy(passwords={"known": PASSWORD}, check=check)
    stage.spawn("server", partial(echo, stage, seen, PlainServer(), {"*": policy}))

    async def ask(name: str) -> None:
        word = PASSWORD if name == "known" else "wrong"
        security = PlainClient("known" if name == "wrong" else name, word)
        async with stage.make("Requester", name, connect=ADDRESS, security=security) as requester:
            while stage.now() < UNTIL + BACK or name not in told:
                try:
                    await requester.request(name.encode(), timeout=40 if name == "failing" else 5)
                except HandshakeFailed:
                    told[name] = "refused"
                except RequestTimeout:
                    pass
                else:
                    told[name] = "heard"
                await stage.sleep(0.1)

    for name in verdicts:
        stage.spawn(name, partial(ask, name))
    stage.trouble("server", *verdicts)
    while len(told) < len(verdicts):
        await stage.sleep(0.5)
        assert stage.now() < 100, told
    assert told == {name: "heard" if good else "refused" for name, good in verdicts.items()}
    assert set(seen) == {name.encode() for name, good in verdicts.items() if good}


@scenario
async def addresses_are_let_in_by_their_rules(stage: Stage) -> None:
    """Without credentials the address decides: `deny` before `allow`, and no rule lets none in."""
    here, there = ["127.0.0.1", "127.0.0.0/8", "::ffff:127.0.0.1"], ["10.0.0.0/8", "::1"]
    allow = stage.random.choice([[], here[:1], here[1:], there, [*there, here[1]]])
    deny = stage.random.choice([[], [], here[:1], here[2:], there])
    comes_in = not set(here) & set(deny) and bool(set(here) & set(allow) or (deny and not allow))
    seen: Counter[bytes] = Counter()
    policies = {"house": Policy(allow=allow, deny=deny), "*": Policy(allow=here)}
    stage.spawn("server", partial(echo, stage, seen, Null("house"), policies))
    async with stage.make("Requester", "client", connect=ADDRESS, monitor=True) as requester:
        try:
            await requester.request(b"?", timeout=5)
        except HandshakeFailed:
            assert not comes_in, (allow, deny)
        else:
            assert comes_in, (allow, deny)
    assert bool(seen) == comes_in


@scenario
async def new_policies_decide_also_about_who_waits(stage: Stage) -> None:
    """Who is being asked about when policies change is decided by the new ones; and who was
    refused comes back when it is let in."""
    asked: list[str] = []
    renewed = stage.random.choice(["nobody", "the password", "another check"])
    seen: Counter[bytes] = Counter()

    async def old(peer: Peer) -> bool:
        asked.append("old")
        await stage.sleep(1000)
        return True

    def new(peer: Peer) -> bool:
        asked.append("new")
        return True

    policies = {
        "nobody": {},
        "the password": {"*": Policy(passwords={"it": PASSWORD}, check=old)},
        "another check": {"*": Policy(check=new)},
    }[renewed]
    made: list[Any] = []
    before = {"*": Policy(check=old)}
    stage.spawn("server", partial(echo, stage, seen, PlainServer(), before, made))
    security = PlainClient("it", PASSWORD)
    async with stage.make("Requester", "client", connect=ADDRESS, security=security) as requester:
        outcome: list[str] = []

        async def ask() -> None:
            try:
                await requester.request(b"?", timeout=20)
                outcome.append("heard")
            except HandshakeFailed:
                outcome.append("refused")

        stage.spawn("client", ask)
        await stage.sleep(stage.random.uniform(BACK, 5))
        assert asked == ["old"]
        assert not outcome
        made[0].reload(policies)
        await stage.sleep(0.1)
        assert outcome == ["refused" if renewed == "nobody" else "heard"]
        assert asked == ["old", *["new"] * (renewed == "another check")]
        made[0].reload({"*": Policy(passwords={"it": PASSWORD})})
        outcome.clear()
        while outcome != ["heard"]:
            outcome.clear()
            await ask()
            await stage.sleep(1)
            assert stage.now() < COMES_BACK, "it does not come back"
