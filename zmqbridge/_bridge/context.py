"""The contexts that the library owns, the one that sockets share among them, and how each ends.

One rule for all, told to users in docs/end.md: a context ends in a thread of its own, because
``Context.term()`` blocks until the last message has lingered out; whoever waits for that, waits as
long as the largest linger of its sockets asks; and no socket of a loop that runs is touched.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from threading import Thread
from typing import Any
from weakref import WeakSet

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge.addresses import IPC, SENT, Place, forget_all
from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.guards import Owned, in_forked_child, leave_to_parent, living, snapshot
from zmqbridge._bridge.iothreads import OwnContext
from zmqbridge.errors import ContextInUse

# How long a context without sockets is kept for the next one: programs that open one socket after
# another would otherwise start and stop libzmq's I/O thread each time.
GRACE = 0.1  # seconds
# How much longer than the lingers ask an exiting process waits: the sockets that users made in our
# context themselves may hold it up for ever.
EXIT_PATIENCE = 5.0  # seconds
# How long it waits for a linger of -1, which asks for ever.
ENDLESS = 30.0  # seconds
# Where a loop goes on in a daemon thread, nobody may ask whether its sockets have anything left.
PAUSE = 0.1  # seconds
# How often who waits on a loop looks whether it is done.
LOOK = 0.005  # seconds

# Enough for what was just sent to leave the process. Not zero: closing a TCP socket without
# linger while a large message is half on the wire can abort the process in libzmq 4.3.5.
LINGER = 100  # milliseconds
# Over ipc it is longer, unless you have asked for another; then this is in the socket's __dict__.
LINGER_IS_GIVEN = "_zmqbridge_linger"
LINGER_OF = int(zmq.LINGER)

# The contexts that belong to somebody else than `shared`: each ZmqFactory has one.
loose: WeakSet[OwnContext] = WeakSet()
# With what each ends: a context, or what holds connections open.
_endings: dict[Thread, Any] = {}


def started(thread: Thread) -> bool:
    """Start a thread, unless the process is ending and its Python (3.12) starts none any more."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def in_child_of_multiprocessing() -> bool:
    """Whether this process is one, which can be told without loading that package."""
    process: Any = sys.modules.get("multiprocessing.process")
    return (
        process is not None
        and process.parent_process() is not None
        and "multiprocessing.util" in sys.modules
    )


def closing(socket: Any, sent: int) -> int:
    """A socket closes now: note how long its context, if it is ours, has to be waited for.

    Args:
        socket: pyzmq's.
        sent: how many messages it has sent, past its own methods.

    Returns:
        Its linger, in milliseconds; 0 if nobody waits.
    """
    state = getattr(socket, "__dict__", ())
    if IPC in state:
        forget_all(socket, (sent > 0 or SENT in state) and hold(socket))
    context = socket.context
    if not isinstance(context, OwnContext):
        return 0
    try:
        linger: int = CompiledSocket.get(socket, LINGER_OF)  # type: ignore[assignment]
    except (TypeError, zmq.ZMQError):  # no socket of pyzmq's; or somebody has closed it already
        return 0
    until = inf if linger < 0 else monotonic() + linger / 1000
    if until > context.lingers_until:
        # Past pyzmq's own __setattr__, which looks for an option of that name first.
        vars(context)["lingers_until"] = until
    return linger


def hold(socket: Any, left: Place | None = None) -> bool:
    """Over ipc: have what a socket wrote read, though it closes or leaves an address.

    See `zmqbridge._bridge.ipclinger`, which is loaded now at the earliest.

    Returns:
        Whether there is anything to hold.
    """
    with suppress(ImportError, OSError):  # as when there is no descriptor left to load it
        from zmqbridge._bridge import ipclinger

        return ipclinger.hold(socket, left)
    return False


def end(
    context: zmq.Context[Any], name: str = "zmqbridge-context", exiting: bool = False
) -> Thread | None:
    """Have a context end whose sockets are closed; None if it has ended, or somebody ends it.

    At exit the sockets that users have made in it themselves are closed, too.
    """
    me = object()
    if vars(context).setdefault("_ended_by", me) is not me:
        return None  # libzmq does not survive that two do it
    ending = in_thread(lambda: _finish(context, exiting), context, name)
    if ending is None:
        context.destroy(linger=int(EXIT_PATIENCE * 1000))
    return ending


