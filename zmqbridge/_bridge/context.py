"""The contexts that the library owns, the one that sockets share among them, and how each ends.

There is one rule for all of them, and docs/end.md tells it to users. A context ends in a thread of
its own, because ``Context.term()`` blocks until the lingers of its sockets are over. A caller that
waits for this waits as long as the largest of these lingers. No socket of a running loop is
touched.
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

from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.endings import endings, in_child_of_multiprocessing, in_thread
from zmqbridge._bridge.guards import Owned, in_forked_child, leave_to_parent, open_sockets, snapshot
from zmqbridge._bridge.iothreads import OwnContext
from zmqbridge._bridge.lingers import closing
from zmqbridge.errors import ContextInUse

# How long a context without sockets is kept for the next one: programs that open one socket after
# another would otherwise start and stop libzmq's I/O thread each time.
GRACE = 0.1  # seconds
# An exiting process waits this much longer than the lingers, and then no more: a socket that a
# user made in our context may delay the end of the context for ever.
EXIT_TIMEOUT = 5.0  # seconds
# How long an exiting process waits for a linger of -1, which means for ever.
ENDLESS = 30.0  # seconds
# How long an exiting process waits for a loop that still runs in a daemon thread. Its sockets may
# not be asked from here whether they have messages left to send.
PAUSE = 0.1  # seconds
# How often a caller that waits on a loop checks whether the context has ended.
LOOK = 0.005  # seconds

# Our contexts that do not belong to `shared`: each ZmqFactory has one.
loose: WeakSet[OwnContext] = WeakSet()


def end(
    context: zmq.Context[Any], name: str = "zmqbridge-context", exiting: bool = False
) -> Thread | None:
    """End a context whose sockets are closed, in a thread, and return the thread.

    At exit this also closes the sockets that users have made in the context themselves.

    Returns:
        The thread. None if another call has ended the context or is ending it, or if no thread can
        be started any more: then the context has ended before this returns.
    """
    me = object()
    if vars(context).setdefault("_zmqbridge_ended_by", me) is not me:
        return None  # when two threads end one context, libzmq aborts the process
    ending = in_thread(lambda: _finish(context, exiting), context, name)
    if ending is None:
        context.destroy(linger=int(EXIT_TIMEOUT * 1000))
    return ending


def _finish(context: zmq.Context[Any], exiting: bool) -> None:
    with suppress(zmq.ZMQError):  # other code has ended the context
        if exiting:
            context.destroy()
        else:
            context.term()


def _until(context: Any, begun: float) -> float:
    """When the lingers of a context's closed sockets are over, for a caller waiting since `begun`.

    The result is on time.monotonic.
    """
    return min(getattr(context, "lingers_until", 0.0), begun + ENDLESS)


class SharedContext:
    """Hands out one context per process; ends it, in no loop's thread, when no socket uses it.

    After a fork the child gets a new context: the parent's must not be touched there.
    """

    def __init__(self) -> None:
        # Called with the argument ``context=``, returns the context in which the socket is made.
        # While `zmqbridge.testing` runs a program, it returns a simulated one.
        self.stand_in: Callable[[zmq.Context[Any] | None], zmq.Context[Any] | None] = lambda it: it
        self._context: OwnContext | None = None
        self._reset()
        in_forked_child(self._reset)
        atexit.register(self.at_exit)

    def _reset(self) -> None:
        leave_to_parent(None, self._context)
        # One thread may take the lock twice: the garbage collector can end a forgotten socket
        # anywhere, also while the lock is held.
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
        """Note that one socket of `context` has closed."""
        with self._changed:
            if context is not self._context:  # the parent's, made before a fork
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
        # Take the context when it is unused, or the one that was handed over. Releases the lock
        # while it waits.
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
                # At exit we wait for a thread, with a bound, and since Python 3.12
                # none can be started by then. So this one stays.
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
        """Begin to end the context now; returns the threads in which contexts of the library end.

        Raises:
            ContextInUse: a socket is open.
        """
        with self._changed:
            if self._users > 0:
                found = self._open()
                shown = ", ".join(f"{each!r}, made in {place}" for each, place in found[:5])
                more = f", and {len(found) - 5} more" if len(found) > 5 else ""
                raise ContextInUse(f"close these first: {shown or 'one that is being made'}{more}")
            self._end_now()
        return snapshot(endings)

    def _open(self) -> list[tuple[Any, str]]:
        return [
            (each, "{}:{}".format(*each.made))  # type: ignore[attr-defined]
            for each in snapshot(open_sockets)
            if getattr(each, "own_context", False)
            and each.context is self._context  # type: ignore[attr-defined]
            and not each.closed  # type: ignore[attr-defined]
        ]

    def flush_in_children(self) -> None:
        """Make a child of multiprocessing do at its end what other processes do at exit.

        Such a child ends by ``os._exit``, which calls no exit handlers. That is so until
        Python 3.14 (python/cpython#114279).
        """
        if not self._finalized and in_child_of_multiprocessing():
            self._finalized = True
            # After all other finalizers: those of queues have -5.
            sys.modules["multiprocessing.util"].Finalize(None, self.at_exit, exitpriority=-100)

    def at_exit(self) -> None:
        """The process ends: wait until what was sent just before has left.

        The threads in which contexts end are daemons, so without this they would be cut off.
        """
        begun = monotonic()
        others = _others()
        if any(_is_of_a_factory(each) for each in snapshot(open_sockets)):
            # txZMQ left these sockets to the end of the process, and over ipc that loses less: a
            # receiver that reads slowly loses the contents of its kernel buffer when its peer
            # hangs up.
            time.sleep(PAUSE)
        with self._changed:
            unknown = self._users - len(self._open())
            left = _close_idle()
            # Where other threads run, sockets that we do not know of may belong to them.
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
    for context in [*snapshot(endings.values()), *snapshot(loose)]:
        leave_to_parent(None, context)
    endings.clear()
    loose.clear()


in_forked_child(_forget_in_child)


def _others() -> set[int]:
    """The idents of Python's other threads, without the threads in which contexts end."""
    ending = {thread.ident for thread in snapshot(endings)}
    return {each for each in sys._current_frames() if each not in ending} - {threading.get_ident()}


def _socket_of(each: Owned) -> zmq.Socket[Any] | None:
    socket = each.libzmq()
    return socket if isinstance(socket, CompiledSocket) else None  # tests may put in a mock


def _is_of_a_factory(each: Owned) -> bool:
    socket = _socket_of(each)
    return socket is not None and socket.context in loose and not each.busy()


def _close_idle() -> set[zmq.Context[Any]]:
    """Close the sockets that no thread can be using; returns the contexts of the others."""
    left = set()
    idle: list[tuple[zmq.Socket[Any], int]] = []
    for each in snapshot(open_sockets):
        socket = _socket_of(each)
        if socket is None:
            continue
        if each.busy():
            left.add(socket.context)
            leave_to_parent(socket, socket.context)
        elif isinstance(socket.context, OwnContext):
            idle.append((socket, each.sent))
    for socket, _ in idle:
        with suppress(zmq.ZMQError):
            # Otherwise the reading end of its monitor may be closed first, and then libzmq waits
            # for that end for ever.
            socket.monitor(None, 0)
    for socket, sent in idle:
        with suppress(zmq.ZMQError):
            if closing(socket, sent) < 0:
                socket.close(linger=int(ENDLESS * 1000))
            else:
                socket.close()
    return left


def _raw(context: zmq.Context[Any]) -> bool:
    """Whether a context has sockets that a user has made in it directly."""
    return len(context._sockets) > 0


def _wait(begun: float, left: Iterable[zmq.Context[Any]]) -> None:
    held = sys.modules.get("zmqbridge._bridge.ipclinger")
    for thread, context in snapshot(endings.items()):
        if held is None or context is not held.copies:
            thread.join(max(0, _until(context, begun) + EXIT_TIMEOUT - monotonic()))
    # We cannot ask whether the closed sockets of these are gone.
    pause = max((max(begun + PAUSE, _until(each, begun)) for each in left), default=0.0)
    time.sleep(max(0, pause - monotonic()))
    if held is not None:
        held.copies.finish()


shared = SharedContext()
