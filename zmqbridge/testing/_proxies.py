"""SimEngine: a proxy in a simulated process, which passes messages as its sockets have news."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge import proxysockets
from zmqbridge.errors import ProxyFailed, SocketClosed
from zmqbridge.proxies import ProxyStatistics

if TYPE_CHECKING:
    from zmqbridge._bridge.proxyengine import Authenticate
    from zmqbridge.testing._context import SimContext

COUNTS = len(ProxyStatistics._fields)
# Where the counts of a side begin in `ProxyStatistics`: what it received, and what it sent.
FRONT, BACK = (0, 2), (4, 6)
DONTWAIT, EVENTS = int(zmq.DONTWAIT), int(zmq.EVENTS)
POLLIN, POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)


class SimEngine:
    """What `zmqbridge._bridge.proxyengine.Engine` is, in the place of its thread.

    It passes a message only if there is room for it, so it never waits for a peer in the middle of
    a send, and answers at once.

    Args:
        context: a context of its own, of the process that it belongs to.
        kind, sides, authenticate: as of `Engine`.

    Attributes:
        authenticator, ended, paused, stopping, sockets: as of `Engine`.
    """

    forked = False

    def __init__(
        self,
        context: SimContext,
        kind: str,
        sides: dict[str, Any],
        authenticate: Authenticate | None = None,
    ) -> None:
        self.context = context
        self.authenticator: Any = None
        try:
            if authenticate is not None:
                self.authenticator = authenticate(context)
            self.sockets: proxysockets.Opened = proxysockets.open_all(
                context, kind, sides, authenticated=authenticate is not None
            )
        except BaseException:
            if self.authenticator is not None:
                self.authenticator.close()
            context.term()
            raise
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()
        self.paused: bool = False
        self.stopping: bool = False
        self._process = context.node.context
        self._counts = [0] * COUNTS
        self._due = False
        for socket in self.sockets[:2]:
            vars(socket)["bell"] = self
        self.set()

    # It takes the place of its sockets' `Bell`.

    def set(self) -> None:
        """Pass messages soon, as the FD of a socket is readable."""
        if not self._due:
            self._due = True
            self.context.node.network.after(0, self._pass)

    def clear(self) -> None:
        """Do nothing: the FD of a socket is not readable any more."""

    def close(self) -> None:
        """Do nothing: a socket was closed."""

    def _pass(self) -> None:
        # It stays due until it is done: time may pass within a send, and another `_pass` in the
        # middle of a message would mix its parts with those of others.
        front, back = self.sockets[:2]
        try:
            while not (self.paused or self.ended.done()):
                forth = self._passed(front, back, FRONT[0], BACK[1])
                if not (self._passed(back, front, BACK[0], FRONT[1]) or forth):
                    break
        except zmq.ZMQError as error:
            if not self.ended.done():
                self._fail(error)
        self._due = False

    def _passed(self, source: Any, target: Any, received: int, sent: int) -> bool:
        if not (target.get(EVENTS) & POLLOUT and source.get(EVENTS) & POLLIN):
            return False
        message = source.recv_multipart(DONTWAIT)
        size = sum(map(len, message))
        for at in (received, sent):
            self._counts[at] += len(message)
            self._counts[at + 1] += size
        if self.sockets.capture is not None:
            self.sockets.capture.send_multipart(message, DONTWAIT)
        target.send_multipart(message, DONTWAIT)
        return True

    def _fail(self, error: zmq.ZMQError) -> None:
        node = self.context.node
        self._close()
        if node.alive and node.context is self._process:
            failed = ProxyFailed(f"the proxy has ended by itself: {error}")
            failed.__cause__ = error
            self.ended.set_exception(failed)
        else:
            self.ended.set_result(None)  # its process was killed

    def _close(self) -> None:
        for socket in self.sockets:
            if socket is not None:
                with suppress(zmq.ZMQError):
                    proxysockets.close([socket])
        self.context.term()

    # What is asked of it.

    @staticmethod
    def call(method: Callable[[], Any]) -> Future[Any]:
        """Call a method at once; what it returns or raises is in the future."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(method())
        except Exception as error:
            future.set_exception(error)
        return future

    def statistics(self) -> ProxyStatistics:
        """What has passed so far.

        Raises:
            ProxyFailed, SocketClosed: the proxy has ended.
        """
        self._check()
        return ProxyStatistics(*self._counts)

    def pause(self) -> None:
        """Let nothing pass; raises as `statistics`."""
        self._check()
        self.paused = True

    def resume(self) -> None:
        """Let messages pass again; raises as `statistics`."""
        self._check()
        if self.paused:
            self.paused = False
            self.set()

    def stop(self) -> None:
        """End the proxy."""
        if not self.ended.done():
            self.stopping = True
            self._close()
            self.ended.set_result(None)

    def _check(self) -> None:
        if self.ended.done():
            self.ended.result()
            raise SocketClosed("the proxy was closed")
