"""What we ask of a reactor: which one it is, what it can do, calls that are sure to come."""

from __future__ import annotations

from collections.abc import Callable
from sys import modules
from typing import Any

from twisted.python.threadable import isInIOThread

from zmqbridge.errors import LoopError


def no_other(context: Any) -> Any:
    """Outside of a simulation there is no other reactor than that of the process."""


# What takes the place of the global reactor for a socket in this context (or None), where
# `zmqbridge.testing` runs a program.
stand_in: Callable[[Any], Any] = no_other


def global_reactor(context: Any = None) -> Any:
    """The reactor of this process; this installs one, so never call it at import."""
    if (found := stand_in(context)) is not None:
        return found
    from twisted.internet import reactor

    return reactor


def other_loop(reactor: Any) -> str:
    """What to do where an asyncio loop runs, and the reactor does not; else ""."""
    if getattr(reactor, "running", False) or "asyncio" not in modules:
        return ""
    from asyncio import _get_running_loop

    loop = _get_running_loop()
    if loop is None or loop is getattr(reactor, "_asyncioEventloop", None):
        return ""
    return (
        f"an asyncio loop runs here, and {type(reactor).__name__} does not; take the class of this "
        "name from zmqbridge.asyncio_backend, or run Twisted by twisted.internet.asyncioreactor"
    )


def require_fd_reactor(reactor: Any) -> Any:
    """The reactor, if it is able to watch an FD.

    Raises:
        LoopError: the reactor cannot watch an FD.
    """
    # We do not ask for IReactorFDSet: reactors that tests build from a Clock seldom declare it.
    if not hasattr(reactor, "addReader"):
        raise LoopError(
            f"{reactor!r} cannot watch file descriptors (IReactorFDSet); use the epoll, poll, "
            "select or asyncio reactor"
        )
    return reactor


def elsewhere(reactor: Any) -> bool:
    """Whether the reactor runs now, in a thread other than this one."""
    if not getattr(reactor, "running", False):
        return False
    from twisted.internet.base import ReactorBase  # a real reactor has imported this module

    # The thread of a stand-in for a reactor is not known.
    return issubclass(type(reactor), ReactorBase) and not isInIOThread()


def call_weakly(whose: Callable[[], Any], name: str, *args: Any) -> None:
    """Call a method of an object, if the object still exists."""
    if (owner := whose()) is not None:
        getattr(owner, name)(*args)


def noticing(
    canceller: Callable[[Any], object], whose: Callable[[], Any], name: str
) -> Callable[[Any], None]:
    """A canceller of delayed calls that also calls a method, if its object still exists."""

    def cancel(call: Any) -> None:
        canceller(call)
        call_weakly(whose, name, call)

    return cancel


def call_later(
    reactor: Any,
    delay: float,
    work: Callable[[], object],
    whose: Callable[[], Any],
    name: str,
) -> Any:
    """Make a delayed call; if anything cancels it, a method of an object is called.

    Programs and test runners cancel all delayed calls of a reactor, including ours.
    """
    call = reactor.callLater(delay, work)
    canceller = getattr(call, "canceller", None)
    if canceller is not None:  # the calls of a stand-in for a reactor may have none
        call.canceller = noticing(canceller, whose, name)
    return call


def call_anyway(reactor: Any, whose: Callable[[], Any], name: str) -> None:
    """Call a method of an object soon, also where delayed calls are cancelled."""
    # This is no delayed call, because some programs cancel those until there are none. And it
    # has only a weak reference, because a program may forget a socket in this way, and that
    # socket must not be kept alive.
    hand_in = getattr(reactor, "callFromThread", None)
    if hand_in is not None:
        hand_in(call_weakly, whose, name)


def revoke(call: Any) -> None:
    """Cancel a delayed call if it is pending; a stand-in for a reactor may return any object."""
    active = getattr(call, "active", None)
    if active is not None and active():
        call.cancel()
