"""Linked: how objects that have a link are made, shown and called.

A constructor that raises leaves an object without a link. A debugger or a test runner shows such an
object, and a subclass may close it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from zmqbridge._bridge.link import Link
from zmqbridge.errors import StateUnknown

if TYPE_CHECKING:
    from zmqbridge._bridge.monitoring import Monitor

CO_VARARGS = 4  # see `inspect`, which takes a while to import

# Of the arguments that every socket takes.
DEFAULTS: dict[str, Any] = Link.open.__kwdefaults__ or {}

P = ParamSpec("P")
Result = TypeVar("Result")


class Shown:
    """The ``__signature__`` of a class: all that its constructor takes, for ``help()``.

    It is made when `inspect` or ``help()`` asks for it, and costs nothing before.
    """

    def __get__(self, instance: object, owner: type) -> object:
        from zmqbridge._bridge.signatures import signature

        made = signature(owner, DEFAULTS)
        if made is None:  # a subclass of a user's, with a constructor of its own
            raise AttributeError("__signature__")
        return made


def by_name(cls: type, *given: object, **arguments: object) -> Any:
    """The ``__new__`` of a class whose constructor takes addresses by name only."""
    # Python's own error comes later, and does not say what to write instead.
    if given:
        code = getattr(cls.__init__, "__code__", None)  # type: ignore[misc]
        if code and len(given) >= code.co_argcount and not code.co_flags & CO_VARARGS:
            from zmqbridge._bridge.signatures import refuse_positional

            refuse_positional(cls, given[code.co_argcount - 1 :], DEFAULTS)
    return object.__new__(cls)


def forwarded(
    method: Callable[Concatenate[Link, P], Result],
) -> Callable[Concatenate[Any, P], Result]:
    """A method of a link, for the class of which each object has one."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        try:
            link = self._link
        except AttributeError:
            refused: Result = unmade(self, method)
            return refused
        return method(link, *args, **kwargs)

    return call


def unmade(owner: Any, method: object) -> Any:
    """Refuse a call on an object without a link, unless the call only closes it."""
    if method is not Link.close:
        raise owner.closed_error(f"{repr_of(owner)}: its constructor has raised; make a new one")


def is_closed(owner: object) -> bool:
    """Whether an object is closed, or has no link."""
    link = vars(owner).get("_link")
    return link is None or link.closed


def repr_of(owner: object) -> str:
    """What `repr` says of an object."""
    link = vars(owner).get("_link")
    return f"<{type(owner).__name__} not made>" if link is None else repr(link)


def only_async(owner: Any) -> TypeError:
    """Close what was given to ``with``, as no other code will; the error for its user."""
    text = f"{owner!r} takes time to close: write `async with`"
    owner.close()
    return TypeError(text)


def monitor_of_peers(link: Link) -> Monitor:
    """The monitor of a socket, if it can tell whether a peer is there.

    Raises:
        StateUnknown: it cannot.
    """
    # Every call that comes too late raises, even if it has missed no handshake.
    if not (link.monitor.complete if link.monitor else not link.addresses):
        raise StateUnknown(
            f"{link!r} had addresses before it was monitored, so a peer may be there of which "
            "nothing was told: make it with monitor=True"
        )
    monitor = link.attach()
    monitor.link.catch_up()
    if (
        not monitor.connections.up
        and link.addresses
        and all(name.startswith("inproc:") for name in link.addresses)
    ):
        raise StateUnknown(f"{link!r}: libzmq does not tell of peers at inproc addresses")
    return monitor
