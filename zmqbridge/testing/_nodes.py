"""Nodes: the processes of a simulated world, which can be killed, restarted and paused."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Final

from zmqbridge.testing._errors import NotSimulated

if TYPE_CHECKING:
    from zmqbridge.testing._context import SimContext
    from zmqbridge.testing._network import Network


# What may be the name of a host in an address, and is no address of the loopback.
NAME = re.compile(r"(?!(?:\d+\.){3}\d+$|localhost$|lo$)[^\s:;/*\[\]@]+")


def named(name: str) -> str:
    """The name of a node, as given.

    Raises:
        TypeError: the name is not a str, or is empty.
        ValueError: no address can have this name.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"a node has a name, not {name!r}: give a str, as 'server'")
    if NAME.fullmatch(name) is None:
        raise ValueError(
            f"a node cannot be named {name!r}: its name is that of a host, as in tcp://server:5555"
        )
    return name


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
        self._services: list[Callable[[], Any]] = []

    def kill(self) -> None:
        """End the process as SIGKILL does: its sockets send nothing more, its tasks stop.

        Raises:
            NotSimulated: the `SimReactor` of the network was closed.
        """
        self.network.require_open()
        self.network.fault("kill", self.name, self.name)
        self.alive = self.paused = False
        self.network.driver.kill(self)
        self.context.die()

    def restart(self, main: Callable[[], Any] | None = None) -> None:
        """Start the process again, with a new context; if it is alive, it is killed first.

        The program begins again from nothing, and so must what it keeps: let `main` make its
        objects. A `Script` of this node listens again.

        Args:
            main: the program, as for `start`; by default the one that was started last.

        Raises:
            TypeError: there is no program. The program of the node ``"main"`` is the test itself.
            NotSimulated: the `SimReactor` of the network was closed.
        """
        self.network.require_open()
        if main is not None:
            check(self, main)
        elif (main := self._program) is None:
            self.require_program()
        if self.alive:
            self.kill()
        self.network.fault("restart", self.name, self.name)
        self.alive = True
        self.context = self.network.new_context(self)
        for service in self._services:
            service()
        if main is not None:
            self.start(main)

    def require_program(self) -> None:
        """Check that `restart` has something to start again.

        Raises:
            TypeError: no program was started here.
        """
        if self._program is None and not self._services:
            tests = ", or restart another node: this one runs the test" if self.tests else ""
            raise TypeError(f"{self!r} has no program to be restarted: give it one{tests}")

    @property
    def tests(self) -> bool:
        """Whether the test itself runs here: a node without a program that is named ``"main"``."""
        return self.name == "main" and self._program is None

    def serve(self, service: Callable[[], Any]) -> None:
        """Call a function now, and again whenever the process is restarted."""
        service()
        self._services.append(service)

    def start(self, main: Callable[[], Any]) -> None:
        """Start a program in the process, beside those that it runs already.

        Args:
            main: a coroutine function, or a function, without arguments.

        Raises:
            TypeError: `main` is no function.
            ValueError: the node was killed.
        """
        check(self, main)
        if not self.alive:
            raise ValueError(f"{self!r} was killed: restart it")
        self._program = main
        self.network.driver.start(self, main)

    def pause(self) -> None:
        """Stop the process as SIGSTOP does, with its I/O threads.

        Raises:
            NotSimulated: the `SimReactor` of the network was closed.
        """
        self.network.require_open()
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


def check(node: Node, main: Any) -> None:
    """Check that a node can run this.

    Raises:
        TypeError: it is no function.
    """
    if iscoroutine(main):
        main.close()
        raise TypeError(f"{node!r}: give the coroutine function, not {main!r}, which it returned")
    if not callable(main):
        raise TypeError(f"{node!r}: its program is a coroutine function, not {main!r}")


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
        """None: no real FD is needed.

        Raises:
            NotSimulated: a loop is to wait for a socket of the library, and it is a real one.
        """
        if socket.held:
            raise NotSimulated(
                f"no loop of the simulation runs {socket!r}: run its program by "
                "zmqbridge.testing.run(), or make a SimReactor(network) first"
            )
        return None


class Ended(ByHand):
    """The driver of a network whose `SimReactor` was closed: nothing can happen there any more."""
