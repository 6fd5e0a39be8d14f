"""The errors of zmqbridge: one class for each situation, and what each class does not mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqbridge.core.connectionevents import MonitorEvent
    from zmqbridge.core.gaps import Gap, Restarted


class ZmqBridgeError(Exception):
    """The base class of all errors that the library itself defines.

    For misuse that has an error class in Python (a ``str`` in place of bytes, a negative timeout)
    the library raises a plain ``TypeError`` or ``ValueError`` instead.
    """


class SocketClosed(ZmqBridgeError):
    """This socket was closed by your program, before the call or while the call waited.

    It says nothing about the peer: ØMQ does not show whether a peer is there.
    """


class ContextTerminated(ZmqBridgeError):
    """The context of this socket was terminated, so the socket is closed now.

    Not raised when you close the socket yourself (that is `SocketClosed`), and never for the
    context that the library owns: that one ends only after its last socket.
    """


class ContextInUse(ZmqBridgeError):
    """The context that the library owns cannot end yet, because sockets of it are open.

    The text of the error names them.
    """


class LoopError(ZmqBridgeError, RuntimeError):
    """There is no running event loop, or the socket already belongs to another loop."""


class WrongThread(LoopError):
    """A socket was used in a thread other than its loop's; the call did nothing.

    The check does not depend on luck. libzmq's sockets must not be used by two threads, and may
    abort the process. Hand the call to the loop: ``loop.call_soon_threadsafe`` or
    ``reactor.callFromThread``.
    """


class UsedAfterFork(LoopError):
    """The socket belongs to the parent process of a fork; make a new socket in the child.

    Nothing is damaged: the child did not touch the parent's socket.
    """


class AddressError(ZmqBridgeError, ValueError):
    """libzmq refused an address: malformed, in use, not on this host, or not known to the socket.

    Not raised when no peer listens at an address that you connect to: ØMQ keeps trying.

    Attributes:
        address: the address as you gave it.
        errno: libzmq's error number, e.g. ``zmq.EADDRINUSE``.
    """

    def __init__(self, message: str, address: object = None, errno: int = 0) -> None:
        super().__init__(message)
        self.address = address
        self.errno = errno


class OptionError(ZmqBridgeError, ValueError):
    """A socket option does not exist, cannot be set, or does not take the given value."""


class ResourcesExhausted(ZmqBridgeError, OSError):
    """There is no room for one more socket: in its context, or among the process's descriptors.

    Nothing is left over: all that was made before the error is closed again, and no socket was
    bound or connected.

    Attributes:
        errno: ``errno.EMFILE``; ``errno.EAGAIN`` if no thread can be started, which a loop without
            ``add_reader`` needs.
    """

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(errno, message)


class AuthenticationMissing(ZmqBridgeError):
    """No authenticator would decide about the clients of a server, so the server is not opened.

    For example, a CURVE server without an authenticator would accept every client key. Not raised
    when a handshake fails: libzmq drops that peer silently.
    """


class ConnectTimeout(ZmqBridgeError, TimeoutError):
    """No peer had completed a handshake when the time was over.

    The socket goes on trying to connect, and you may wait again. The error does not prove that no
    peer listens there: look at `failure`.

    Attributes:
        failure: the last `MonitorEvent` that ended a handshake, None if there was none.
    """

    def __init__(self, timeout: float, failure: MonitorEvent | None = None) -> None:
        text = "no handshake began"
        if failure:
            from zmqbridge.core.connectionevents import with_cause  # loaded with the first monitor

            text = f"the last handshake ended with {with_cause(failure)}"
        super().__init__(f"no peer within {timeout:g} seconds; {text}")
        self.failure = failure


class TooFewSubscribers(ZmqBridgeError, TimeoutError):
    """There were not as many subscriptions as `wait_for` was to wait for when the time was over.

    Attributes:
        found: how many there were.
    """

    def __init__(self, tag: bytes, count: int, found: int, timeout: float) -> None:
        super().__init__(
            f"{found} subscriptions, and not {count}, meet the tag {tag!r} after {timeout:g} s"
        )
        self.found = found


class NotAnswered(ZmqBridgeError, TimeoutError):
    """No publisher has answered `ready` in time, or not each to which the subscriber connects.

    Only a `Publisher` of this library answers, and only when it was made with ``barrier=True``. So
    the error does not say that no publisher is there.
    """

    def __init__(self, answers: int, wanted: int, timeout: float) -> None:
        super().__init__(
            f"{answers} of {wanted} publishers answered within {timeout:g} seconds: each must be a "
            "Publisher(barrier=True), and be there"
        )


class PublicationsMissed(ZmqBridgeError):
    """Numbered publications were missed for good; raised where they would have been delivered.

    The next call goes on with the publication after them.

    Attributes:
        gap: which, as a `Gap`.
    """

    def __init__(self, gap: Gap) -> None:
        of = f" of the tag {gap.tag!r}" if gap.tag else ""
        super().__init__(f"missed the publications {gap.first} to {gap.last}{of}")
        self.gap: Gap = gap


class PublisherRestarted(ZmqBridgeError):
    """A publisher has begun its numbers again: what the program knows of its state may be wrong.

    The next call goes on with its first publication that is there.

    Attributes:
        restarted: of which tag, as a `Restarted`.
    """

    def __init__(self, restarted: Restarted) -> None:
        of = f" with the tag {restarted.tag!r}" if restarted.tag else ""
        super().__init__(f"the publisher has begun its numbers again{of}")
        self.restarted: Restarted = restarted


class HandshakeFailed(ZmqBridgeError):
    """Every server that this socket connects to has refused it; the text has the last cause.

    Not raised for a server that is not there: the socket waits for that one. The socket goes on
    trying to connect, every half second, so the server may get the right key in the meantime. If
    the server only hung up, that does not prove a wrong key, although a wrong key shows in no other
    way.

    Attributes:
        event: the `MonitorEvent` of the last refusal.
    """

    def __init__(self, message: str, event: MonitorEvent) -> None:
        super().__init__(message)
        self.event = event


class StateUnknown(ZmqBridgeError, RuntimeError):
    """This socket cannot tell whether a peer is there.

    It says nothing about the peers. libzmq reports changes, not the present state. So you must
    make the socket with ``monitor=True``, or call `connected` or `events` before you give it
    addresses. About ``inproc`` peers libzmq reports nothing.
    """


class RequestTimeout(ZmqBridgeError, TimeoutError):
    """No reply came in time; a reply that comes later is dropped and counted.

    This does not prove that the request was not carried out: look at `stage`.

    Attributes:
        stage: ``"queued"`` if no peer ever took the request (it was removed from our queue and will
            not be sent any more), ``"sent"`` if it was given to libzmq for a live peer.
    """

    def __init__(self, stage: str) -> None:
        super().__init__(_STAGES[stage])
        self.stage = stage


_STAGES = {
    "queued": "no reply in time: no peer took the request, and it will not be sent any more",
    "sent": "no reply in time: the request was sent, and not answered",
}


class QueueFull(ZmqBridgeError):
    """The peer takes no more messages, and our queue has reached its high water mark.

    Nothing is lost: the error has the refused message, and no part of it was sent.

    Attributes:
        message: the parts that were refused.
    """

    def __init__(self, message: Sequence[bytes], high: float) -> None:
        super().__init__(
            f"{high:g} messages wait already; await the sending call instead, or try again later"
        )
        self.message: list[bytes] = list(message)


class QueueEmpty(ZmqBridgeError):
    """Nothing is here that `receive_nowait` could take: await `receive` instead, or try later.

    It says nothing about the peers. A message may be here that was promised to a call of `receive`
    which has not run yet.
    """


class PeerUnreachable(ZmqBridgeError):
    """A ROUTER cannot reach this peer: no such peer is connected. The message was not sent.

    Not raised for backpressure: for a slow peer ``send`` waits. For a peer that is connected and
    reads nothing the error is `PeerStalled`.

    Attributes:
        peer: the routing id that no connected peer has.
    """

    def __init__(self, peer: bytes) -> None:
        super().__init__(f"no peer {peer!r} is connected; it has left, or never was here")
        self.peer = peer


class PeerStalled(PeerUnreachable, QueueFull):
    """A ROUTER's peer is connected and does not read: the queue for it is at its high water mark.

    Raised by the calls that do not wait: ``reply`` and ``send_nowait``. Nothing is lost: the error
    has the refused message, and no part of it was sent. Other peers are not affected: each has its
    own queue.

    Attributes:
        peer: the routing id of the peer.
        message: the parts that were refused, the peer's routing id first.
    """

    def __init__(self, message: Sequence[bytes], high: float) -> None:
        QueueFull.__init__(self, message, high)
        self.peer: bytes = message[0]
        self.args: tuple[object, ...] = (
            f"the peer {self.peer!r} does not read: {high:g} messages wait for it already",
        )


class OutOfMemory(ZmqBridgeError, MemoryError):
    """There is no memory for a message: a received one is lost, an outgoing one was not sent.

    The socket still works: it receives or sends the next message. No part of the lost message is
    delivered; it is counted in ``statistics().lost``.
    """


class MalformedMessage(ZmqBridgeError):
    """A peer's message does not have the form that the pattern needs.

    A receiving call never raises it: the message is counted in ``statistics()`` and reported once
    per burst, and the next message is delivered.

    Attributes:
        message: the parts as they came.
    """

    def __init__(self, reason: str, message: Sequence[bytes]) -> None:
        super().__init__(f"{reason}: {_shown(message)}")
        self.message: list[bytes] = list(message)


class AlreadyReplied(ZmqBridgeError):
    """This request has a reply already; ØMQ takes one reply for each request.

    Not raised when the peer is gone: that is `PeerUnreachable`.
    """


class ProxyFailed(ZmqBridgeError):
    """The thread of a proxy has ended, although the proxy was not closed: no message passes now.

    Its ``__cause__`` is libzmq's error.
    """


class ProxyStalled(ZmqBridgeError, TimeoutError):
    """A proxy does not answer, because it waits for a peer that takes no message.

    The call did nothing. The proxy goes on when the peer does, and can always be closed.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(
            f"the proxy has not answered for {timeout:g} s: it waits for a peer to take a message"
        )


def _shown(message: Sequence[bytes], parts: int = 4) -> str:
    # This text goes to a log, where the body of a message may show a secret, and be of any size.
    sizes = [str(len(part)) for part in message[:parts]]
    more = ", …" if len(message) > parts else ""
    plural = "" if len(message) == 1 else "s"
    return f"{len(message)} part{plural} of {', '.join(sizes)}{more} bytes" if sizes else "no part"