def _finish(context: zmq.Context[Any], exiting: bool) -> None:
    with suppress(zmq.ZMQError):  # somebody else has ended it meanwhile
        if exiting:
            context.destroy()
        else:
            context.term()


def in_thread(work: Callable[[], None], context: Any, name: str) -> Thread | None:
    """Do something in a thread of its own that is waited for at the end, if there can be one.

    Args:
        work: what.
        context: that ends so, or whatever else has `lingers_until`.
        name: the thread's.
    """
    # Other threads of a child of multiprocessing may outlive our last call there; what they send
    # must leave, too, before it is cut off. But nobody waits for ever.
    daemon = not in_child_of_multiprocessing() or getattr(context, "lingers_until", inf) == inf

    def run() -> None:
        try:
            work()
        finally:
            _endings.pop(threading.current_thread(), None)

    thread = Thread(target=run, name=name, daemon=daemon)
    _endings[thread] = context
    if started(thread):
        return thread
    del _endings[thread]
    return None


def _until(context: Any, begun: float) -> float:
    """When the lingers of a context's closed sockets are over, for one who waits since `begun`."""
    return min(getattr(context, "lingers_until", 0.0), begun + ENDLESS)


class SharedContext:
    """Hands out one context per process and ends it, off every loop's thread, when it is unused.

    After a fork the child gets a new context: libzmq's must not be touched there.
    """

    def __init__(self) -> None:
        self._context: OwnContext | None = None
        self._reset()
        in_forked_child(self._reset)
        atexit.register(self._at_exit)

    def _reset(self) -> None:
        leave_to_parent(None, self._context)
        # It may be taken twice, as a forgotten socket ends anywhere.
        self._changed = threading.Condition(threading.RLock())
        self._context = None
        self._users = 0
        self._reaper: Thread | None = None
        self._handed: OwnContext | None = None  # to the reaper, to be ended now
        self._exiting = False
        self._finalized = False

    def acquire(self) -> zmq.Context[Any]:
        """The context, for one more socket; pair it with `release`."""
        with self._changed:
            if self._context is None:
                self._context = OwnContext()
                self.flush_in_children()
            self._users += 1
            return self._context

    def release(self, context: zmq.Context[Any]) -> None:
        """One socket of `context` has closed."""
        with self._changed:
            if context is not self._context:  # a parent's, from before a fork
                return
            self._users -= 1
            endless = self._context.lingers_until == inf
            if self._reaper is None and (endless or self._users <= 0):
                self._reaper = in_thread(self._end_when_unused, context, "zmqbridge-context")
            elif endless:
                self._changed.notify_all()

    def _end_when_unused(self) -> None:
        with self._changed:
            context, exiting = self._unused()
            self._reaper = None
        if context is not None:
            _finish(context, exiting)

    def _unused(self) -> tuple[OwnContext | None, bool]:
        # Take the context when it is unused, or one that was handed over. Lets go of the lock.
        while self._handed is None:
            if self._context is None:
                return None, False
            if self._users <= 0:
                if not self._changed.wait_for(
                    lambda: self._handed is not None or self._users > 0, GRACE
                ):
                    context, self._context = self._context, None
                    return context, False
            elif self._context.lingers_until < inf:
                return None, False
            else:
                # At exit there must be a thread that can be waited for with a bound; by then none
                # can be started, since Python 3.12.
                self._changed.wait()
        context, self._handed = self._handed, None
        return context, self._exiting

    def _end_now(self) -> None:
        # Called with the lock held.
        context, self._context = self._context, None
        self._users = 0
        if context is not None and self._reaper is not None:
            self._handed = context
            self._changed.notify_all()
        elif context is not None:
            end(context, exiting=self._exiting)

    def end(self) -> list[Thread]:
        """Begin to end it now; returns the threads in which contexts of the library end.

        Raises:
            ContextInUse: a socket is open.
        """
        with self._changed:
            if self._users > 0:
                shown = ", ".join(f"{each!r}, made in {place}" for each, place in self._open()[:5])
                raise ContextInUse(f"close these first: {shown or 'one that is being made'}")
            self._end_now()
        return snapshot(_endings)

    def _open(self) -> list[tuple[Any, str]]:
        return [
            (each, "{}:{}".format(*each._made))  # type: ignore[attr-defined]
            for each in snapshot(living)
            if getattr(each, "_own_context", False)
            and each._context is self._context  # type: ignore[attr-defined]
            and not each._closed  # type: ignore[attr-defined]
        ]

    def flush_in_children(self) -> None:
        """Have a child of multiprocessing, which ends by ``os._exit``, do what others do at exit.

        That is so until Python 3.14 (python/cpython#114279).
        """
        if not self._finalized and in_child_of_multiprocessing():
            self._finalized = True
            # After all others: those of queues have -5.
            sys.modules["multiprocessing.util"].Finalize(None, self._at_exit, exitpriority=-100)

    def _at_exit(self) -> None:
        """Give what was sent just before the end its time, as daemon threads would be cut off."""
        begun = monotonic()
        others = _others()
        if any(_is_of_a_factory(each) for each in snapshot(living)):
            # txZMQ left these to the end of the process, which over ipc is kinder: whoever reads
            # slowly loses what lies in his kernel's buffer when a peer hangs up.
            time.sleep(PAUSE)
        with self._changed:
            unknown = self._users - len(self._open())
            left = _close_idle()
            # Where other threads run, the sockets that we know nothing of may be theirs.
            if others:
                left |= {each for each in (self._context, *snapshot(loose)) if each and _raw(each)}
                if self._context is not None and unknown > 0:
                    left.add(self._context)
            self._exiting = True
            if self._context not in left:
                self._end_now()
        for context in snapshot(loose):
            if context not in left:
                loose.discard(context)
                end(context, exiting=True)
        _wait(begun, left)


