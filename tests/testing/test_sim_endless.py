"""Runs that would never end: an error says who waits for what, never a hang."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from math import inf
from typing import Any

import pytest
import zmq
from twisted.internet.task import LoopingCall

from zmqbridge.testing import Network, SimReactor, Stalled, faults

ADDRESS = "tcp://feed:5555"
SOON = 3000  # turns of a loop


def endless(loop: Any, main: Any, network: Any) -> str:
    with pytest.raises(Stalled) as caught:
        loop.run(main, network)
    return str(caught.value)


def test_one_who_waits_in_vain_beside_one_who_works_on(loop: Any) -> None:
    network = Network(max_turns=SOON)

    async def feed() -> None:
        async with loop.Publisher(bind=ADDRESS) as publisher:
            while True:
                publisher.publish(b"3", tag="apples")
                await loop.sleep(1)

    async def main() -> None:
        network.node("feed").start(feed)
        async with loop.Subscriber("pears", connect=ADDRESS) as subscriber:
            await subscriber.receive()

    text = endless(loop, main, network)
    assert "the run has not ended after 3,000 turns of its loop; these wait:" in text
    assert f"main: {__file__}:" in text
    assert "in test_one_who_waits_in_vain_beside_one_who_works_on.<locals>.main" in text
    assert "feed: " in text
    assert f"<simulated SUB of main>: connected to {ADDRESS}" in text
    assert "max_turns=" in text


def test_one_who_only_lets_others_run(loop: Any) -> None:
    async def main() -> None:
        while True:
            await loop.sleep(0)

    assert "main: " in endless(loop, main, Network(max_turns=SOON))


def test_one_who_does_not_even_end_when_the_run_does(loop: Any) -> None:
    async def main() -> None:
        for _ in range(10):
            try:
                while True:
                    await loop.sleep(1)
            except GeneratorExit:
                raise
            except BaseException:  # cancelled
                continue

    assert "main: " in endless(loop, main, Network(max_turns=SOON))


STUBBORN = """
    import trio
    from zmqbridge.testing import Network, run

    async def main():
        for _ in range(30_000):
            try:
                await trio.sleep(1)
            except BaseException:
                continue

    run(main, Network(max_turns=3000), "trio")
"""


def test_on_trio_one_who_takes_no_cancellation_does_not_hang_the_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STUBBORN)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "has not ended after 3,000 turns" in done.stderr


def test_a_run_may_be_as_long_as_it_is_meant_to_be(loop: Any) -> None:
    network = Network(max_turns=10)

    async def main() -> str:
        for _ in range(100):
            await loop.sleep(1)
        return "done"

    endless(loop, main, network)
    network.max_turns = inf
    assert loop.run(main, network) == "done"


def test_each_run_of_a_network_has_its_own_turns(loop: Any) -> None:
    network = Network(max_turns=300)

    async def main() -> None:
        for _ in range(30):
            await loop.sleep(1)

    for _ in range(10):
        loop.run(main, network)


@pytest.mark.parametrize("turns", [0, -1, float("nan")])
def test_a_number_of_turns_is_at_least_one(turns: Any) -> None:
    with pytest.raises(ValueError, match="give 1 or more"):
        Network(max_turns=turns)


def test_calls_that_follow_each_other_for_ever_while_much_time_is_to_pass() -> None:
    with SimReactor(Network(max_turns=SOON)) as reactor:

        def again() -> None:
            reactor.callLater(0, again)

        again()
        with pytest.raises(Stalled, match="not ended after 3,000 turns"):
            reactor.advance(3600)


def test_a_looping_call_does_not_keep_a_reactor_waiting_for_ever() -> None:
    with SimReactor(Network(max_turns=SOON)) as reactor:
        calls = LoopingCall(lambda: None)
        calls.clock = reactor
        calls.start(1)
        with pytest.raises(Stalled, match="run_until: <function"):
            reactor.run_until(lambda: False)
        for _ in range(10):
            reactor.advance(SOON / 10)


# What the text of the error says besides.


def test_faults_that_go_on_are_named(loop: Any) -> None:
    network = Network()

    async def serve() -> None:
        async with loop.Replier(bind="tcp://*:1") as replier:
            await replier.serve(lambda request: request.reply(b"1"))

    async def main() -> None:
        for name in ("server", "killed", "standing"):
            network.node(name).start(serve)
        async with loop.Requester(connect="tcp://server:1") as requester:
            await requester.request(b"x")
            network.silence("main", "server", one_way=True)
            network.node("killed").kill()
            if loop.name != "trio":
                network.node("standing").pause()
            await requester.request(b"x", timeout=None)

    text = endless(loop, main, network)
    assert "silent: main to server" in text
    assert "<Node killed, dead>" in text
    assert loop.name == "trio" or "<Node standing, paused>" in text


def test_a_node_that_is_not_there_is_named(loop: Any) -> None:
    network = Network()
    network.node("server")

    async def main() -> None:
        seldom = {zmq.RECONNECT_IVL: 10**6}  # milliseconds
        async with (
            loop.Pusher(connect="tcp://sever:1", options=seldom) as pusher,
            loop.Puller(connect="tcp://127.0.0.1:1", options=seldom) as puller,
        ):
            await pusher.push(b"x")
            await puller.receive()

    assert "there is no node 'sever'" in endless(loop, main, network)
    assert "sever" not in network.nodes


def test_a_paused_main_is_named() -> None:
    from simulated_worlds import Loop

    for name in ("asyncio", "twisted"):
        network = Network()
        loop = Loop(name)

        async def main(loop: Any = loop, network: Any = network) -> None:
            network.node("main").pause()
            await loop.sleep(1)

        assert "<Node main, paused>" in endless(loop, main, network)


def test_a_killed_main_is_named(loop: Any) -> None:
    async def within(network: Any) -> None:
        async with loop.Puller(bind="tcp://*:5") as puller:
            network.node("main").kill()
            await puller.receive()

    async def without(network: Any) -> None:
        network.node("main").kill()
        await loop.sleep(1)

    for main in (within, without):
        network = Network()
        text = endless(loop, lambda main=main, network=network: main(network), network)
        assert text == "main was killed, and the run with it, as the test itself runs there"


def test_main_is_never_restarted_by_chance(loop: Any) -> None:
    network = Network(1)
    ended: list[Any] = []

    async def program() -> None:
        try:
            await loop.sleep(100)
        finally:
            ended.append(network.now)

    async def main() -> None:
        network.node("server").start(program)
        for _ in range(20):
            drawn = faults.draw(network.random, ["main", "server"], 5, kinds=["restart"])
            assert {each.a for each in drawn} <= {"server"}
            faults.apply(network, drawn)
            await loop.sleep(6)

    loop.run(main, network)
    assert len(ended) > 10


def test_main_is_not_restarted_on_purpose(loop: Any) -> None:
    network = Network()
    network.node("server")

    async def main() -> None:
        fault = faults.Fault(1, "restart", "main", "server", 1)
        with pytest.raises(TypeError, match="main runs the test itself, restart another node"):
            faults.apply(network, [fault])
        with pytest.raises(TypeError, match="no program to be restarted: give it one, or restart"):
            network.node("main").restart()
        await loop.sleep(1)  # it is not killed

    loop.run(main, network)
    assert network.node("main").alive
