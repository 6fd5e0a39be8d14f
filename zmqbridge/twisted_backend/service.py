"""SocketService: sockets as an IService, opened when it starts and emptied when it stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from zmqbridge._bridge import misspelt
from zmqbridge.core._checks import check_optional_timeout
from zmqbridge.twisted_backend._base import Socket
from zmqbridge.twisted_backend._reactors import global_reactor
from zmqbridge.twisted_backend._sockets import Replier


class SocketService(Service):
    """One socket or several, which are open as long as a service runs.

    When the service stops, each `Replier` takes no new requests and answers those that it has; then
    each socket sends its queued messages, and is closed. The service has stopped when all of that
    is done. It can be started again, with new sockets.

    Args:
        open: called with the reactor when the service starts. It makes the sockets, calls `serve`
            where they serve, and returns one socket or an iterable of them.
        timeout: how many seconds all handlers together may take at the end, and then all send
            queues together; None waits as long as it takes. A warning in the log says how many
            messages are still queued then, in which socket.
        reactor: None is the global one.

    Attributes:
        sockets: the sockets while the service runs, otherwise empty.
        left: the requests that were not answered when the service last stopped; a warning in the
            log says how many there are.

    Raises:
        TypeError: `open` cannot be called.
        TypeError, ValueError: the timeout is no number, or negative.
    """

    log: ClassVar[Logger] = Logger("zmqbridge.twisted_backend.SocketService")

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __init__(
        self,
        open: Callable[[Any], Any],
        *,
        timeout: float | None = 5.0,
        reactor: Any = None,
    ) -> None:
        if not callable(open):
            raise TypeError(f"open={open!r} cannot be called: give a function that makes sockets")
        self._open = open
        self._timeout = timeout
        check_optional_timeout(timeout)
        self._reactor = reactor
        self.sockets: tuple[Any, ...] = ()
        self.left: list[Any] = []
        self._leaving = 0
        self._stops: list[Deferred[None]] = []

    def startService(self) -> None:
        """Open the sockets; one that runs already is left as it is.

        Raises:
            TypeError: `open` returned something else, e.g. a Deferred: it has to make them at once.
            Exception: what `open` raises. Then the service does not run.
        """
        if self.running:
            return
        opened = self._open(global_reactor() if self._reactor is None else self._reactor)
        one = isinstance(opened, Deferred | Socket) or not isinstance(opened, Iterable)
        sockets = (opened,) if one else tuple(opened)
        for wrong in sockets:
            if not isinstance(wrong, Socket):
                for each in sockets:
                    if isinstance(each, Socket):
                        each.close()
                if iscoroutine(wrong):
                    wrong.close()  # otherwise Python warns that it was never awaited
                raise TypeError(f"open returned {wrong!r}: return sockets of twisted_backend")
        self.sockets, self.left = sockets, []
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Deferred[None]:
        """Answer, send and close, as described above; fires when all sockets are closed."""
        super().stopService()  # type: ignore[no-untyped-call]
        sockets, self.sockets = self.sockets, ()
        stopped: Deferred[None] = Deferred()
        self._stops.append(stopped)
        self._leaving += 1
        Deferred.fromCoroutine(self._leave(sockets)).addBoth(self._have_left)
        return stopped

    def _have_left(self, result: Any) -> None:
        # A second stopService before the first has ended waits for the same end.
        self._leaving -= 1
        if not self._leaving:
            stops, self._stops = self._stops, []
            for each in stops:
                each.callback(result)

    async def _leave(self, sockets: tuple[Socket, ...]) -> None:
        open_ones = [each for each in sockets if not each.closed]
        repliers = [each for each in open_ones if isinstance(each, Replier)]
        for stopping in [each.stop_serving(self._timeout) for each in repliers]:
            self.left += await stopping
        if self.left:
            self.log.warn("{count} requests were not answered", count=len(self.left))
        # All at once: sockets whose peers are away share one timeout.
        await DeferredList([Deferred.fromCoroutine(self._empty(each)) for each in open_ones])

    async def _empty(self, socket: Socket) -> None:
        try:
            left = 0 if socket.closed else await socket.drain(self._timeout)
            if left:
                self.log.warn(
                    "{count} messages of {socket!r} are still queued", count=left, socket=socket
                )
            await socket.aclose()
        except Exception:
            self.log.failure("error in {socket!r}", Failure(), socket=socket)
