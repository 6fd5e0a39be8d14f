"""TwistedWorld: runs the programs of nodes on a `SimReactor`: the Twisted driver of a network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zmqbridge._bridge.guards import open_sockets, snapshot
from zmqbridge.testing._current import current, enter, lives
from zmqbridge.testing._stalled import Waiting
from zmqbridge.twisted_backend import _reactors

if TYPE_CHECKING:
    from zmqbridge.testing._nodes import Node


class Program:
    """A program of a node.

    Attributes:
        node: the node that runs it.
        context: the ``contextvars`` context that its code runs in.
        done: fires when the program has ended; None if `main` was a plain function.
        shown: its line in the text of `Stalled`.
    """

    def __init__(self, node: Node, main: Callable[[], Any]) -> None:
        self.node = node
        self.context = copy_context()
        self.context.run(enter, node)
        made = self.context.run(main)
        self.shown = Waiting(node.name, made)
        self.done: Deferred[Any] | None = None
        if iscoroutine(made):
            self.done = self.context.run(Deferred.fromCoroutine, made)
        elif isinstance(made, Deferred):
            self.done = made


class TwistedWorld:
    """The programs of all nodes.

    Attributes:
        programs: the programs that have not ended.
        reactor: the `SimReactor` that they run on.
    """

    def __init__(self, reactor: Any) -> None:
        self.programs: dict[Program, None] = {}
        self.reactor: Any = reactor

    def start(self, node: Node, main: Callable[[], Any]) -> None:
        """Run a program of a node: a coroutine function, or a plain function that only sets up."""
        program = Program(node, main)
        if program.done is not None:
            self._begun(program).addErrback(self._has_failed, program)

    def run(self, node: Node, main: Callable[[], Any]) -> tuple[Program, Deferred[Any]]:
        """Run a coroutine function as a program of a node; the Deferred fires with its result."""
        program = Program(node, main)
        if program.done is None:
            raise TypeError(f"{main!r} returned {program.shown.coro!r}: give a coroutine function")
        return program, self._begun(program)

    def _begun(self, program: Program) -> Deferred[Any]:
        done: Any = program.done
        if not done.called:
            self.programs[program] = None
        return done.addBoth(self._has_ended, program)  # type: ignore[no-any-return]

    def _has_ended(self, result: Any, program: Program) -> Any:
        self.programs.pop(program, None)
        return result

    def _has_failed(self, failure: Failure, program: Program) -> None:
        if failure.value is not None and lives(program.context):
            self.reactor.network.fail(failure.value)

    def kill(self, node: Node) -> None:
        """Remove the calls and readers of a node, and cancel its coroutines without a report."""
        process = node.context
        process.die()
        context = copy_context()
        context.run(enter, node)
        for program in [each for each in self.programs if each.node is node]:
            if program.done is not None:
                with suppress(Exception):
                    program.context.copy().run(program.done.cancel)
            self.programs.pop(program, None)
        for owned in snapshot(open_sockets):
            if getattr(owned.libzmq(), "context", None) is process:
                context.run(owned.disown)
        self.reactor.forget(node)

    def pause(self, node: Node) -> None:
        """Do nothing: the reactor itself asks whether a node is paused."""

    def resume(self, node: Node) -> None:
        """Make the calls that were held while a node was paused."""
        self.reactor.go_on(node)

    def descriptor(self, socket: Any) -> int | None:
        """None: the reactor understands the numbers of the network, so no real FD is needed."""
        return None


def context_of(node: Node | None) -> Context:
    """A copy of the running context; if it belongs to no program, it is made one of this node."""
    context = copy_context()
    if node is not None and context.get(current) is None:
        context.run(enter, node)
    return context


def _of(context: Any) -> Any:
    given = None if context is None else vars(context).get("node")
    node = current.get() if given is None else given
    world = None if node is None else node.network.driver
    return world.reactor if isinstance(world, TwistedWorld) else None


_reactors.stand_in = _of
