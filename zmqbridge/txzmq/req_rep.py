"""Requests and replies over DEALER and ROUTER, many at once."""

from __future__ import annotations

import warnings
from math import inf
from typing import Any

from twisted.internet import defer
from zmq import constants

from zmqbridge.core.framing import BytesLike, Message, split_request
from zmqbridge.errors import MalformedMessage, RequestTimeout, SocketClosed
from zmqbridge.twisted_backend._clocks import steady
from zmqbridge.twisted_backend._reactors import revoke
from zmqbridge.twisted_backend._waiters import Reply
from zmqbridge.txzmq._endpoints import ZmqEndpoint
from zmqbridge.txzmq._req_rep_drivers import ReplyDriver, RequestDriver
from zmqbridge.txzmq._standins import timekeeper
from zmqbridge.txzmq.connection import DrivenBy, ZmqConnection
from zmqbridge.txzmq.factory import ZmqFactory, reactor_when_asked

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

    _zmqbridge__driver = DrivenBy(RequestDriver)

    def __init__(
        self,
        factory: ZmqFactory,
        endpoint: ZmqEndpoint | None = None,
        identity: bytes | None = None,
    ) -> None:
        self._requests: dict[bytes, tuple[defer.Deferred[Message], Any]] = {}
        self._uuids: list[bytes] = []
        ZmqConnection.__init__(self, factory, endpoint, identity)

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


class ZmqREPConnection(ZmqConnection):
    """Receives requests; override `gotMessage`, and answer with `reply`."""

    socketType = constants.ROUTER

    _zmqbridge__driver = DrivenBy(ReplyDriver)

    def __init__(
        self,
        factory: ZmqFactory,
        endpoint: ZmqEndpoint | None = None,
        identity: bytes | None = None,
    ) -> None:
        self._routingInfo: dict[bytes, Message] = {}
        ZmqConnection.__init__(self, factory, endpoint, identity)

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
            route, parts = split_request(message, may_be_empty=True)
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
        raise NotImplementedError(f"{self!r}: override gotMessage, or assign it")

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
