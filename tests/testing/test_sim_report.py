"""What a failure shows: the last events as a diagram that a person can read."""

from __future__ import annotations

from typing import Any

import pytest

from zmqbridge.testing import Network
from zmqbridge.testing._diagram import diagram
from zmqbridge.testing._rules import Event


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (b"order 9", "b'order 9'"),
        (b"", "b''"),
        (b"\1", "b'\\x01'"),
        (b"\1topic", "b'\\x01topic'"),
        (b"x" * 20, "b'xxxxxxxxxxxxxxxx'+4"),
        (bytes.fromhex("3d92089b25fa5e030000000000000007"), "<3d92..0007>"),
        (bytes(100), "<0000..0000, 100 bytes>"),
    ],
)
def test_parts_are_short_and_ids_can_be_told_apart(part: bytes, shown: str) -> None:
    event = Event(0.5, "message", "one", "two", (part,), 0.4, "PUSH to PULL")
    head, line = diagram([event], ["one", "two"])
    assert head.split() == ["one", "two"]
    assert line.split(">", 1) == ["   0.500000  |--------", f"|  {shown}   PUSH to PULL"]


def test_requests_and_replies_are_matched_by_eye(loop: Any) -> None:
    network = Network(5)

    async def serve() -> None:
        async with loop.Replier(bind="tcp://*:5555") as replier:
            await replier.serve(lambda request: request.reply(*request.parts))

    async def main() -> None:
        network.node("server").start(serve)
        async with loop.Requester(connect="tcp://server:5555") as requester:
            for number in range(2):
                await requester.request(b"%d" % number)

    loop.run(main, network)
    ids = [line.split("<")[-1][:10] for line in network.report().splitlines() if "..000" in line]
    assert len(ids) == 4
    assert ids[0] == ids[1] != ids[2] == ids[3]
