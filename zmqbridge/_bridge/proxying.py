"""Proxying: libzmq's steerable proxy in a thread of its own, and what steers it from any loop.

Three facts about libzmq decide how it is steered. In 4.3.5 the commands PAUSE and RESUME are mixed
up, and every command is answered. A proxy that a command has paused uses a whole core while
messages wait. And no command reaches a proxy that waits in a send for a peer. So a pause ends
`zmq_proxy` and keeps its sockets; and a proxy that does not end by the command ends with its
context.
"""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar
from weakref import WeakSet

import zmq

from zmqbridge._bridge import proxysockets
from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.context import end, loose
from zmqbridge._bridge.endings import started
from zmqbridge._bridge.guards import calling_place, in_forked_child, leave_to_parent, snapshot
from zmqbridge.errors import ProxyFailed, ProxyStalled, SocketClosed, UsedAfterFork
from zmqbridge.proxies import ProxyStatistics

Result = TypeVar("Result")

# How long a proxy may take to answer; it does at once, unless it waits for a peer.
COMMAND_TIMEOUT = 1.0  # seconds
# How long it may take to end by the command, before its context ends.
STUCK = 0.2  # seconds
# How long it may take to end when its context ends, which it cannot refuse.
LAST = 5.0  # seconds
STEP = 20  # milliseconds

ASK, END_PROXY = b"STATISTICS", b"TERMINATE"
# No libzmq has this command. One that answers it also mixes up the next two.
UNKNOWN = b"?"
HALTS = {False: (b"PAUSE", b"RESUME"), True: (b"RESUME", b"PAUSE")}
# For our thread, when zmq_proxy has ended.
GO_ON, END_THREAD = b"GO", b"END"
COUNTS = len(ProxyStatistics._fields)
NOTHING = ProxyStatistics(*[0] * COUNTS)

engines: WeakSet[Engine] = WeakSet()


def in_thread(work: Callable[[], Result], name: str = "zmqbridge-steering") -> Future[Result]:
    """What `work` returns in a thread of its own.

    A pool would not do: it may be full of work that waits for messages through the proxy.
    """
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()  # the caller may give up, and the work goes on

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    if not started(Thread(target=run, name=name, daemon=True)):
        run()  # the process is exiting
    return future


