"""run_on_twisted: runs a coroutine function on a new `SimReactor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zmqbridge.testing._current import lives
from zmqbridge.testing._network import Network
from zmqbridge.testing._nodes import ByHand
from zmqbridge.testing._sim_reactor import SimReactor
from zmqbridge.testing._stalled import killed


def run_on_twisted(main: Callable[[], Any], network: Network) -> Any:
    """Run a coroutine function on a new reactor until it returns, and return its result."""
    try:
        with SimReactor(network) as reactor:
            node = network.node("main")
            program, done = network.driver.run(node, main)
            try:
                return reactor.run_until(done)
            except BaseException as error:
                if lives(program.context):
                    raise
                raise killed(node) from error
    finally:
        network.driver = ByHand()  # faults may be ordered for another run
