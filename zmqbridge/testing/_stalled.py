"""Stalled: notices that no program can go on any more, and says which program waits for what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from inspect import iscoroutine
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from zmqbridge._bridge.guards import open_sockets, snapshot
from zmqbridge._bridge.keepers import Deadlines
from zmqbridge.testing._errors import Stalled
from zmqbridge.testing._network import Network

if TYPE_CHECKING:
    from zmqbridge.testing._nodes import Node

# If no program has made a step in this time, and only the library's own patrols and attempts to
# connect again are left, a run is taken to be stalled.
STALLS = 3600.0  # seconds
SHOWN = 20  # tasks and sockets in a text

HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep
LOOPS = tuple(f"{os.sep}{name}{os.sep}" for name in ("asyncio", "trio", "anyio", "twisted"))


class Waiting(NamedTuple):
    """A program that waits.

    Attributes:
        name: the name of the task, or of the node.
        coro: the coroutine of the task, or the object that is waited for.
    """

    name: str
    coro: Any


def stalled(
    network: Network, waiting: Iterable[Waiting], what: str = "nothing can go on any more"
) -> Stalled:
    """The error: what has happened, what each program waits for, the open sockets and faults."""
    programs = list(waiting)
    users = [each for each in programs if of_user(each.coro)] or programs
    lines = [f"at {network.now:.6f} s {what}; these wait:"]
    lines += [f"  {each.name}: {place(each.coro)}" for each in users[:SHOWN]]
    if len(users) > SHOWN:
        lines.append(f"  and {len(users) - SHOWN} more")
    sockets = list(network.sockets.values())[:SHOWN]
    lines += [f"  {each!r}: {each.where()}" for each in sockets]
    lines += [f"  {each}" for each in network.troubles()]
    return Stalled("\n".join(lines))


def ended(network: Network, waiting: Iterable[Waiting]) -> Stalled:
    """The error for a run that has taken too many turns of its loop."""
    error = stalled(
        network, waiting, f"the run has not ended after {network.max_turns:,.0f} turns of its loop"
    )
    return Stalled(f"{error}\n  if it is meant to be so long, set max_turns= of the Network")


def killed(node: Node) -> Stalled:
    """The error for a run whose own program was killed."""
    return Stalled(f"{node.name} was killed, and the run with it, as the test itself runs there")


class StallCheck:
    """Checks from time to time whether the programs wait for something that can still happen.

    Without it, peers that connect again and again, and patrols, would let time pass for ever. It
    also counts the turns of the loop: programs that do something again and again wait for nothing.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._looked_at = network.now
        self._seen: list[object] = []
        self._turns = 0

    def begin(self) -> None:
        """Count the turns of a new run."""
        self._turns = 0

    def count(self, waiting: Callable[[], list[Waiting]]) -> None:
        """Count a turn of the loop.

        Args:
            waiting: returns the programs that wait.

        Raises:
            Stalled: the run has taken more turns than the network allows.
        """
        self._turns += 1
        if self._turns > self._network.max_turns:
            self._turns = 0  # the programs may need some more turns to end
            raise ended(self._network, waiting())

    def look(
        self, when: float, waiting: Callable[[], list[Waiting]], timers: Callable[[], bool] = bool
    ) -> None:
        """Check before time passes until `when`.

        Args:
            when: in seconds.
            waiting: returns the programs that wait.
            timers: returns whether a program has set a timer.

        Raises:
            Stalled: the programs wait for something that will never happen.
        """
        if when <= self._looked_at + STALLS:
            return
        self._looked_at = when
        programs = waiting()
        seen = [awaited(each.coro) for each in programs if of_user(each.coro)]
        same = len(seen) == len(self._seen) and all(
            one is other for one, other in zip(seen, self._seen, strict=True)
        )
        # We keep the objects themselves, because a new object may get the `id` of one that is gone.
        self._seen = seen
        if same and not timers() and not answers_are_due(self._network):
            raise stalled(self._network, programs)


def answers_are_due(network: Network) -> bool:
    """Whether an open request of a running process has a deadline."""
    for owned in snapshot(open_sockets):
        socket: Any = owned.libzmq()
        if getattr(socket, "network", None) is network:
            alive = socket.context is socket.node.context and socket.node.alive
            keeper = owned.driver.keeper  # type: ignore[attr-defined]
            if alive and isinstance(keeper, Deadlines) and keeper.table.next_deadline() < inf:
                return True
    return False


def chain(coro: Any) -> Iterator[Any]:
    """A coroutine, the object that it awaits, the object that this one awaits, and so on."""
    while coro is not None:
        yield coro
        awaits = getattr(coro, "cr_await", None)
        coro = getattr(coro, "gi_yieldfrom", None) if awaits is None else awaits


def awaited(coro: Any) -> object:
    """The last object of `chain`, which is a different one in each wait."""
    *_, last = chain(coro)
    return last


def frames(coro: Any) -> list[Any]:
    """The frames of a coroutine, outermost first."""
    found = (getattr(each, "cr_frame", None) for each in chain(coro))
    return [frame for frame in found if frame is not None]


def of_user(coro: Any) -> bool:
    """Whether a coroutine is in user code: neither in this library nor in a loop."""
    return any(not _ours(frame.f_code.co_filename) for frame in frames(coro))


def place(coro: Any) -> str:
    """The innermost line of user code in a coroutine, and the call that it awaits."""
    places = [(f.f_code.co_filename, f.f_lineno, f.f_code.co_qualname) for f in frames(coro)]
    if not places:
        return "has not begun" if iscoroutine(coro) else repr(coro)
    users = [index for index, each in enumerate(places) if not _ours(each[0])]
    innermost = users[-1] if users else 0
    name, line, what = places[innermost]
    calls = [f", in {called}" for _, _, called in places[innermost + 1 :]]
    return f"{name}:{line} in {what}" + "".join(calls[:1])


def _ours(path: str) -> bool:
    return path.startswith(HERE) or any(part in path for part in LOOPS)
