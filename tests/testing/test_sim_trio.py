"""What is trio's alone in the simulated network."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import textwrap
import time
from typing import Any

import anyio.to_thread
import pytest
import trio
import trio.testing

from zmqbridge.asyncio_backend import Replier, Requester
from zmqbridge.testing import Network, NotSimulated, Stalled, run
from zmqbridge.testing._bells import Bell

inside = trio._core._run
ADDRESS = "tcp://server:5555"


def on_trio(main: Any, network: Any = None) -> Any:
    return run(main, network or Network(), "trio")


def test_the_clock_is_the_networks() -> None:
    network = Network()

    async def main() -> Any:
        assert trio.current_time() == network.now
        with trio.move_on_after(100) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        return trio.current_time()

    assert 100 <= on_trio(main, network) < 100.1


def test_what_was_set_in_trio_is_as_before() -> None:
    before = inside._r, inside._ALLOW_DETERMINISTIC_SCHEDULING

    async def main() -> None:
        assert isinstance(before[0], random.Random)
        assert inside._r is not before[0]
        raise LookupError

    with pytest.raises(LookupError):
        on_trio(main)
    assert (inside._r, inside._ALLOW_DETERMINISTIC_SCHEDULING) == before


def test_the_order_of_tasks_follows_from_the_seed() -> None:
    def order(seed: Any) -> Any:
        ran: list[Any] = []

        async def note(number: Any) -> None:
            await trio.sleep(1)
            ran.append(number)

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(note, number)

        on_trio(main, Network(seed))
        return ran

    orders = [order(seed) for seed in range(5)]
    assert orders == [order(seed) for seed in range(5)]
    assert len({tuple(each) for each in orders}) > 1


def test_a_task_that_lets_others_run_sees_time_pass() -> None:
    async def main() -> None:
        begun = trio.current_time()
        while trio.current_time() < begun + 0.001:
            await trio.lowlevel.checkpoint()

    on_trio(main)


def test_waiting_until_all_are_blocked_comes_before_time_passes() -> None:
    network = Network()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 100)
            await trio.testing.wait_all_tasks_blocked()
            assert network.now < 1

    on_trio(main, network)
    assert network.now >= 100


def test_threads_are_refused() -> None:
    async def main() -> None:
        await trio.to_thread.run_sync(print)

    async def by_anyio() -> None:
        await anyio.to_thread.run_sync(print)

    for each in (main, by_anyio):
        with pytest.raises(NotSimulated, match="threads"):
            on_trio(each)


def test_descriptors_of_the_system_are_refused() -> None:
    async def main() -> None:
        with trio.socket.socket() as socket:
            await socket.bind(("127.0.0.1", 0))
            socket.listen()
            with trio.move_on_after(3600):
                await socket.accept()
            raise AssertionError("the time of the system was taken for that of the network")

    with pytest.raises(NotSimulated, match="real descriptor"):
        on_trio(main)


def test_a_call_from_outside_is_made_before_time_passes() -> None:
    network = Network()

    async def main() -> None:
        event = trio.Event()
        trio.lowlevel.current_trio_token().run_sync_soon(event.set)
        with trio.move_on_after(1000) as scope:
            await event.wait()
        assert not scope.cancelled_caught

    on_trio(main, network)
    assert network.now < 1


def test_not_even_a_shield_holds_up_a_stall() -> None:
    async def main() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    with pytest.raises(Stalled, match=r"main: .*test_sim_trio"):
        on_trio(main)


def test_the_end_of_a_program_may_take_time() -> None:
    network = Network()
    ended: list[Any] = []

    async def other() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(10)
                ended.append(network.now)

    async def main() -> None:
        network.node("other").start(other)
        await trio.sleep(1)

    on_trio(main, network)
    assert 11 <= ended[0] < 12


def test_a_rule_that_fails_ends_the_run() -> None:
    network = Network()

    def rule(delivery: Any) -> None:
        raise LookupError("this one")

    async def serve() -> None:
        async with Replier(bind=ADDRESS) as replier:
            await replier.serve(lambda request: request.reply(b"x"))

    async def main() -> None:
        network.node("server").start(serve)
        network.after(1, lambda: network.rule(rule))
        async with Requester(connect=ADDRESS) as requester:
            while True:
                await requester.request(b"x")
                await trio.sleep(0.1)

    with pytest.raises(LookupError, match="this one"):
        on_trio(main, network)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="this system does not tell")
def test_descriptors_are_given_back() -> None:
    def open_ones() -> Any:
        return len(os.listdir("/proc/self/fd"))

    network = Network()
    sockets: list[Any] = []

    async def main() -> None:
        for _ in range(20):
            async with Requester(connect=ADDRESS):
                pass
        sockets.append(network.node("other").context.socket(3))
        assert sockets[0].fileno() > 2 if hasattr(sockets[0], "fileno") else True

    on_trio(trio.lowlevel.checkpoint)  # what is opened once for all
    before = open_ones()
    on_trio(main, network)
    assert open_ones() == before
    sockets[0].close()


def test_a_group_of_errors_comes_out_as_it_is() -> None:
    async def fail() -> None:
        raise LookupError

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(trio.sleep_forever)

    with pytest.raises(ExceptionGroup) as caught:
        on_trio(main)
    assert caught.group_contains(LookupError)


def test_an_interrupt_comes_out() -> None:
    async def main() -> None:
        await trio.sleep(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_trio(main)


def test_a_main_that_is_killed() -> None:
    network = Network()

    async def main() -> None:
        network.node("main").kill()
        await trio.sleep(1)

    with pytest.raises(Stalled, match="main was killed"):
        on_trio(main, network)


def test_main_is_a_coroutine_function() -> None:
    with pytest.raises(TypeError, match="coroutine function"):
        on_trio(lambda: None)


def test_tasks_of_a_program_belong_to_its_node() -> None:
    network = Network()
    ticks: list[Any] = []

    async def tick() -> None:
        while True:
            ticks.append(network.now)
            await trio.sleep(1)

    async def program() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(tick)

    async def main() -> None:
        other = network.node("other")
        other.start(program)
        await trio.sleep(0.5)
        other.pause()
        begun = time.thread_time()
        await trio.sleep(1000)
        assert time.thread_time() - begun < 1
        assert len(ticks) == 3
        other.resume()
        await trio.sleep(0.1)
        assert len(ticks) == 6
        other.kill()
        await trio.sleep(100)
        assert len(ticks) == 6

    on_trio(main, network)


ENDLESS = """
    import trio
    from zmqbridge.testing import run

    async def main():
        with trio.CancelScope(shield=True):
            while True:
                try:
                    await trio.sleep_forever()
                except Exception:
                    continue

    run(main, backend="trio")
"""


def test_one_who_will_not_end_does_not_hang_the_run() -> None:
    code = textwrap.dedent(ENDLESS)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 1
    assert "Stalled: at 0.0" in done.stderr


def test_a_bell_rings_also_where_the_system_has_no_eventfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd", raising=False)  # as on PyPy
    bell = Bell()
    for rings in (True, False, True):
        bell.set() if rings else bell.clear()
        assert bool(select.select([bell.descriptor], [], [], 0)[0]) == rings
    bell.close()
