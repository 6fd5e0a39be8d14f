"""The scenarios of proxies: what passes through one under faults, also when it is restarted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.simulated.stage import BACK, UNTIL, Stage, scenario
from zmqbridge import RequestTimeout

FRONT, BACKSIDE = "tcp://*:5001", "tcp://*:5002"


@scenario
async def requests_through_a_proxy_get_their_own_replies(stage: Stage) -> None:
    """Each request ends once, by its own reply or its timeout; afterwards all is answered."""
    seen: Counter[bytes] = Counter()
    ended: Counter[bytes] = Counter()
    made: list[Any] = []

    async def broker() -> None:
        async with stage.make_plain("Proxy", "requests", FRONT, BACKSIDE) as proxy:
            made.append(proxy)
            await stage.sleep(100)

    async def serve() -> None:
        async with stage.make("Replier", "server", connect="tcp://broker:5002") as replier:

            async def handle(request: Any) -> None:
                seen[request.parts[0]] += 1
                await request.reply(b"re", *request.parts)

            await replier.serve(handle)

    stage.spawn("broker", broker)
    stage.spawn("server", serve)
    stage.trouble("broker", "client", "server", kinds=("cut", "silence", "slow", "pause"))
    if stage.random.random() < 0.5:
        at = stage.random.uniform(0, UNTIL)
        stage.network.after(at, stage.network.node("broker").restart)
    async with stage.make(
        "Requester", "client", connect="tcp://broker:5001", timeout=1
    ) as requester:
        for number in range(20):
            tag = b"%d" % number
            try:
                assert await requester.request(tag) == [b"re", tag]
            except RequestTimeout:
                pass
            ended[tag] += 1
        await stage.sleep(max(0.0, UNTIL - stage.now()) + BACK)
        assert await requester.request(b"last", timeout=5) == [b"re", b"last"]
        counts = await made[-1].statistics()
    assert counts.front_received == counts.back_sent
    assert counts.back_received == counts.front_sent
    assert set(ended.values()) == {1}
    assert all(count == 1 for count in seen.values()), seen
