"""Running: runs a program on a simulated network until it ends, or twice to compare the traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zmqbridge._bridge.context import shared
from zmqbridge.testing._checks import called
from zmqbridge.testing._current import context_for
from zmqbridge.testing._errors import NotDeterministic
from zmqbridge.testing._network import Network, checked
from zmqbridge.testing._nodes import check

shared.stand_in = context_for


def run(main: Callable[[], Any], network: Network | None = None, backend: str = "asyncio") -> Any:
    """Run a coroutine function on a simulated network, and return its result.

    Time is virtual: a sleep of an hour takes no time. `main` is the program of the node ``"main"``.
    A socket that is made without ``context=`` is in the context of the node whose program makes it.

    Args:
        main: a coroutine function without arguments.
        network: the simulated network, by default a new one with seed 0.
        backend: ``"asyncio"``, ``"trio"``, or ``"twisted"``, where the sockets use a `SimReactor`
            unless they are given another reactor.

    Raises:
        Stalled: no task can go on any more, the run has taken `Network.max_turns` turns of its
            loop, or the node ``"main"`` was killed.
        NotSimulated: the program used something that the simulation does not have.
        TypeError: `main` is no coroutine function, or `network` no `Network`.
        ValueError: there is no such backend.
    """
    world = checked(network)
    check(world.node("main"), main)
    if backend == "asyncio":
        from zmqbridge.testing._asyncio_world import run_on_asyncio

        return run_on_asyncio(main, world)
    if backend == "trio":
        from zmqbridge.testing._trio_world import run_on_trio

        return run_on_trio(main, world)
    if backend == "twisted":
        from zmqbridge.testing._twisted_run import run_on_twisted

        return run_on_twisted(main, world)
    raise ValueError(f"backend={backend!r}: give 'asyncio', 'trio' or 'twisted'")


def check_determinism(
    main: Callable[[Network], Any], seed: int = 0, backend: str = "asyncio"
) -> Network:
    """Run a program twice with one seed, and return the second network.

    Args:
        main: a coroutine function that is called with the network.
        seed: the seed of both runs.
        backend: as in `run`.

    Raises:
        NotDeterministic: the two runs were not the same.
        TypeError: `main` is no function, or the seed not an int.
        ValueError: there is no such backend.
    """
    called("main", main, "the coroutine function that is called with the network")
    first, second = Network(seed), Network(seed)
    for network in (first, second):
        run(lambda network=network: main(network), network, backend)  # type: ignore[misc]
    if first.trace_hash() != second.trace_hash():
        pairs = zip(first.trace, second.trace, strict=False)
        where = next((pair for pair in pairs if pair[0] != pair[1]), None)
        raise NotDeterministic(f"two runs of seed {seed} differ: {where}")
    return second
