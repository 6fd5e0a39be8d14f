"""Requests and replies over DEALER and ROUTER, many at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import inf
from typing import Any

from twisted.internet import defer
from zmq import constants, error

from zmqbridge._bridge.keepers import Deadlines
from zmqbridge.core.framing import BytesLike, Message, split_request
from zmqbridge.core.requests import RequestTable, request_ids
from zmqbridge.core.routes import ReplyRoutes
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import (
    HandshakeFailed,
    MalformedMessage,
    QueueFull,
    RequestTimeout,
    SocketClosed,
    ZmqBridgeError,
)
from zmqbridge.twisted_backend._clocks import steady
from zmqbridge.twisted_backend._reactors import revoke
from zmqbridge.twisted_backend._telling import Tell, fail, tell
from zmqbridge.twisted_backend._waiters import Reply
from zmqbridge.txzmq.connection import (
    DrivenBy,
    ZmqConnection,
    ZmqEndpoint,
    ZmqEndpointType,
    how_and_where,
)
from zmqbridge.txzmq.driver import Driver
from zmqbridge.txzmq.factory import ZmqFactory, reactor_when_asked
from zmqbridge.txzmq.standins import timekeeper

__getattr__ = reactor_when_asked
_module = globals()


class _RequestTimeoutError(RequestTimeout):
    """The name that programs use with a Failure: ``check("txzmq.req_rep.Zmq…")``."""


_RequestTimeoutError.__name__ = "ZmqRequestTimeoutError"
_RequestTimeoutError.__module__ = "txzmq.req_rep"


class ZmqRequestTimeoutError(_RequestTimeoutError):
    """No reply came in time; its only argument is the request's id."""

    def __init__(self, *args: Any, stage: str = "sent") -> None:
        super().__init__(stage)
        self.args = args


def _tell_who_listens(waiters: Sequence[defer.Deferred[Any]], problem: ZmqBridgeError) -> None:
    """Give waiters an error, but let Twisted log none as unhandled, as txZMQ fires no Deferred."""
    tell(waiters, problem)
    for waiter in waiters:
        failure: Any = getattr(waiter, "result", None)
        debug: Any = getattr(waiter, "_debugInfo", None)
        if debug is not None and isinstance(getattr(failure, "value", None), type(problem)):
            debug.failResult = None  # an errback that is added later still gets the error


class _Expiring(Deadlines):
    """The deadlines of a connection whose `_requests` may be another dict than before."""

    def __init__(self, driver: _Asking) -> None:
        super().__init__(driver.table, driver.pump, driver, driver.fail, driver.expire)
        self._asking = driver

    def alarm(self) -> None:
        self._asking.open_requests()
        super().alarm()

    def refused(self, error: HandshakeFailed) -> bool:
        self._asking.open_requests()
        return super().refused(error)


