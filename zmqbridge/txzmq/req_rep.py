"""Requests and replies over DEALER and ROUTER, many at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import inf
from typing import Any

from twisted.internet import defer
from zmq import constants, error

from zmqbridge.core.framing import Message, pack_reply, split_request
from zmqbridge.core.requests import RequestTable, request_ids
from zmqbridge.core.routes import ReplyRoutes
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import (
    HandshakeFailed,
    MalformedMessage,
    QueueFull,
    RequestTimeout,
    SocketClosed,
)
from zmqbridge.twisted_backend.telling import fail
from zmqbridge.txzmq.connection import ZmqConnection, ZmqEndpoint, ZmqEndpointType
from zmqbridge.txzmq.factory import ZmqFactory, reactor_when_asked

__getattr__ = reactor_when_asked


class ZmqRequestTimeoutError(RequestTimeout):
    """No reply came in time; its only argument is the request's id."""

    def __init__(self, *args: Any, stage: str = "sent") -> None:
        super().__init__(stage)
        self.args = args


class ZmqREQConnection(ZmqConnection):
    """Sends requests, each with an id of its own, and fires a Deferred with each reply.

    Attributes:
        defaultRequestTimeout: seconds a request may take when the call says nothing, None for
            ever.
        UUID_POOL_GEN_SIZE: how many ids are made at a time.
    """

    socketType = constants.DEALER
    defaultRequestTimeout: float | None = None
    UUID_POOL_GEN_SIZE = 5

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__table: RequestTable[defer.Deferred[Message]] = RequestTable()
        self.__ids = request_ids()
        self._uuids: list[bytes] = []
        ZmqConnection.__init__(self, *args, **kwargs)

    @property
    def _requests(self) -> dict[bytes, tuple[defer.Deferred[Message], None]]:
        """A copy of what is open, in the shape that txZMQ kept it."""
        return {msgId: (waiter, None) for msgId, waiter in self.__table.waiters().items()}

    def _getNextId(self) -> bytes:
        """The id of the next request, from the pool; override it to choose your own ids.

        An id must not be that of a request that is still open.
        """
        if not self._uuids:
            self._uuids.extend(next(self.__ids) for _ in range(self.UUID_POOL_GEN_SIZE))
        return self._uuids.pop()

    def _releaseId(self, msgId: bytes) -> None:
        """A request was answered: refill the pool.

        The pool gets a fresh id, never the old one, whose reply may yet come a second time.
        """
        self._uuids.append(next(self.__ids))
        if len(self._uuids) > 2 * self.UUID_POOL_GEN_SIZE:
            del self._uuids[-self.UUID_POOL_GEN_SIZE :]

    def _cancel(self, msgId: bytes) -> None:
        """Forget a request: unsent, it stays so; its reply will be dropped."""
        self.__table.cancel(msgId)
        self._pump.discard(msgId)

    def _timeoutRequest(self, msgId: bytes) -> None:
        """Fail a request whose time is up; unsent, it stays so."""
        waiter = self.__table.cancel(msgId)
        if waiter is not None:
            self.__expired(msgId, waiter)

    def __expired(self, msgId: bytes, waiter: defer.Deferred[Message]) -> None:
        stage = "queued" if self._pump.discard(msgId) else "sent"
        if not waiter.called:
            waiter.errback(ZmqRequestTimeoutError(msgId, stage=stage))

    def _alarm(self) -> None:
        for msgId, waiter in self.__table.expire(self._now()):
            self.__expired(msgId, waiter)
        self.__setAlarm()

    def __setAlarm(self) -> None:
        deadline = self.__table.arm()
        if deadline < inf and self.factory is not None:
            self._call_at(deadline)

    def sendMsg(self, *messageParts: bytes, **kwargs: Any) -> defer.Deferred[Message]:
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
        timeout = kwargs.pop("timeout", None) if kwargs else None
        if kwargs:
            raise TypeError(f"sendMsg takes timeout= and no other keyword argument: {kwargs}")
        if timeout is None:
            timeout = self.defaultRequestTimeout
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout={timeout!r}: give 0 or more seconds, or None for ever")
        if self.factory is None:
            self._checkOpen()

        def cancel(_: object) -> None:
            self._cancel(msgId)

        waiter: defer.Deferred[Message] = defer.Deferred(cancel)
        deadline = inf if timeout is None else self._now() + timeout
        msgId = self.__table.open(waiter, deadline, self._getNextId())
        try:
            self.send([msgId, b"", *messageParts])
        except Exception:
            self.__table.cancel(msgId)
            raise
        if deadline < self.__table.armed:
            self.__setAlarm()
        return waiter

    def _setOptions(self) -> None:
        super()._setOptions()
        # Without it libzmq takes requests for a peer that is not there, and nothing can be taken
        # back from it; like this they wait here, and leave when their time is up.
        self.socket.set(constants.IMMEDIATE, 1)

    def _refused(self, parts: Sequence[bytes]) -> None:
        if self.endpoints and all(kind == ZmqEndpointType.bind for kind, _ in self.endpoints):
            raise error.Again
        try:
            self._pump.send(parts, parts[0] if parts[0] in self.__table else None)
        except QueueFull:
            raise error.Again from None

    def _serverRefused(self, failure: HandshakeFailed) -> bool:
        waiters = [
            self.__table.cancel(msgId)
            for msgId in self.__table.waiters()
            if self._pump.discard(msgId)
        ]
        fail(self._reactor, waiters, failure)
        return bool(waiters)

    def messageReceived(self, message: Message) -> None:
        """Fire the Deferred whose request this answers."""
        msgId = message[0]
        waiter = self.__table.match(msgId)
        if waiter is not None:
            self._releaseId(msgId)
            waiter.callback(message[2:])

    def shutdown(self) -> None:
        """Close the connection; requests that are still open fail with `SocketClosed`."""
        ZmqConnection.shutdown(self)
        fail(
            self._reactor,
            self.__table.close(),
            SocketClosed(f"{self!r} was shut down before the reply came"),
        )

    def statistics(self) -> Statistics:
        """What this connection has done so far."""
        return (
            super()
            .statistics()
            ._replace(open_requests=len(self.__table), late_replies=self.__table.late)
        )


class ZmqREPConnection(ZmqConnection):
    """Receives requests; override `gotMessage`, and answer by `reply`."""

    socketType = constants.ROUTER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__routes = ReplyRoutes()
        ZmqConnection.__init__(self, *args, **kwargs)

    @property
    def _routingInfo(self) -> dict[bytes, Message]:
        """A copy of what is unanswered, in the shape that txZMQ kept it."""
        return {msgId: route[:-1] for msgId, route in self.__routes.routes().items()}

    def reply(self, messageId: bytes, *messageParts: bytes) -> None:
        """Answer a request.

        Args:
            messageId: as `gotMessage` was given it.
            messageParts: the parts of the reply.

        Raises:
            KeyError: there is no such request, or it was answered already.
            zmq.error.Again, TypeError, SocketClosed: as `send`; the request can still be answered.
        """
        route = self.__routes.take(messageId)
        try:
            self.send(pack_reply(route, messageParts))
        except Exception:
            self.__routes.put_back(messageId, route)
            raise

    def messageReceived(self, message: Message) -> None:
        """Remember where the answer must go and call `gotMessage`.

        A message that is no request is counted in `statistics` and logged.
        """
        try:
            route, parts = split_request(message, 0)
        except MalformedMessage as malformed:
            self._reject(malformed)
        else:
            self.gotMessage(self.__routes.open(route), *parts)

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
        self.__routes.clear()


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
