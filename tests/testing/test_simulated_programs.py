"""The same programs on asyncio, trio and Twisted, in the simulated network."""

from __future__ import annotations

import time
from typing import Any

import pytest
import zmq

from zmqbridge import RequestTimeout
from zmqbridge.testing import (
    Deliver,
    Drop,
    Network,
    NotDeterministic,
    NotSimulated,
    Stalled,
    Twice,
    check_determinism,
)

ADDRESS = "tcp://server:5555"
# For hours in which nobody is there: each attempt to connect is an event.
SELDOM = {zmq.RECONNECT_IVL: 10_000}


def echo(loop: Any, network: Any, seen: Any = None) -> None:
    """Start a server, which notes what it was asked."""

    async def serve() -> None:
        async with loop.Replier(bind=ADDRESS) as replier:

            def handle(request: Any) -> Any:
                if seen is not None:
                    seen.append(request.parts)
                return request.reply(*request.parts)

            await replier.serve(handle)

    network.node("server").start(serve)


def test_an_hour_costs_nothing(loop: Any) -> None:
    network = Network()

    async def main() -> Any:
        async with loop.Requester(connect=ADDRESS, options=SELDOM) as requester:
            with pytest.raises(RequestTimeout) as caught:
                await requester.request(b"x", timeout=3600)
            await loop.sleep(3600)
            return caught.value.stage

    begun = time.perf_counter()
    assert loop.run(main, network) == "queued"
    assert 7200 <= network.now < 7201
    assert time.perf_counter() - begun < 10


def test_what_is_read_while_the_connection_is_down_makes_room(loop: Any) -> None:
    network = Network()
    small = {zmq.RCVHWM: 2}

    async def main() -> Any:
        server = loop.Pusher(bind=ADDRESS, context=network.node("server").context)
        async with server, loop.Puller(connect=ADDRESS, options=small, prefetch=0) as puller:
            for number in range(2):
                await server.push(b"%d" % number)
            await loop.sleep(1)  # the pipe is full
            network.cut("server", "main")
            got = [await puller.receive(), await puller.receive()]
            await server.push(b"2")
            return [*got, await puller.receive()]

    assert loop.run(main, network) == [[b"0"], [b"1"], [b"2"]]


def test_a_request_waits_for_longer_than_stalls_are_looked_for(loop: Any) -> None:
    network = Network()

    async def main() -> None:
        async with loop.Requester(connect=ADDRESS, options=SELDOM) as requester:
            with pytest.raises(RequestTimeout):
                await requester.request(b"x", timeout=10_000)

    loop.run(main, network)
    assert 10_000 <= network.now < 10_001


def test_requests_that_time_out_again_and_again_are_no_stall(loop: Any) -> None:
    network = Network()

    async def ask(requester: Any) -> None:
        for _ in range(150):
            try:
                await requester.request(b"x", timeout=60)
            except RequestTimeout:
                continue

    async def main() -> None:
        async with loop.Requester(connect=ADDRESS, options=SELDOM) as requester:
            await ask(requester)

    loop.run(main, network)
    assert 9_000 <= network.now < 9_001


def test_requests_are_answered(loop: Any) -> None:
    network = Network()

    async def main() -> Any:
        echo(loop, network)
        async with loop.Requester(connect=ADDRESS) as requester:
            return [await requester.request(b"%d" % n, b"") for n in range(100)]

    assert loop.run(main, network) == [[b"%d" % n, b""] for n in range(100)]


def test_a_pusher_waits_for_one_who_does_not_pull(loop: Any) -> None:
    network = Network()
    small = {zmq.SNDHWM: 2, zmq.RCVHWM: 2}
    pushed, pulled = [], []

    async def pull() -> None:
        async with loop.Puller(bind=ADDRESS, options=small) as puller:
            await loop.sleep(10)
            while True:
                pulled.append((await puller.receive())[0][:2])

    async def push() -> None:
        async with loop.Pusher(connect=ADDRESS, options=small) as pusher:
            for number in range(60):
                await pusher.push(b"%02d" % number + bytes(100_000))
                pushed.append(b"%02d" % number)

    async def main() -> Any:
        network.node("server").start(pull)
        network.node("client").start(push)
        await loop.sleep(9)
        stuck = len(pushed)
        await loop.sleep(3)
        return stuck

    assert 20 <= loop.run(main, network) < 40  # the kernel's buffers, as they are modelled
    assert pulled == pushed == [b"%02d" % number for number in range(60)]