class _Asking(Driver):
    """The driver of requests: they wait here for a peer, and one timer serves all of them."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Each waiter with its own timer, or with None if the common timer serves it.
        self.table: RequestTable[tuple[defer.Deferred[Message], Any]] = RequestTable()
        self.has_timers = False  # whether some waiters have timers of their own
        self.canceller = self._cancelled  # one bound method for all requests
        self.ids = request_ids()
        self.ours = next(self.ids)[:8]  # the prefix of each of our ids

    def take(self, socket: Any, high: float) -> None:
        super().take(socket, high)
        self.deadlines: _Expiring = _Expiring(self)

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

    def refused(self, parts: Sequence[bytes]) -> None:
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
        self.deadlines.rest()
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


class ZmqREQConnection(ZmqConnection):
    """Sends requests, each with an id of its own, and fires a Deferred with each reply.

    Attributes:
        defaultRequestTimeout: how many seconds a request may take if the call gives no timeout;
            None is for ever.
        UUID_POOL_GEN_SIZE: how many ids are made at a time.
    """

    socketType = constants.DEALER
    defaultRequestTimeout: float | None = None
    UUID_POOL_GEN_SIZE = 5

    _zmqbridge__driver = DrivenBy(_Asking)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._requests: dict[bytes, tuple[defer.Deferred[Message], Any]] = {}
        self._uuids: list[bytes] = []
        ZmqConnection.__init__(self, *args, **kwargs)

    def _getNextId(self) -> bytes:
        """The id of the next request, from the pool; override it to choose your own ids.

        It must differ from the ids of all open requests.
        """
        if not self._uuids:
            fresh = self._zmqbridge__driver.ids
            self._uuids.extend(next(fresh) for _ in range(self.UUID_POOL_GEN_SIZE))
        return self._uuids.pop()

    def _releaseId(self, msgId: bytes) -> None:
        """Refill the pool after a reply.

        The pool gets a fresh id and never the old one, because its reply may come a second time.
        For an id that we did not make the pool gets nothing.
        """
        try:
            driver = self._zmqbridge__made
        except AttributeError:
            driver = self._zmqbridge__driver
        if msgId in self._requests or msgId.startswith(driver.ours):
            self._uuids.append(next(driver.ids))
        if len(self._uuids) > 2 * self.UUID_POOL_GEN_SIZE:
            del self._uuids[-self.UUID_POOL_GEN_SIZE :]

    def _cancel(self, msgId: bytes) -> None:
        """Forget a request: if it is not sent yet, it never will be; its reply is dropped."""
        self._zmqbridge__driver.forget(msgId)

    def _timeoutRequest(self, msgId: bytes) -> None:
        """Fail a request whose time is up; if it is not sent yet, it never will be."""
        waiter, queued = self._zmqbridge__driver.forget(msgId)
        if waiter is not None and not waiter.called:
            stage = "queued" if queued else "sent"
            waiter.errback(ZmqRequestTimeoutError(msgId, stage=stage))

    def sendMsg(self, *messageParts: BytesLike, **kwargs: Any) -> defer.Deferred[Message]:
        """Send a request and fire with the parts of its reply.

        If the Deferred is cancelled, the reply is dropped.

        Args:
            messageParts: the parts of the request.
            kwargs: ``timeout``, in seconds; None means `defaultRequestTimeout`.

        Raises:
            zmq.error.Again: the high water mark is reached; nothing of the request is kept.
            TypeError: a part is not bytes-like, or there is another keyword argument.
            ValueError: the timeout is negative, or the id is that of an open request.
            SocketClosed: the connection was shut down.
        """
        timeout = kwargs.pop("timeout", None) if kwargs else None
        if kwargs:
            raise TypeError(f"sendMsg takes timeout= and no other keyword argument: {kwargs}")
        if timeout is None:
            timeout = self.defaultRequestTimeout
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout={timeout!r}: give 0 or more seconds, or None for ever")
        try:
            driver = self._zmqbridge__made
        except AttributeError:
            driver = self._zmqbridge__driver
        if self.factory is None:
            driver.check_open()

        waiter = Reply(driver.canceller)
        msgId = waiter.request_id = self._getNextId()
        table = driver.table
        if table.by_id is not self._requests:
            driver.open_requests()
        timer, deadline = None, inf
        if timeout is not None:
            if driver.own_clock and "reactor" not in _module:
                deadline = driver.now() + timeout
            elif msgId not in table:
                keeper = steady(timekeeper(driver, _module))
                timer = keeper.callLater(timeout, self._timeoutRequest, msgId)
                driver.has_timers = True
        table.wait((waiter, timer), deadline, msgId)
        try:
            self.send([msgId, b"", *messageParts])  # `pack_request`, without its frame
        except Exception:
            driver.forget(msgId)
            raise
        if deadline < table.armed:
            driver.deadlines.set_timer()
        return waiter

    def messageReceived(self, message: Message) -> None:
        """Fire the Deferred of the request that this message answers."""
        msgId = message[0]
        self._releaseId(msgId)
        try:
            driver = self._zmqbridge__made
        except AttributeError:
            driver = self._zmqbridge__driver
        if driver.table.by_id is not self._requests:
            driver.open_requests()
        entry = driver.table.match(msgId)
        if entry is not None:
            waiter, timer = entry
            if timer is not None:
                revoke(timer)
            waiter.callback(message[2:])

    def shutdown(self) -> None:
        """Close the connection; requests that are still open fail with `SocketClosed`."""
        ZmqConnection.shutdown(self)
        driver = self._zmqbridge__driver
        text = f"{driver!r} was shut down before the reply came"
        driver.end_requests(SocketClosed(text))


class _Replying(Driver):
    """The driver of replies, which keeps the route of each reply."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.routes = ReplyRoutes()

    def open_routes(self) -> ReplyRoutes:
        """The routes of the open requests; `_routingInfo` may be another dict than before."""
        routes, info = self.routes, self.connection._routingInfo
        if routes.unanswered is not info:
            routes.unanswered = info
        return routes


