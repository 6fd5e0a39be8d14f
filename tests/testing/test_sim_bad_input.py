"""Bad input to `zmqbridge.testing`: an error that says what to give, at the call that got it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from random import Random
from typing import Any

import anyio
import pytest
import zmq
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from zmqbridge import RequestTimeout
from zmqbridge.asyncio_backend import Puller, Pusher, Replier, Requester
from zmqbridge.testing import (
    Deliver,
    Drop,
    Network,
    NotSimulated,
    Script,
    SimReactor,
    Stalled,
    faults,
    run,
    strategies,
)
from zmqbridge.testing.faults import Fault
from zmqbridge.testing.machine import NetworkMachine

ONE = Fault(1, "cut", "a", "b", 1)
NAN = float("nan")
GENERATE = [Phase.generate]  # without shrinking, which takes longer than to find it


def bad(it: Any) -> Any:
    """What a type checker would refuse."""
    return it


def network() -> Network:
    made = Network()
    made.node("a")
    made.node("b")
    return made


async def main() -> None:
    await anyio.sleep(0)


BAD: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda n: n.slow("a", "b", latency=0.1), ValueError, r"latency=0.1: .* as \(0.001, 0.05\)"),
    (lambda n: n.slow("a", "b", latency=("a", 1)), ValueError, r"latency=\('a', 1\): give the"),
    (lambda n: n.slow("a", "b", latency=(NAN, 1)), ValueError, "give the least and the most"),
    (lambda n: n.slow("a", "b", per_second="9"), ValueError, "per_second='9': give bytes"),
    (lambda n: n.rule(None), TypeError, "a function that takes a Delivery, not None"),
    (lambda n: n.rule("x"), TypeError, "a function that takes a Delivery, not 'x'"),
    (lambda n: n.node("a:5"), ValueError, "cannot be named 'a:5'"),
    (lambda n: n.node("*"), ValueError, "cannot be named"),
    (lambda n: n.node("a b"), ValueError, "cannot be named"),
    (lambda n: n.node("127.0.0.1"), ValueError, "cannot be named"),
    (lambda n: n.node("localhost"), ValueError, "cannot be named"),
    (lambda n: n.node("a").start(5), TypeError, "<Node a>: its program .* not 5"),
    (lambda n: n.node("a").start(main()), TypeError, "<Node a>: give the coroutine function"),
    (lambda n: n.node("a").restart(5), TypeError, "<Node a>: its program .* not 5"),
    (lambda n: n.node("a").restart(), TypeError, "no program to be restarted"),
    (lambda n: faults.apply(n, bad(ONE)), TypeError, "give a list of faults"),
    (lambda n: faults.apply(n, [bad(3)]), TypeError, "3 is no Fault"),
    (lambda n: faults.apply(n, [Fault(NAN, "cut", "a", "b", 1)]), ValueError, "at is to be 0 or"),
    (lambda n: faults.apply(n, [Fault(-1, "cut", "a", "b", 1)]), ValueError, "at is to be 0 or"),
    (lambda n: faults.apply(n, [ONE._replace(at=bad("1"))]), ValueError, "at is to be 0 or"),
    (lambda n: faults.apply(n, [Fault(1, "slow", "a", "b", -3)]), ValueError, "lasts is to be 0"),
    (lambda n: faults.apply(n, [Fault(1, "zz", "a", "b", 1)]), ValueError, "kind 'zz'"),
    (lambda n: faults.apply(n, [Fault(1, "cut", "a", "z", 1)]), ValueError, "no node 'z'"),
    (lambda n: faults.draw(n.random, ["a"], 2), ValueError, r"nodes=\['a'\]: .* two nodes"),
    (lambda n: faults.draw(n.random, ["a", "a"], 2), ValueError, "between two nodes"),
    (lambda n: faults.draw(n.random, ["a", "b"], -2), ValueError, "until=-2: give more"),
    (lambda n: faults.draw(n.random, ["a", "b"], 2, kinds=["zz"]), ValueError, "kind 'zz'"),
    (lambda n: faults.draw(n.random, ["a", "b"], 2, kinds=[]), ValueError, "give some of cut"),
    (lambda n: faults.draw(n.random, ["a", "b"], 2, longest=0), ValueError, "longest=0: give"),
    (lambda n: strategies.faults(["a", "b"], until=0), ValueError, "until=0: give more"),
    (lambda n: strategies.faults("ab"), ValueError, "between two nodes"),
    (lambda n: run(main, bad(7)), TypeError, r"network=7: give a Network\(seed\)"),
    (lambda n: run(bad(None), n), TypeError, "<Node main>: its program .* not None"),
    (lambda n: run(bad(main()), n), TypeError, "<Node main>: give the coroutine function"),
    (lambda n: SimReactor(bad(3)), TypeError, r"network=3: give a Network\(seed\)"),
    (lambda n: script(n, [([b"x"], b"yes")]), TypeError, r"b'yes' is no list .* as \[b'yes'\]"),
    (lambda n: script(n, [([b"x"], ["yes"])]), TypeError, r"\['yes'\] is no list of one or more"),
    (lambda n: script(n, [([b"x"], [])]), TypeError, r"\[\] is no list of one or more parts"),
    (lambda n: script(n, [("x", None)]), TypeError, "'x' is no list of one or more parts"),
    (lambda n: script(n, [], node="b"), TypeError, r"node='b': give a node, as network.node"),
    (lambda n: script(n, [], bind="nonsense"), zmq.ZMQError, "bind='nonsense'"),
]


def script(network: Network, exchanges: Any, **given: Any) -> Script:
    return Script(exchanges, **{"node": network.node("b"), "bind": "tcp://*:1", **given})


@pytest.mark.parametrize(("call", "error", "text"), BAD)
def test_bad_input(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(network())


RULES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda delivery: Deliver(-1), "<lambda>.* returned Deliver.delay=-1.: give 0 or more"),
    (
        lambda delivery: Deliver(bad("a")),
        "<lambda>.* returned Deliver.delay='a'",
    ),
    (lambda delivery: Drop, r"<lambda>.* returned <class .*Drop'>: return None, Deliver\(\)"),
]


CLOSED = (
    lambda it: it.cut("a", "b"),
    lambda it: it.silence("a", "b"),
    lambda it: it.heal("a", "b"),
    lambda it: it.slow("a", "b"),
    lambda it: it.rule(lambda delivery: None),
    lambda it: it.node("a").kill(),
    lambda it: it.node("a").restart(print),
    lambda it: it.node("a").pause(),
    lambda it: faults.apply(it, [ONE]),
)


@pytest.mark.parametrize("order", CLOSED)
def test_no_fault_can_be_ordered_on_a_closed_network(order: Any) -> None:
    network = Network()
    for name in "ab":
        network.node(name)
    with SimReactor(network):
        pass
    before = network.trace
    with pytest.raises(NotSimulated, match=r"reactor of <Network .* was closed"):
        order(network)
    assert network.trace == before
    with SimReactor(network):
        order(network)


@pytest.mark.parametrize("address", ["tcp://b:5556", "ipc:///nowhere", "inproc://nowhere"])
def test_who_is_stalled_is_told_where_nothing_listens(address: str) -> None:
    network = Network()
    network.node("b")

    async def main() -> None:
        async with (
            Puller(bind="tcp://*:5555"),
            Pusher(connect="tcp://main:5555"),
            Puller(connect=address) as puller,
        ):
            await puller.receive()

    with pytest.raises(Stalled) as stalled:
        run(main, network)
    assert f"connected to {address}, where nothing listens" in str(stalled.value)
    assert str(stalled.value).count("nothing listens") == 1


@pytest.mark.parametrize(("rule", "text"), RULES)
def test_a_rule_that_returns_no_verdict_is_named(rule: Any, text: str) -> None:
    world = Network()

    async def both() -> None:
        world.rule(rule)
        async with Replier(bind="tcp://*:1"), Pusher(connect="tcp://main:1"):
            await anyio.sleep(1)
        async with (
            Replier(bind="tcp://*:2") as replier,
            Requester(1, connect="tcp://main:2") as requester,
            anyio.create_task_group() as group,
        ):
            group.start_soon(replier.receive)
            await requester.request(b"x")

    with pytest.raises((ValueError, TypeError, ExceptionGroup)) as caught:
        run(both, world)
    error: Any = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    with pytest.raises((ValueError, TypeError), match=text):
        raise error


# A Script and the death of its node.


def test_a_script_goes_down_and_comes_back_with_its_node(loop: Any) -> None:
    world = Network()
    node = world.node("server")

    async def ask() -> list[Any]:
        async with loop.Requester(2, connect="tcp://server:1") as requester:
            answers = [await requester.request(b"x")]
            node.kill()
            await loop.sleep(1)
            with pytest.raises(RequestTimeout):
                await requester.request(b"y")
            node.restart()
            answers.append(await requester.request(b"z", timeout=10))
            return answers

    async def both() -> Any:
        with Script([([b"x"], [b"1"]), ([b"z"], [b"2"])], node=node, bind="tcp://*:1") as played:
            answers = await ask()
            assert played.asked == [[b"x"], [b"z"]]
        node.restart()  # the script is over, and does not come back
        return answers

    assert loop.run(both, world) == [[b"1"], [b"2"]]
    assert not world.listeners


def test_a_script_whose_node_is_dead_ends(loop: Any) -> None:
    world = Network()

    async def both() -> None:
        with Script([([b"x"], [b"1"])], node=world.node("server"), bind="tcp://*:1"):
            async with loop.Requester(2, connect="tcp://server:1") as requester:
                assert await requester.request(b"x") == [b"1"]
                world.node("server").kill()
                await loop.sleep(1)

    loop.run(both, world)


def test_an_answer_that_a_function_gives_is_checked() -> None:
    world = Network()

    async def both() -> None:
        exchanges: Any = [(None, lambda parts: b"yes")]
        with Script(exchanges, node=world.node("b"), bind="tcp://*:1"):
            async with Requester(2, connect="tcp://b:1") as requester:
                await requester.request(b"x")

    with pytest.raises(TypeError, match=r"the answer to request 1, \[b'x'\]: b'yes' is no list"):
        run(both, world)


# Hypothesis.


@given(strategies.faults(["main", "a"], until=4, kinds=["restart", "silence"]))
@settings(max_examples=50, deadline=None)
def test_drawn_faults_spare_main_and_are_over_in_time(drawn: list[Fault]) -> None:
    assert all(each.at + each.lasts <= 4.000001 for each in drawn)
    assert all(each.a == "a" for each in drawn if each.kind == "restart")


def test_drawn_faults_outlast_a_retry() -> None:
    def long(drawn: list[Fault]) -> bool:
        return any(each.kind == "one_way" and each.lasts > 2 for each in drawn)

    enough = settings(database=None, max_examples=10_000)
    assert find(strategies.faults(["a", "b"]), long, settings=enough, random=Random(1))
    world = network()
    assert any(long(faults.draw(world.random, ["a", "b"], 5)) for _ in range(300))
    assert not any(long(faults.draw(world.random, ["a", "b"], 5, longest=0.5)) for _ in range(300))


def test_a_double_retry_is_found_by_the_faults_that_are_drawn() -> None:
    @given(strategies.faults(["main", "server"]), st.integers(0, 1000))
    @settings(max_examples=200, deadline=None, derandomize=True, database=None, phases=GENERATE)
    def each_is_done_once(drawn: list[Fault], seed: int) -> None:
        world = Network(seed)
        done: list[bytes] = []

        async def serve() -> None:
            async def handle(request: Any) -> None:
                done.append(request.parts[0])
                await request.reply(b"ok")

            async with Replier(bind="tcp://*:1") as replier:
                await replier.serve(handle)

        async def both() -> None:
            world.node("server").start(serve)
            faults.apply(world, drawn)
            async with Requester(1, connect="tcp://server:1") as requester:
                for number in range(10):
                    for _ in range(5):
                        try:
                            await requester.request(b"%d" % number)
                            break
                        except RequestTimeout:
                            continue
                    await anyio.sleep(0.5)

        run(both, world)
        assert len(done) == len(set(done)), "done twice"

    with pytest.raises(AssertionError, match="done twice"):
        each_is_done_once()


MACHINE = """
    import anyio
    from hypothesis import Phase, settings
    from hypothesis.stateful import rule, run_state_machine_as_test
    from zmqbridge.asyncio_backend import Replier, Requester
    from zmqbridge.testing.machine import NetworkMachine

    class Counting(NetworkMachine):
        nodes = ("server", "client")

        def begin(self):
            self.start("server", self.serve)
            self.asked = 0

        async def serve(self):
            async with Replier(bind="tcp://*:5555") as replier:
                await replier.serve(lambda request: request.reply(b"ok"))

        @rule()
        def ask(self):
            async def once():
                async with Requester(50, connect="tcp://server:5555") as requester:
                    await requester.request(b"question")
            self.do("client", once)
            self.asked += 1
            assert self.asked < 2, "asked"

    run_state_machine_as_test(
        Counting,
        settings=settings(
            derandomize=True, database=None, deadline=None, phases=[Phase.generate]
        ),
    )