class Engine:
    """A proxy in its thread; `statistics`, `pause`, `resume` and `stop` block for a second at most.

    - commands: `statistics`, `pause`, `resume`, `stop`; from any thread but a loop's
    - output: `ended`, which has the error if it was not stopped

    Raises:
        What `proxysockets.open_all` raises.
    """

    def __init__(self, kind: str, sides: dict[str, Any]) -> None:
        self.context = proxysockets.new_context()
        self.sockets = proxysockets.open_all(self.context, kind, sides)
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()
        self._lock = threading.Lock()
        self._before = NOTHING  # what had passed when it was paused last
        self._owed = 0  # answers that have not come yet
        self._echoes = 0
        self._mixed_up: bool | None = None
        self.paused = False
        self.stopping = self.forked = False
        engines.add(self)
        self._thread = Thread(target=self._run, name="zmqbridge-proxy", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._close(ending=False)
            raise

    # Its own thread.

    def _run(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # A signal would make zmq_proxy begin anew, with counts of zero.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        error: BaseException | None = None
        front, back, capture, steered, _ = self.sockets
        try:
            while True:
                zmq.proxy_steerable(front, back, capture, steered)
                if steered.recv() == END_THREAD:
                    break
        except BaseException as caught:
            error = caught
        # Another thread ends the context already: if two did, libzmq would abort the process.
        self._close(ending=isinstance(error, zmq.ContextTerminated))
        if error is None or self.stopping:
            self.ended.set_result(None)
        else:
            failed = ProxyFailed(f"the proxy has ended by itself: {error}")
            failed.__cause__ = error
            self.ended.set_exception(failed)

    def _close(self, *, ending: bool) -> None:
        *sockets, steered, steering = self.sockets
        proxysockets.close(each for each in sockets if each is not None)
        steered.close()
        with self._lock:
            steering.close()
        if ending:
            loose.discard(self.context)
        else:
            end(self.context, "zmqbridge-proxy-context")

    # Any other thread.

    def statistics(self) -> ProxyStatistics:
        """What has passed so far.

        Raises:
            ProxyStalled: it waits for a peer.
            ProxyFailed, SocketClosed: it has ended.
        """
        with self._lock:
            return self._before if self.paused else self._added(self._ask())

    def pause(self) -> None:
        """Let nothing pass; raises as `statistics`, and then it goes on."""
        with self._lock:
            if self.paused:
                return
            if self._mixed_up is None:
                self._echoes = 0
                self._say(UNKNOWN)
                self._ask()
                self._mixed_up = self._echoes > 0
            halt, proceed = HALTS[self._mixed_up]
            self._say(halt)
            try:
                self._before = self._added(self._ask())  # exact, as it is halted
            except ProxyStalled:
                self._say(proceed)
                raise
            self._say(END_PROXY)
            self.paused = True

    def resume(self) -> None:
        """Let messages pass again; raises `ProxyFailed` and `SocketClosed` as `statistics`."""
        with self._lock:
            if self.paused:
                self._say(GO_ON)
                self.paused = False

    def stop(self) -> None:
        """End it; it has ended when this returns."""
        self.stopping = True
        with self._lock, suppress(SocketClosed, ProxyFailed):
            if not self.paused:
                self._say(END_PROXY)
            self._say(END_THREAD)
        self._thread.join(STUCK)
        if self._thread.is_alive():
            end(self.context, "zmqbridge-proxy-context")
            self._thread.join(LAST)

    def _added(self, counts: ProxyStatistics) -> ProxyStatistics:
        return ProxyStatistics(*map(sum, zip(self._before, counts, strict=True)))

    def _say(self, word: bytes) -> None:
        try:
            self.sockets.steering.send(word)
        except zmq.ZMQError as error:
            raise self._over(error) from None

    def _ask(self) -> ProxyStatistics:
        # Answers to earlier calls, which gave up, may still come: the last one is ours.
        steering = self.sockets.steering
        self._say(ASK)
        self._owed += 1
        deadline = monotonic() + COMMAND_TIMEOUT
        try:
            while monotonic() < deadline and not self.stopping:
                if not steering.poll(STEP):
                    continue
                answer = steering.recv_multipart()
                if len(answer) != COUNTS:
                    self._echoes += 1
                    continue
                self._owed -= 1
                if not self._owed:
                    return ProxyStatistics(
                        *(int.from_bytes(each, sys.byteorder) for each in answer)
                    )
        except zmq.ZMQError as error:
            raise self._over(error) from None
        if self.stopping:
            raise self._over(None)
        raise ProxyStalled(COMMAND_TIMEOUT)

    def _over(self, error: BaseException | None) -> Exception:
        if self.stopping:
            return SocketClosed("the proxy was closed")
        return ProxyFailed(f"the proxy has ended by itself: {error}")

    def disown(self) -> None:
        """This process is a forked child: the proxy is the parent's."""
        self.forked = True
        for socket in self.sockets:
            if socket is not None:
                leave_to_parent(socket, self.context)


def _in_child() -> None:
    for engine in snapshot(engines):
        engine.disown()
    engines.clear()


in_forked_child(_in_child)


class Proxying:
    """Passes messages between two sockets, in a thread of its own, outside the loop.

    It opens when it is made, and works also while the loop does not run. It has a libzmq context
    of its own, `context`, where sockets that reach it by inproc and an authenticator belong.

    Args:
        kind: ``"requests"`` (ROUTER and DEALER), ``"pubsub"`` (XSUB and XPUB) or ``"pipeline"``
            (PULL and PUSH).
        front: where clients, publishers or pushers connect: one address or several to bind to, or
            a `zmqbridge.proxies.Side`.
        back: where workers, subscribers or pullers connect, likewise.
        capture: where all that passes is published, for SUB sockets; None is nowhere. A reader of
            it that is slow misses messages, and does not hold up the proxy.

    Raises:
        TypeError, ValueError: the kind or a side is not valid.
        AddressError: an address is malformed, in use, or not of this host.
        OptionError: an option cannot be set, or would end the proxy.
        ResourcesExhausted: there is no room for its sockets.
        AuthenticationMissing: see `zmqbridge.security`; an authenticator needs `context`, so give
            a proxy that has one ``CurveServer(…, any_key=True)``, or a server behind it.
    """

    def __init__(self, kind: str, front: Any, back: Any, capture: Any = None) -> None:
        self._made = calling_place()
        self._closing: Future[None] | None = None
        self._kind = kind
        self._engine = Engine(kind, {"front": front, "back": back, "capture": capture})
        sockets = self._engine.sockets
        self._places = [proxysockets.addresses_of(each) for each in sockets[:3]]

    @property
    def kind(self) -> str:
        """What it was made as."""
        return self._kind

    @property
    def front_addresses(self) -> tuple[str, ...]:
        """Where the front is bound and connected; a wildcard port is shown as the real one."""
        return tuple(self._places[0])

    @property
    def back_addresses(self) -> tuple[str, ...]:
        """The same of the back."""
        return tuple(self._places[1])

    @property
    def capture_addresses(self) -> tuple[str, ...]:
        """The same of the capture."""
        return tuple(self._places[2])

    @property
    def context(self) -> zmq.Context[Any]:
        """Its own context, which ends with it."""
        return self._engine.context

    @property
    def paused(self) -> bool:
        """Whether it was paused."""
        return self._engine.paused

    @property
    def closed(self) -> bool:
        """Whether it was closed, by you or because it has failed; or never made."""
        engine = self._made_engine()
        return engine is None or self._closing is not None or engine.ended.done()

    def _made_engine(self) -> Engine | None:
        """None if the constructor has raised."""
        return vars(self).get("_engine")

    def _call(self, method: Callable[[], Result]) -> Future[Result]:
        if self._engine.forked:
            raise UsedAfterFork(f"{self!r} belongs to the parent process: make a new one here")
        if self._closing is not None:
            raise SocketClosed(f"{self!r}: make a new one")
        if self._engine.ended.done():
            self._engine.ended.result()
        return in_thread(method)

    def _stop(self) -> Future[None]:
        engine = self._made_engine()
        if engine is None or engine.forked:
            self._closing = Future()
            self._closing.set_result(None)
        elif self._closing is None:
            self._closing = in_thread(engine.stop)
        return self._closing

    def __repr__(self) -> str:
        if self._made_engine() is None:
            return f"<{type(self).__name__} not made>"
        where = " - ".join(", ".join(each) for each in self._places[:2])
        return f"<{type(self).__name__} {self._kind} {'closed' if self.closed else where}>"

    # When the process ends, the names of this module may be None already (CPython without the GIL).
    def __del__(self, warn: Any = warnings.warn, is_finalizing: Any = sys.is_finalizing) -> None:
        if self.closed or self._engine.forked:
            return
        place = "{}:{}".format(*self._made)
        warn(f"unclosed {self!r}, made in {place}", ResourceWarning, stacklevel=2, source=self)
        if not is_finalizing():  # when no thread would run any more
            self._stop()
