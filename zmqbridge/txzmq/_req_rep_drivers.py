"""The drivers of requests and replies, which match each reply to its request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet import defer
from zmq import constants, error

from zmqbridge._bridge.calls import random_of
from zmqbridge._bridge.keepers import Deadlines
from zmqbridge.core.framing import Message
from zmqbridge.core.requests import RequestTable, request_ids
from zmqbridge.core.routes import ReplyRoutes
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import HandshakeFailed, QueueFull, ZmqBridgeError
from zmqbridge.twisted_backend._reactors import revoke
from zmqbridge.twisted_backend._telling import Tell, fail, tell
from zmqbridge.txzmq._driver import ConnectionDriver
from zmqbridge.txzmq._endpoints import ZmqEndpointType, how_and_where


def _tell_who_listens(waiters: Sequence[defer.Deferred[Any]], problem: ZmqBridgeError) -> None:
    """Give waiters an error, but let Twisted log none as unhandled, as txZMQ fires no Deferred."""
    tell(waiters, problem)
    for waiter in waiters:
        failure: Any = getattr(waiter, "result", None)
        debug: Any = getattr(waiter, "_debugInfo", None)
        if debug is not None and isinstance(getattr(failure, "value", None), type(problem)):
            debug.failResult = None  # an errback that is added later still gets the error


class Expiring(Deadlines):
    """The deadlines of a connection whose `_requests` may be another dict than before."""

    def __init__(self, driver: RequestDriver) -> None:
        super().__init__(driver.table, driver.pump, driver, driver.fail, driver.expire)
        self._requesting = driver

    def alarm(self) -> None:
        self._requesting.open_requests()
        super().alarm()

    def refused(self, error: HandshakeFailed) -> bool:
        self._requesting.open_requests()
        return super().refused(error)


class RequestDriver(ConnectionDriver):
    """The driver of requests: they wait here for a peer, and one timer serves all of them."""

    remains: list[Any]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Each waiter with its own timer, or with None if the common timer serves it.
        self.table: RequestTable[tuple[defer.Deferred[Message], Any]] = RequestTable()
        self.has_timers = False  # whether some waiters have timers of their own
        self.canceller: Callable[[Any], None] = self._cancelled  # one bound method for all requests

    def take(self, socket: Any, high: float) -> None:
        super().take(socket, high)
        self.ids: Iterator[bytes] = request_ids(random_of(socket))
        self.ours: bytes = next(self.ids)[:8]  # the prefix of each of our ids
        self.deadlines: Expiring = Expiring(self)

    def open_requests(self) -> RequestTable[tuple[defer.Deferred[Message], Any]]:
        """The table of the open requests; `_requests` may be another dict than before."""
        table, requests = self.table, self.connection._requests
        if table.by_id is not requests:
            table.by_id = requests
        return table

    def prepare(self) -> None:
        # Without this option libzmq takes requests for a peer that is not there, and we cannot take
        # them back. With it they wait here, and are removed when their time is up.
        if self.socket is not None:
            self.socket.set(constants.IMMEDIATE, 1)

    def not_taken(self, parts: Sequence[bytes]) -> None:
        kinds = [how_and_where(endpoint)[0] for endpoint in self.connection.endpoints]
        if kinds and all(kind == ZmqEndpointType.bind for kind in kinds):
            raise error.Again
        try:
            self.pump.send(parts, parts[0] if parts[0] in self.open_requests() else None)
        except QueueFull:
            raise error.Again from None

    def fail(self, entries: Sequence[Any], problem: ZmqBridgeError, tell: Tell = tell) -> None:
        """Give waiters an error; if there are many, in slices, so that the reactor runs between."""
        if self.has_timers:
            for _, timer in filter(None, entries):
                revoke(timer)

        def tell_some(entries: Sequence[Any], problem: ZmqBridgeError) -> None:
            tell([waiter for waiter, _ in filter(None, entries)], problem)

        remains, self.remains = self.remains, []
        fail(self.reactor, entries, problem, tell_some, remains)

    def end_requests(self, problem: ZmqBridgeError) -> None:
        """Close all open requests; a program that keeps no Deferred of theirs sees no error."""
        entries = self.open_requests().close(self.remains)
        self.connection._requests, self.deadlines.timed = self.table.by_id, self.table.timed
        self.fail(entries, problem, _tell_who_listens)

    def forget(self, msgId: bytes) -> tuple[defer.Deferred[Message] | None, bool]:
        """Close a request.

        Returns:
            The waiter of the request, None if it is not open, and whether the request was still in
            the queue.
        """
        waiter, timer = self.open_requests().forget(msgId) or (None, None)
        revoke(timer)
        queued = self.pump.discard(msgId)
        self.deadlines.disarm_if_unused()
        return waiter, queued

    def _cancelled(self, waiter: Any) -> None:
        self.connection._cancel(waiter.request_id)

    def expire(self, msgId: bytes) -> None:
        """The time of a request is over: have the connection fail it, which may be overridden."""
        try:
            self.connection._timeoutRequest(msgId)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:
            self.report(problem)

    def statistics(self) -> Statistics:
        table = self.open_requests()
        return super().statistics()._replace(open_requests=len(table), late_replies=table.late)


class ReplyDriver(ConnectionDriver):
    """The driver of replies, which keeps the route of each reply."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.routes: ReplyRoutes = ReplyRoutes()

    def open_routes(self) -> ReplyRoutes:
        """The routes of the open requests; `_routingInfo` may be another dict than before."""
        routes, info = self.routes, self.connection._routingInfo
        if routes.unanswered is not info:
            routes.unanswered = info
        return routes