class ZmqREPConnection(ZmqConnection):
    """Receives requests; override `gotMessage`, and answer with `reply`."""

    socketType = constants.ROUTER

    _zmqbridge__driver = DrivenBy(_Replying)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._routingInfo: dict[bytes, Message] = {}
        ZmqConnection.__init__(self, *args, **kwargs)

    def reply(self, messageId: bytes, *messageParts: BytesLike) -> None:
        """Answer a request.

        Args:
            messageId: the id that `gotMessage` got.
            messageParts: the parts of the reply.

        Raises:
            KeyError: there is no such request, or it was answered already.
            zmq.error.Again, TypeError, SocketClosed: as in `send`; the request can still be
                answered.
        """
        try:
            driver = self._zmqbridge__made
        except AttributeError:
            driver = self._zmqbridge__driver
        routes = driver.routes
        if routes.unanswered is not self._routingInfo:
            driver.open_routes()
        route = routes.take(messageId)
        try:
            self.send([*route, b"", *messageParts])  # `pack_reply`, without its frame
        except Exception:
            routes.put_back(messageId, route)
            raise

    def messageReceived(self, message: Message) -> None:
        """Keep the route of the reply and call `gotMessage`.

        A message that is not a request is counted in `statistics` and logged.
        """
        try:
            driver = self._zmqbridge__made
        except AttributeError:
            driver = self._zmqbridge__driver
        if driver.routes.unanswered is not self._routingInfo:
            driver.open_routes()
        try:
            route, parts = split_request(message, 0)
        except MalformedMessage as malformed:
            driver.reject(malformed)
        else:
            self.gotMessage(driver.routes.open(route), *parts)

    def gotMessage(self, messageId: bytes, *messageParts: bytes) -> None:
        """Called with each request; override it.

        Args:
            messageId: give it to `reply`. It is the id that the client chose, unless another
                unanswered request has the same id.
            messageParts: the parts of the request.
        """
        raise NotImplementedError(self)

    def shutdown(self) -> None:
        """Close the connection; unanswered requests get no reply."""
        ZmqConnection.shutdown(self)
        self._zmqbridge__driver.open_routes().close()


class ZmqXREPConnection(ZmqREPConnection):
    """The old name of `ZmqREPConnection`, with several endpoints."""

    def __init__(self, factory: ZmqFactory, *endpoints: ZmqEndpoint) -> None:
        warnings.warn(
            "ZmqXREPConnection is deprecated: use ZmqREPConnection or ZmqRouterConnection",
            DeprecationWarning,
            stacklevel=2,
        )
        ZmqREPConnection.__init__(self, factory)
        self.addEndpoints(endpoints)


class ZmqXREQConnection(ZmqREQConnection):
    """The old name of `ZmqREQConnection`, with several endpoints."""

    def __init__(self, factory: ZmqFactory, *endpoints: ZmqEndpoint) -> None:
        warnings.warn(
            "ZmqXREQConnection is deprecated: use ZmqREQConnection or ZmqDealerConnection",
            DeprecationWarning,
            stacklevel=2,
        )
        ZmqREQConnection.__init__(self, factory)
        self.addEndpoints(endpoints)