def test_publications_come_to_those_who_subscribe(loop: Any) -> None:
    network = Network()
    got: list[Any] = []

    async def publish() -> None:
        async with loop.Publisher(bind=ADDRESS) as publisher:
            for number in range(10):
                publisher.publish(b"%d" % number, b"a" if number % 2 else b"b")
                await loop.sleep(1)

    async def main() -> None:
        network.node("server").start(publish)
        async with loop.Subscriber(connect=ADDRESS, tags=[b"a"]) as subscriber:
            while len(got) < 5:
                got.append(await subscriber.receive())

    loop.run(main, network)
    assert [parts for _, *parts in got] == [[b"%d" % number] for number in (1, 3, 5, 7, 9)]


def test_a_killed_server_answers_nothing_until_it_is_restarted(loop: Any) -> None:
    network = Network()
    seen: list[Any] = []
    stages: list[Any] = []
    server = network.node("server")

    async def main() -> None:
        echo(loop, network, seen)
        async with loop.Requester(connect=ADDRESS, timeout=5) as requester:
            assert await requester.request(b"1") == [b"1"]
            server.kill()
            try:
                await requester.request(b"2")
            except RequestTimeout as error:
                stages.append(error.stage)
            server.restart()
            assert await requester.request(b"3") == [b"3"]

    loop.run(main, network)
    assert seen == [[b"1"], [b"3"]]
    assert stages in (["queued"], ["sent"])


def test_what_a_killed_program_does_reaches_nobody(loop: Any) -> None:
    network = Network()
    done: list[Any] = []

    async def push() -> None:
        async with loop.Pusher(connect=ADDRESS) as pusher:
            try:
                await pusher.push(b"before")
                await loop.sleep(1000)
                done.append("it went on")
            finally:
                pusher.socket.close(0)

    async def main() -> Any:
        client = network.node("client")
        client.start(push)
        async with loop.Puller(bind=ADDRESS) as puller:
            assert await puller.receive() == [b"before"]
            client.kill()
            await loop.sleep(5000)
            return puller.statistics().received

    assert loop.run(main, network) == 1
    assert done == []


def test_a_paused_node_stands_still_and_goes_on(loop: Any) -> None:
    network = Network()
    ticks: list[Any] = []

    async def tick() -> None:
        while True:
            ticks.append(network.now)
            await loop.sleep(1)

    async def main() -> Any:
        echo(loop, network)
        server = network.node("server")
        server.start(tick)
        async with loop.Requester(connect=ADDRESS, timeout=1) as requester:
            await loop.sleep(3.5)
            server.pause()
            before = len(ticks)
            with pytest.raises(RequestTimeout):
                await requester.request(b"x")
            await loop.sleep(10)
            assert len(ticks) == before == 4
            server.resume()
            assert await requester.request(b"y") == [b"y"]
            await loop.sleep(2)
        return ticks

    late = loop.run(main, network)[4]
    assert 14.5 <= late < 14.6


def test_a_node_that_is_killed_while_it_stands_still(loop: Any) -> None:
    network = Network()
    ticks: list[Any] = []

    async def tick() -> None:
        while True:
            ticks.append(network.now)
            await loop.sleep(1)

    async def main() -> None:
        server = network.node("server")
        server.start(tick)
        await loop.sleep(0.5)
        server.pause()
        await loop.sleep(5)
        server.kill()
        await loop.sleep(5)
        assert len(ticks) == 1
        server.restart()
        await loop.sleep(1.5)

    loop.run(main, network)
    assert len(ticks) == 3


def test_after_a_cut_they_connect_again(loop: Any) -> None:
    network = Network()

    async def main() -> None:
        echo(loop, network)
        async with loop.Requester(connect=ADDRESS, timeout=5) as requester:
            await requester.request(b"1")
            network.cut("main", "server")
            await loop.sleep(1)
            assert await requester.request(b"2") == [b"2"]

    loop.run(main, network)
    happened = [event.what for event in network.trace if event.what != "message"]
    assert happened[happened.index("cut") :].count("connected") == 1


