"""Nodes: the processes of a simulated world, which can be killed, restarted and paused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from zmqbridge.testing.errors import NotSimulated

if TYPE_CHECKING:
    from zmqbridge.testing._context import SimContext
    from zmqbridge.testing.network import Network


class Node:
    """A process of the simulation, with a context of its own; `Network.node` makes it.

    Attributes:
        name: its name in addresses, events and errors.
        network: the network that it belongs to.
        alive: False from `kill` until `restart`.
        paused: True from `pause` until `resume`.
        context: the context of its sockets, to be passed as ``context=``.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.alive: bool = True
        self.paused: bool = False
        self.context: SimContext = network.new_context(self)
        self._program: Callable[[], Any] | None = None

    def kill(self) -> None:
        """End the process as SIGKILL does: its sockets send nothing more, its tasks stop."""
        self.network.fault("kill", self.name, self.name)
        self.alive = self.paused = False
        self.network.driver.kill(self)
        self.context.die()

    def restart(self, main: Callable[[], Any] | None = None) -> None:
        """Start the process again, with a new context; if it is alive, it is killed first.

        Args:
            main: the program, as for `start`; by default the one that was started last.
        """
        if self.alive:
            self.kill()
        self.network.fault("restart", self.name, self.name)
        self.alive = True
        self.context = self.network.new_context(self)
        self.start(main or self._program)

    def start(self, main: Callable[[], Any] | None) -> None:
        """Start a program in the process, beside those that it runs already.

        Args:
            main: a coroutine function, or a function, without arguments.

        Raises:
            TypeError: there is no program.
            ValueError: the node was killed.
        """
        if main is None:
            raise TypeError(f"{self!r} has run nothing yet: give it a program")
        if not self.alive:
            raise ValueError(f"{self!r} was killed: restart it")
        self._program = main
        self.network.driver.start(self, main)

    def pause(self) -> None:
        """Stop the process as SIGSTOP does, with its I/O threads."""
        if not self.paused:
            self.network.driver.pause(self)
            self.network.fault("pause", self.name, self.name)
            self.paused = True
            self.network.blocked_anew()

    def resume(self) -> None:
        """Let the process go on."""
        if self.paused:
            self.network.fault("resume", self.name, self.name)
            self.paused = False
            self.network.driver.resume(self)
            self.network.unblocked()

    def __repr__(self) -> str:
        state = "" if self.alive else ", dead"
        return f"<Node {self.name}{state}{', paused' if self.paused else ''}>"


class ByHand:
    """The driver of a network that the caller drives: its nodes have no programs."""

    def start(self, node: Node, main: Callable[[], Any]) -> None:
        """Refuse to run anything.

        Raises:
            NotSimulated: always.
        """
        raise NotSimulated(f"{node!r} can run a program only inside run() or a SimReactor")

    def kill(self, node: Node) -> None:
        """Do nothing: there is no program."""

    pause: Final = kill
    resume: Final = kill

    def descriptor(self, socket: Any) -> int | None:
        """None: no real FD is needed."""
        return None
