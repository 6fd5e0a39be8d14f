"""Engine: libzmq's steerable proxy in a thread of its own, steered from other threads.

Three facts about libzmq decide how we steer it. In 4.3.5 the commands PAUSE and RESUME are mixed
up, and every command has an answer. A proxy that is paused by the command uses a whole core while
messages wait. A proxy that waits for a peer, in a send, reads no command. So our pause ends
`zmq_proxy` and keeps its sockets; and if a proxy does not end by the command, we end its context.
"""

from __future__ import annotations

import signal
import sys
import threading
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
from zmqbridge._bridge.guards import in_forked_child, leave_to_parent, snapshot
from zmqbridge.errors import ProxyFailed, ProxyStalled, SocketClosed
from zmqbridge.proxies import ProxyStatistics

# Makes an authenticator in a context.
Authenticate = Callable[[zmq.Context[Any]], Any]

# How long a proxy may take to answer; it answers at once, unless it waits for a peer.
COMMAND_TIMEOUT = 1.0  # seconds
# How long a proxy may take to end by the command, before we end its context.
STUCK = 0.2  # seconds
# How long a proxy may take to end after the end of its context.
LAST = 5.0  # seconds
STEP = 20  # milliseconds

ASK, END_PROXY = b"STATISTICS", b"TERMINATE"
# No libzmq has this command. A libzmq that answers it also mixes up the next two.
UNKNOWN = b"?"
HALTS = {False: (b"PAUSE", b"RESUME"), True: (b"RESUME", b"PAUSE")}
# For our thread, when zmq_proxy has ended.
GO_ON, END_THREAD = b"GO", b"END"
COUNTS = len(ProxyStatistics._fields)
NOTHING = ProxyStatistics(*[0] * COUNTS)

Result = TypeVar("Result")

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

    Args:
        kind, sides: as of `proxysockets.open_all`.
        authenticate: makes an authenticator, which must exist before the sockets; or None.

    Attributes:
        authenticator: the authenticator, or None. Its own loop closes it.

    Raises:
        What `proxysockets.open_all` and `authenticate` raise.
    """

    def __init__(
        self, kind: str, sides: dict[str, Any], authenticate: Authenticate | None = None
    ) -> None:
        self.context = proxysockets.new_context()
        self.authenticator: Any = None
        try:
            if authenticate is not None:
                self.authenticator = authenticate(self.context)
            self.sockets = proxysockets.open_all(
                self.context, kind, sides, authenticated=authenticate is not None
            )
        except BaseException:
            if self.authenticator is not None:
                self.authenticator.close()
            end(self.context, "zmqbridge-proxy-context")
            raise
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()
        # At exit no thread starts any more: then a signal handler can meet what it has interrupted.
        self._lock = threading.RLock()
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
            # A signal would make zmq_proxy begin again, with counts of zero.
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

    @staticmethod
    def call(method: Callable[[], Result]) -> Future[Result]:
        """Call one of these methods in a thread, as it may block for a second."""
        return in_thread(method)

    def statistics(self) -> ProxyStatistics:
        """Count what has passed so far.

        Raises:
            ProxyStalled: the proxy waits for a peer.
            ProxyFailed, SocketClosed: the proxy has ended.
        """
        with self._lock:
            return self._before if self.paused else self._added(self._ask())

    def pause(self) -> None:
        """Let nothing pass; raises as `statistics`, and then the proxy goes on."""
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
        """End the proxy, and wait until it has ended."""
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
        """Leave the sockets to the parent: this process is a forked child."""
        self.forked = True
        for socket in self.sockets:
            if socket is not None:
                leave_to_parent(socket, self.context)


def _in_child() -> None:
    for engine in snapshot(engines):
        engine.disown()
    engines.clear()


in_forked_child(_in_child)