def test_what_was_sent_into_silence_arrives_when_it_is_healed(loop: Any) -> None:
    network = Network()

    async def main() -> Any:
        echo(loop, network)
        async with loop.Requester(connect=ADDRESS, timeout=None) as requester:
            await requester.request(b"1")
            network.silence("main", "server")
            network.after(500, lambda: network.heal("main", "server"))
            begun = network.now
            assert await requester.request(b"2") == [b"2"]
            return network.now - begun

    assert 500 <= loop.run(main, network) < 501


def test_a_slow_way_takes_its_time(loop: Any) -> None:
    network = Network()

    async def main() -> Any:
        echo(loop, network)
        async with loop.Requester(connect=ADDRESS) as requester:
            await requester.request(b"1")
            network.slow("main", "server", latency=(0.25, 0.5))
            begun = network.now
            await requester.request(b"2")
            return network.now - begun

    assert 0.5 <= loop.run(main, network) <= 1.01


@pytest.mark.parametrize(
    ("verdict", "handled", "answered"),
    [(Drop(), 0, False), (Twice(), 2, True), (Deliver(0.3), 1, True)],
    ids=["drop", "twice", "deliver"],
)
def test_a_rule_for_requests(loop: Any, verdict: Any, handled: Any, answered: Any) -> None:
    network = Network()
    seen: list[Any] = []

    async def main() -> None:
        echo(loop, network, seen)
        async with loop.Requester(connect=ADDRESS, timeout=1) as requester:
            await requester.request(b"1")
            handle = network.rule(lambda each: verdict if each.parts[-1] == b"2" else None)
            try:
                await requester.request(b"2")
            except RequestTimeout:
                assert not answered
            else:
                assert answered
            handle.cancel()
            await requester.request(b"2", b"3")

    loop.run(main, network)
    assert seen.count([b"2"]) == handled


def test_what_waits_for_ever_is_named(loop: Any) -> None:
    network = Network()

    async def main() -> None:
        async with loop.Requester(connect=ADDRESS, options=SELDOM) as requester:
            await requester.request(b"x", timeout=None)

    async def pull() -> None:
        async with loop.Puller(connect=ADDRESS, options=SELDOM) as puller:
            await puller.receive()

    async def both() -> None:
        network.node("other").start(pull)
        await main()

    with pytest.raises(Stalled) as caught:
        loop.run(both, network)
    text = str(caught.value)
    assert "main: " in text
    assert "other: " in text
    assert f"{__file__}:" in text
    assert "in test_what_waits_for_ever_is_named.<locals>.pull" in text
    assert "<simulated DEALER of main>" in text


def test_a_program_without_sockets_that_waits_for_ever_is_named(loop: Any) -> None:
    network = Network()

    async def main() -> None:
        async with loop.Puller(bind="inproc://here") as puller:
            await puller.receive()

    with pytest.raises(Stalled, match=r"main: .*\.py:\d+ in "):
        loop.run(main, network)


def test_a_real_socket_is_refused(loop: Any) -> None:
    context = zmq.Context()

    async def main() -> None:
        async with loop.Puller(connect="tcp://127.0.0.1:1", context=context) as puller:
            await puller.receive()

    with context, pytest.raises(NotSimulated, match="real"):
        loop.run(main, Network())


def test_an_option_that_is_not_modelled_is_refused(loop: Any) -> None:
    async def main() -> None:
        async with loop.Puller(options={zmq.AFFINITY: 1}):
            pass

    with pytest.raises(NotSimulated, match="AFFINITY"):
        loop.run(main, Network())


def test_the_error_of_main_comes_out(loop: Any) -> None:
    async def main() -> None:
        await loop.sleep(1)
        raise LookupError("this one")

    with pytest.raises(LookupError, match="this one"):
        loop.run(main, Network())


def test_a_program_that_fails_ends_the_run(loop: Any) -> None:
    network = Network()

    async def fails() -> None:
        await loop.sleep(1)
        raise LookupError("this one")

    async def main() -> None:
        network.node("other").start(fails)
        await loop.sleep(1000)

    with pytest.raises(LookupError, match="this one"):
        loop.run(main, network)
    assert network.now < 2