"""


def test_a_failing_machine_shows_the_network() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MACHINE)],
        capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    shown = done.stdout + done.stderr
    assert "simulated network: seed 0, at " in shown
    assert "b'question'" in shown
    assert "DEALER to ROUTER" in shown


def test_a_machine_has_two_nodes() -> None:
    class Alone(NetworkMachine):
        nodes = ("a",)

    with pytest.raises(ValueError, match=r"Alone.nodes=\('a',\): name two or more nodes"):
        Alone()


def test_a_machine_knows_its_nodes() -> None:
    class Other(NetworkMachine):
        def begin(self) -> None:
            with pytest.raises(ValueError, match="'nobody' is not one of nodes="):
                self.start("nobody", main)
            with pytest.raises(ValueError, match="'nobody' is not one of nodes="):
                self.do("nobody", main)

    Other().teardown()


def test_a_fault_of_a_machine_falls_into_what_it_does() -> None:
    machine = NetworkMachine()
    try:

        async def serve() -> None:
            async with Replier(bind="tcp://*:1") as replier:
                await replier.serve(lambda request: request.reply(b"ok"))

        async def ask() -> None:
            async with Requester(1, connect="tcp://server:1") as requester:
                for _ in range(100):
                    await requester.request(b"x")

        machine.start("server", serve)
        machine.do("client", ask)
        machine.ahead(kind="silence", a=0, b=0, at=0.001, lasts=3.0)
        with pytest.raises((RequestTimeout, Stalled)):
            machine.do("client", ask)
    finally:
        machine.teardown()
