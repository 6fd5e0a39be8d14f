"""Stalled: notices that nothing can go on any more, and says who waits for what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from inspect import iscoroutine
from math import inf
from typing import Any, NamedTuple

from zmqbridge._bridge.guards import open_sockets, snapshot
from zmqbridge._bridge.keepers import Deadlines
from zmqbridge.testing.errors import Stalled
from zmqbridge.testing.network import Network

# After so long without a step of any program, and with only the library's own patrols and peers
# that connect again left, nothing will ever come.
STALLS = 3600.0  # seconds
SHOWN = 20  # tasks and sockets in a text

HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep
LOOPS = tuple(f"{os.sep}{name}{os.sep}" for name in ("asyncio", "trio", "anyio", "twisted"))


class Who(NamedTuple):
    """One that waits.

    Attributes:
        name: the node's, or that of the task.
        coro: its coroutine, or what else it waits for.
    """

    name: str
    coro: Any


def stalled(network: Network, those: Iterable[Who]) -> Stalled:
    """The error, with a line for each program that waits, and its sockets."""
    everybody = list(those)
    users = [who for who in everybody if of_user(who.coro)] or everybody
    lines = [f"at {network.now:.6f} s nothing can go on any more; these wait:"]
    lines += [f"  {who.name}: {place(who.coro)}" for who in users[:SHOWN]]
    if len(users) > SHOWN:
        lines.append(f"  and {len(users) - SHOWN} more")
    sockets = [repr(each) for each in network.sockets.values()][:SHOWN]
    if sockets:
        lines.append("  sockets: " + ", ".join(sockets))
    return Stalled("\n".join(lines))


class Life:
    """Looks now and then whether what programs wait for can still come.

    Peers that connect again and again, and patrols, would let time pass for ever.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._looked_at = network.now
        self._seen: list[object] = []

    def look(
        self, when: float, those: Callable[[], list[Who]], timers: Callable[[], bool] = bool
    ) -> None:
        """The time is to go on until `when`.

        Args:
            when: in seconds.
            those: who waits.
            timers: whether a timer of a program goes off.

        Raises:
            Stalled: nothing that anybody waits for will come.
        """
        if when <= self._looked_at + STALLS:
            return
        self._looked_at = when
        who = those()
        seen = [awaited(each.coro) for each in who if of_user(each.coro)]
        same = len(seen) == len(self._seen) and all(
            one is other for one, other in zip(seen, self._seen, strict=True)
        )
        # The objects themselves are kept, as a new one may have the `id` of one that is gone.
        self._seen = seen
        if same and not timers() and not answers_are_due(self._network):
            raise stalled(self._network, who)


def answers_are_due(network: Network) -> bool:
    """Whether a request of a process that lives has a deadline."""
    for owned in snapshot(open_sockets):
        socket: Any = owned.libzmq()
        if getattr(socket, "network", None) is network:
            alive = socket.context is socket.node.context and socket.node.alive
            keeper = owned.driver.keeper  # type: ignore[attr-defined]
            if alive and isinstance(keeper, Deadlines) and keeper.table.next_deadline() < inf:
                return True
    return False


def chain(coro: Any) -> Iterator[Any]:
    """A coroutine, what it awaits, what that awaits, and so on."""
    while coro is not None:
        yield coro
        awaits = getattr(coro, "cr_await", None)
        coro = getattr(coro, "gi_yieldfrom", None) if awaits is None else awaits


def awaited(coro: Any) -> object:
    """What a coroutine awaits in the end: another object with each wait."""
    *_, last = chain(coro)
    return last


def frames(coro: Any) -> list[Any]:
    """The frames of a coroutine, outermost first."""
    found = (getattr(each, "cr_frame", None) for each in chain(coro))
    return [frame for frame in found if frame is not None]


def of_user(coro: Any) -> bool:
    """Whether a coroutine is in code that is neither ours nor a loop's."""
    return any(not _ours(frame.f_code.co_filename) for frame in frames(coro))


def place(coro: Any) -> str:
    """The innermost line of a coroutine that is a user's, and what it awaits."""
    places = [(f.f_code.co_filename, f.f_lineno, f.f_code.co_qualname) for f in frames(coro)]
    if not places:
        return "has not begun" if iscoroutine(coro) else repr(coro)
    users = [each for each in places if not _ours(each[0])] or places
    name, line, what = users[-1]
    ours = [each for each in places if each[0].startswith(HERE)] or places
    inner = ours[-1][2]
    return f"{name}:{line} in {what}" + (f", in {inner}" if inner != what else "")


def _ours(path: str) -> bool:
    return path.startswith(HERE) or any(part in path for part in LOOPS)