def test_the_network_may_end_the_run(loop: Any) -> None:
    network = Network()

    async def main() -> None:
        network.after(5, lambda: network.fail(LookupError("this one")))
        await loop.sleep(1000)

    with pytest.raises(LookupError, match="this one"):
        loop.run(main, network)
    assert 5 <= network.now < 6


def test_what_fails_because_it_was_killed_ends_nothing(loop: Any) -> None:
    network = Network()

    async def fails() -> None:
        try:
            await loop.sleep(1000)
        finally:
            raise LookupError

    async def main() -> Any:
        network.node("other").start(fails)
        await loop.sleep(1)
        network.node("other").kill()
        await loop.sleep(1)
        return "well"

    assert loop.run(main, network) == "well"


def test_a_network_runs_one_program_after_the_other(loop: Any) -> None:
    network = Network()

    async def main() -> Any:
        echo(loop, network)
        async with loop.Requester(connect=ADDRESS) as requester:
            return await requester.request(b"x")

    assert loop.run(main, network) == [b"x"]
    assert loop.run(main, network) == [b"x"]


def test_a_killed_node_runs_nothing_until_it_is_restarted(loop: Any) -> None:
    network = Network()

    async def main() -> None:
        network.node("server").kill()
        with pytest.raises(ValueError, match="restart it"):
            echo(loop, network)

    loop.run(main, network)


async def traffic(loop: Any, network: Any) -> None:
    """Ask from three nodes at once, under faults."""
    echo(loop, network)
    ended: list[Any] = []

    async def ask() -> None:
        async with loop.Requester(connect=ADDRESS, timeout=0.5) as requester:
            for number in range(20):
                try:
                    await requester.request(b"%d" % number)
                except RequestTimeout:
                    pass
                await loop.sleep(network.random.random() / 10)
        ended.append(1)

    for name in "abc":
        network.node(name).start(ask)
    await loop.sleep(0.3)
    network.cut("a", "server")
    network.slow("b", "server", (0.1, 0.6))
    network.node("server").restart()
    while len(ended) < 3:
        await loop.sleep(1)


def test_one_seed_is_one_course_of_events(loop: Any) -> None:
    first = check_determinism(lambda network: traffic(loop, network), 5, loop.name)
    second = check_determinism(lambda network: traffic(loop, network), 6, loop.name)
    assert first.trace_hash() != second.trace_hash()


def test_what_differs_is_shown(loop: Any) -> None:
    runs: list[Any] = []

    async def main(network: Any) -> None:
        runs.append(network)
        echo(loop, network)
        async with loop.Requester(connect=ADDRESS) as requester:
            await requester.request(b"%d" % len(runs))

    with pytest.raises(NotDeterministic, match=r"two runs of seed 3 differ: .*message"):
        check_determinism(main, 3, loop.name)


def test_a_part_beyond_maxmsgsize_ends_the_connection(loop: Any) -> None:
    network = Network()

    async def main() -> None:
        options = {zmq.MAXMSGSIZE: 30}  # with less than 26, libzmq's own handshake is too long
        async with (
            loop.Puller(bind="tcp://*:5555", options=options) as puller,
            loop.Pusher(connect="tcp://main:5555") as pusher,
        ):
            await pusher.push(bytes(30))
            assert await puller.receive() == [bytes(30)]
            await pusher.push(bytes(31))
            await loop.sleep(1)
            assert puller.statistics().received == 1

    loop.run(main, network)
    assert [event.what for event in network.trace].count("disconnected") >= 1


@pytest.mark.parametrize("address", [ADDRESS, "ipc:///server"])
def test_a_server_that_has_replied_stays_for_its_client(loop: Any, address: str) -> None:
    network = Network()
    ended: list[float] = []

    async def serve() -> None:
        async with loop.Replier(bind=address) as replier:
            request = await replier.receive()
            await request.reply(b"bye")
        ended.append(network.now)

    async def main() -> None:
        network.node("server").start(serve)
        async with loop.Requester(connect=address, timeout=5) as requester:
            assert await requester.request(b"hello") == [b"bye"]
            heard = network.now
            await loop.sleep(1)
        assert 0.09 < ended[0] - heard < 0.2

    loop.run(main, network)
