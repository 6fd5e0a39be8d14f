"""The errors of this library that are also the ``ZMQError`` which users of txZMQ catch."""

from __future__ import annotations

from typing import Any

from zmq import error

from zmqbridge._bridge.exhaustion import explained
from zmqbridge.errors import AddressError, ResourcesExhausted, ZmqBridgeError
from zmqbridge.txzmq._endpoints import CONNECTION, misuse


class ZmqAddressError(AddressError, error.ZMQError):  # type: ignore[misc]
    """libzmq refused an address; also a ``ZMQError``, because users of txZMQ catch that."""

    __module__ = CONNECTION

    def __init__(self, message: str, address: object, errno: int) -> None:
        error.ZMQError.__init__(self, errno, message)
        self.address = address


class ZmqSendError(ZmqBridgeError, error.ZMQError):
    """libzmq refused a message for good, e.g. a mandatory ROUTER does not know the peer."""

    __module__ = CONNECTION

    def __init__(self, problem: ZmqBridgeError) -> None:
        errno = getattr(problem.__context__, "errno", None)
        error.ZMQError.__init__(self, errno, str(problem))


class ZmqResourcesError(ResourcesExhausted, error.ZMQError):  # type: ignore[misc]
    """There is no room for one more socket; also a ``ZMQError``, because txZMQ raised that."""

    __module__ = CONNECTION

    def __init__(self, problem: ResourcesExhausted) -> None:
        error.ZMQError.__init__(self, problem.errno, problem.strerror)


def as_zmq_error(problem: BaseException, context: Any) -> BaseException:
    """The error to raise when a socket cannot be made; it also says the cause."""
    if isinstance(problem, error.ZMQError):
        problem = explained(problem, context)
    return ZmqResourcesError(problem) if type(problem) is ResourcesExhausted else problem


def why_unmade(problem: BaseException, context: Any, connection: Any) -> BaseException:
    """The same, also for the constructor of pyzmq, which refuses a type that is none."""
    if isinstance(problem, TypeError) and connection.socketType is None:
        return misuse().no_type(type(connection))  # type: ignore[no-any-return]
    return as_zmq_error(problem, context)
