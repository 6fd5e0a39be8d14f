"""Requests and replies over DEALER and ROUTER, many at once."""

from __future__ import annotations

import warnings
from math import inf
from typing import Any

import zmq
from twisted.internet.defer import Deferred

from zmqbridge.core.framing import Message, pack_reply, split_request
from zmqbridge.core.requests import RequestTable, request_ids
from zmqbridge.core.routes import ReplyRoutes
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import MalformedMessage, RequestTimeout, SocketClosed
from zmqbridge.txzmq.connection import ZmqConnection, ZmqEndpoint
from zmqbridge.txzmq.factory import ZmqFactory


class ZmqRequestTimeoutError(RequestTimeout):
    """No reply came in time; its only argument is the request's id."""

    def __init__(self, msgId: bytes) -> None:
        super().__init__("sent")
        self.args = (msgId,)


class ZmqREQConnection(ZmqConnection):
    """Sends requests, each with an id of its own, and fires a Deferred with each reply.

    Attributes:
        defaultRequestTimeout: seconds a request may take when the call says nothing, None for
            ever.
        UUID_POOL_GEN_SIZE: how many ids are made at a time.
    """

    socketType = zmq.DEALER
    defaultRequestTimeout: float | None = None
    UUID_POOL_GEN_SIZE = 5

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._table: RequestTable[Deferred[Message]] = RequestTable()
        self._ids = request_ids()
        self._uuids: list[bytes] = []
        ZmqConnection.__init__(self, *args, **kwargs)

    @property
    def _requests(self) -> dict[bytes, tuple[Deferred[Message], None]]:
        """A copy of what is open, in the shape that txZMQ kept it."""
        return {msgId: (waiter, None) for msgId, waiter in self._table.waiters().items()}

    def _getNextId(self) -> bytes:
        """The id of the next request, from the pool; override it to choose your own ids.

        An id must not be that of a request that is still open.
        """
        if not self._uuids:
            self._uuids.extend(next(self._ids) for _ in range(self.UUID_POOL_GEN_SIZE))
        return self._uuids.pop()

    def _releaseId(self, msgId: bytes) -> None:
        """A request was answered: refill the pool.

        The pool gets a fresh id, never the old one, whose reply may yet come a second time.
        """
        self._uuids.append(next(self._ids))
        if len(self._uuids) > 2 * self.UUID_POOL_GEN_SIZE:
            del self._uuids[-self.UUID_POOL_GEN_SIZE :]

    def _cancel(self, msgId: bytes) -> None:
        """Forget a request; its reply will be dropped."""
        self._table.cancel(msgId)

    def _timeoutRequest(self, msgId: bytes) -> None:
        """Fail a request whose time is up."""
        waiter = self._table.cancel(msgId)
        if waiter is not None and not waiter.called:
            waiter.errback(ZmqRequestTimeoutError(msgId))

    def _alarm(self) -> None:
        for msgId, waiter in self._table.expire(self._now()):
            if not waiter.called:
                waiter.errback(ZmqRequestTimeoutError(msgId))
        self._setAlarm()

    def _setAlarm(self) -> None:
        deadline = self._table.arm()
        if deadline < inf and self.factory is not None:
            self._call_at(deadline)

    def sendMsg(self, *messageParts: bytes, **kwargs: Any) -> Deferred[Message]:
        """Send a request and fire with the parts of its reply.

        Cancelling it drops the reply.

        Args:
            messageParts: the parts of the request.
            kwargs: ``timeout``, in seconds; None means `defaultRequestTimeout`.

        Raises:
            zmq.error.Again: the high water mark is reached; nothing is left behind.
            TypeError: a part is not bytes-like, or there is another keyword argument.
            ValueError: the timeout is negative, or the id is that of an open request.
            SocketClosed: the connection was shut down.
        """
        timeout = kwargs.pop("timeout", None)
        if kwargs:
            raise TypeError(f"sendMsg takes timeout= and no other keyword argument: {kwargs}")
        if timeout is None:
            timeout = self.defaultRequestTimeout
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout={timeout!r}: give 0 or more seconds, or None for ever")
        if self.factory is None:
            raise SocketClosed(f"{self!r} was shut down")

        def cancel(_: object) -> None:
            self._cancel(msgId)

        waiter = Deferred[Message](cancel)
        deadline = inf if timeout is None else self._now() + timeout
        msgId = self._table.open(waiter, deadline, self._getNextId())
        try:
            self.send([msgId, b"", *messageParts])
        except Exception:
            self._table.cancel(msgId)
            raise
        if deadline < self._table.armed:
            self._setAlarm()
        return waiter

    def messageReceived(self, message: Message) -> None:
        """Fire the Deferred whose request this answers."""
        msgId = message[0]
        waiter = self._table.match(msgId)
        if waiter is not None:
            self._releaseId(msgId)
            waiter.callback(message[2:])

    def shutdown(self) -> None:
        """Close the connection; requests that are still open fail with `SocketClosed`."""
        ZmqConnection.shutdown(self)
        for waiter in self._table.close():
            if not waiter.called:
                waiter.errback(SocketClosed(f"{self!r} was shut down before the reply came"))

    def statistics(self) -> Statistics:
        """What this connection has done so far."""
        return (
            super()
            .statistics()
            ._replace(open_requests=len(self._table), late_replies=self._table.late)
        )


class ZmqREPConnection(ZmqConnection):
    """Receives requests; override `gotMessage`, and answer by `reply`."""

    socketType = zmq.ROUTER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._routes = ReplyRoutes()
        ZmqConnection.__init__(self, *args, **kwargs)

    @property
    def _routingInfo(self) -> dict[bytes, Message]:
        """A copy of what is unanswered, in the shape that txZMQ kept it."""
        return {msgId: route[:-1] for msgId, route in self._routes.routes().items()}

    def reply(self, messageId: bytes, *messageParts: bytes) -> None:
        """Answer a request.

        Args:
            messageId: as `gotMessage` was given it.
            messageParts: the parts of the reply.

        Raises:
            KeyError: there is no such request, or it was answered already.
            zmq.error.Again, TypeError, SocketClosed: as `send`; the request can still be answered.
        """
        route = self._routes.take(messageId)
        try:
            self.send(pack_reply(route, messageParts))
        except Exception:
            self._routes.put_back(messageId, route)
            raise

    def messageReceived(self, message: Message) -> None:
        """Remember where the answer must go and call `gotMessage`.

        A message that is no request is counted in `statistics` and logged.
        """
        try:
            route, parts = split_request(message)
        except MalformedMessage as error:
            self._reject(error)
        else:
            self.gotMessage(self._routes.open(route), *parts)

    def gotMessage(self, messageId: bytes, *messageParts: bytes) -> None:
        """Called with each request; override it.

        Args:
            messageId: give it to `reply`. It is the id that the client chose, except where another
                unanswered request has the same.
            messageParts: the parts of the request.
        """
        raise NotImplementedError(self)

    def shutdown(self) -> None:
        """Close the connection; what is unanswered stays so."""
        ZmqConnection.shutdown(self)
        self._routes.clear()


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
