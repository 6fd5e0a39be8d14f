"""What the simulation costs, and that one seed is one course of events in any process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest
import zmq
from simulated_worlds import LOOPS

from zmqbridge.testing import Network, run

ADDRESS = "tcp://server:5555"
A_DAY = 86_400.0  # seconds


def test_a_day_of_heartbeats_between_50_nodes_takes_5_seconds(loop: Any) -> None:
    network = Network()
    period = 1200.0  # seconds, of those of the programs
    options = {zmq.HEARTBEAT_IVL: 5000}  # milliseconds, of those of ZMTP
    asked: list[Any] = []

    async def serve() -> None:
        async with loop.Replier(bind=ADDRESS, options=options) as replier:
            await replier.serve(lambda request: request.reply(*request.parts))

    async def beat() -> None:
        async with loop.Requester(connect=ADDRESS, options=options) as requester:
            while True:
                assert await requester.request(b"alive") == [b"alive"]
                asked.append(1)
                await loop.sleep(period)

    async def main() -> None:
        network.node("server").start(serve)
        for number in range(49):
            network.node(f"node{number}").start(beat)
        await loop.sleep(A_DAY)

    begun = time.thread_time()
    loop.run(main, network)
    assert time.thread_time() - begun < 5
    assert network.now >= A_DAY
    assert len(asked) == 49 * A_DAY / period


PROGRAM = """
    import sys
    from simulated_worlds import Loop
    from test_simulated_programs import traffic
    from zmqbridge.testing import check_determinism

    for loop in map(Loop, sys.argv[1:]):
        network = check_determinism(lambda network: traffic(loop, network), 11, loop.name)
        print(loop.name, network.trace_hash())
"""

FACADE = """
    from test_sim_facade import Rep, echo, requester
    from zmqbridge.testing import check_determinism
    from zmqbridge.txzmq import ZmqRequestTimeoutError

    async def main(network):
        echo(network)
        asking = requester()
        network.slow("main", "server", (0.1, 0.6))
        for number in range(20):
            try:
                await asking.sendMsg(b"%d" % number, timeout=0.5)
            except ZmqRequestTimeoutError:
                pass

    print(check_determinism(main, 11, "twisted").trace_hash())
"""


def outcome(code: Any, hash_seed: Any, *arguments: Any) -> Any:
    folder = os.path.dirname(__file__)
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": folder}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True, text=True, timeout=50, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_order_of_hashes_does_not_matter() -> None:
    names = [loop.name for loop in LOOPS]
    hashes = outcome(PROGRAM, 1, *names)
    assert hashes == outcome(PROGRAM, 2, *names)
    assert [line.split()[0] for line in hashes.splitlines()] == names


def test_the_order_of_hashes_does_not_matter_to_the_facade() -> None:
    assert outcome(FACADE, 1) == outcome(FACADE, 2)


@pytest.mark.parametrize("package", ["asyncio_backend", "twisted_backend", "txzmq", "_cli"])
def test_nothing_of_the_simulation_is_loaded_without_it(package: Any) -> None:
    code = f"import zmqbridge.{package}, sys; print([m for m in sys.modules if '.testing' in m])"
    assert "zmqbridge" not in outcome(code, 0)


@pytest.mark.parametrize(("backend", "without"), [("asyncio", "trio|twisted"), ("trio", "twisted")])
def test_a_loop_loads_none_of_the_others(backend: Any, without: Any) -> None:
    code = f"""
        import sys, zmqbridge.testing
        async def main():
            pass
        zmqbridge.testing.run(main, backend={backend!r})
        import re
        print([name for name in sys.modules if re.match(r"({without})\\\\.", name)])
    """
    assert outcome(code, 0) == "[]\n"


def test_a_backend_has_a_name() -> None:
    with pytest.raises(ValueError, match="'asyncio', 'trio' or 'twisted'"):
        run(print, backend="curio")
