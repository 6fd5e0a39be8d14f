"""Programs: the sockets and steps that are played on the model and on libzmq."""

from __future__ import annotations

from typing import Any, NamedTuple

import zmq

# Libzmq connects again after this time, or up to twice as long.
RECONNECT = 10  # milliseconds


class Spec(NamedTuple):
    """A socket of a program.

    Attributes:
        kind: the name of its type.
        options: the options that are set right after it is made.
    """

    kind: str
    options: tuple[tuple[int, int | bytes], ...] = ()

    @property
    def type(self) -> int:
        """The type as libzmq's number."""
        return int(zmq.SocketType[self.kind])

    def __repr__(self) -> str:
        options = [f"{zmq.SocketOption(option).name}={value!r}" for option, value in self.options]
        return f"{self.kind}({', '.join(options)})"


class Step(NamedTuple):
    """One call, or a burst of sends.

    Attributes:
        what: a key of `zmqbridge.testing.differential._playing.CALLS`.
        socket: the index of the socket in the program.
        argument: an address, a topic, or a number of messages.
        settles: whether the world settles before the next step.
    """

    what: str
    socket: int
    argument: Any = None
    settles: bool = True

    def __repr__(self) -> str:
        argument = "" if self.argument is None else f" {self.argument!r}"
        return f"{self.what} {self.socket}{argument}" + ("" if self.settles else ", at once:")


class Program(NamedTuple):
    """Sockets, and the steps that use them.

    Attributes:
        seed: the seed that it was made from.
        transport: the transport of all its addresses.
        sockets: the sockets that are made at the start.
        steps: the steps in their order.
    """

    seed: int
    transport: str
    sockets: tuple[Spec, ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [f"over {self.transport}"]
        lines += [f"  socket {n}: {spec!r}" for n, spec in enumerate(self.sockets)]
        lines += [f"  step {n}: {step!r}" for n, step in enumerate(self.steps)]
        return "\n".join(lines)


def _twice(program: Program) -> bool:
    ways: set[tuple[int, ...]] = set()
    ties = [step for step in program.steps if step.what in ("bind", "connect")]
    for address in "ab":
        here = [step for step in ties if step.argument == address]
        for binder in {step.socket for step in here if step.what == "bind"}:
            for step in here:
                way = tuple(sorted((binder, step.socket)))
                if step.what == "connect":
                    if way in ways:
                        return True
                    ways.add(way)
    return False


def valid(program: Program) -> bool:
    """Whether the results of a program do not depend on a race, and libzmq does not abort.

    Over tcp and ipc, two sockets that wait for an address to be bound connect in any order, and
    messages that take two ways to one socket arrive in any order. Over inproc, libzmq 4.3.5 aborts
    if a socket waits for an address and leaves before it is bound.
    """
    if program.transport != "inproc" and _twice(program):
        return False
    bound: dict[str, int] = {}
    ties: list[tuple[int, str]] = []
    for step in program.steps:
        socket, what = step.socket, step.what
        waiting = [tie for tie in ties if tie[1] not in bound]
        if what == "bind":
            if (
                program.transport != "inproc"
                and [tie[1] for tie in waiting].count(step.argument) > 1
            ):
                return False
            bound[step.argument] = socket
        elif what == "connect":
            ties.append((socket, step.argument))
        elif what == "unbind":
            bound.pop(step.argument, None)
        elif what in ("disconnect", "close"):
            leaves = [tie for tie in waiting if tie[0] == socket]
            if program.transport == "inproc" and leaves:
                return False
            if what == "close":
                bound = {a: n for a, n in bound.items() if n != socket}
                ties = [tie for tie in ties if tie[0] != socket]
            elif (socket, step.argument) in ties:
                ties.remove((socket, step.argument))
    return True