def _forget_in_child() -> None:
    for context in [*snapshot(_endings.values()), *snapshot(loose)]:
        leave_to_parent(None, context)
    _endings.clear()
    loose.clear()


in_forked_child(_forget_in_child)


def _others() -> set[int]:
    """The threads of Python that run beside this one, without those in which contexts end."""
    ending = {thread.ident for thread in snapshot(_endings)}
    return {each for each in sys._current_frames() if each not in ending} - {threading.get_ident()}


def _socket_of(each: Owned) -> zmq.Socket[Any] | None:
    socket = each._libzmq()
    return socket if isinstance(socket, CompiledSocket) else None  # tests may put in another


def _is_of_a_factory(each: Owned) -> bool:
    socket = _socket_of(each)
    return socket is not None and socket.context in loose and not each._busy()


def _close_idle() -> set[zmq.Context[Any]]:
    """Close the sockets that nobody can be using; returns the contexts of the others."""
    left = set()
    idle: list[tuple[zmq.Socket[Any], int]] = []
    for each in snapshot(living):
        socket = _socket_of(each)
        if socket is None:
            continue
        if each._busy():
            left.add(socket.context)
            leave_to_parent(socket, socket.context)
        elif isinstance(socket.context, OwnContext):
            idle.append((socket, each._pump.sent))
    for socket, _ in idle:
        with suppress(zmq.ZMQError):
            # Else its monitor's end may be closed first, and libzmq waits for that for ever.
            socket.monitor(None, 0)
    for socket, sent in idle:
        with suppress(zmq.ZMQError):
            if closing(socket, sent) < 0:
                socket.close(linger=int(ENDLESS * 1000))
            else:
                socket.close()
    return left


def _raw(context: zmq.Context[Any]) -> bool:
    """Whether a context has sockets that users have made in it themselves."""
    return len(context._sockets) > 0


def _wait(begun: float, left: Iterable[zmq.Context[Any]]) -> None:
    held = sys.modules.get("zmqbridge._bridge.ipclinger")
    for thread, context in snapshot(_endings.items()):
        if held is None or context is not held.keeper:
            thread.join(max(0, _until(context, begun) + EXIT_PATIENCE - monotonic()))
    # What was closed in these cannot be asked whether it is gone.
    pause = max((max(begun + PAUSE, _until(each, begun)) for each in left), default=0.0)
    time.sleep(max(0, pause - monotonic()))
    if held is not None:
        held.keeper.finish()


shared = SharedContext()
