"""The errors of zmqbridge: one class a situation, each saying what it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqbridge.core.monitor import MonitorEvent


class ZmqBridgeError(Exception):
    """Everything the library raises of its own accord is one of these.

    Misuse that Python already has a word for (a ``str`` where bytes are meant, a negative
    timeout) is a plain ``TypeError`` or ``ValueError`` instead.
    """


class SocketClosed(ZmqBridgeError):
    """You closed this socket, before the call or while it was waiting.

    Not a statement about the peer: ØMQ hides whether a peer is there.
    """


class ContextTerminated(ZmqBridgeError):
    """Somebody terminated the context under this socket, which is closed now.

    Not raised when you close the socket yourself (that is `SocketClosed`), and never for the
    context that the library owns: it ends only after the last socket.
    """


class ContextInUse(ZmqBridgeError):
    """The context that the library owns cannot end yet: sockets of it are open, which it names."""


class LoopError(ZmqBridgeError, RuntimeError):
    """There is no running event loop, or the socket already belongs to another one."""


class WrongThread(LoopError):
    """A socket was used from another thread than that of its loop; nothing was done.

    Not a matter of luck: libzmq's sockets are not made for threads, and may abort the process.
    Hand the call to the loop: ``loop.call_soon_threadsafe`` or ``reactor.callFromThread``.
    """


class UsedAfterFork(LoopError):
    """The socket belongs to the process that was forked; in the child, make a new one.

    Not a sign of damage: nothing of the parent's socket was touched.
    """


class AddressError(ZmqBridgeError, ValueError):
    """libzmq refused an address: malformed, in use, not on this host, or not known to the socket.

    Not raised when nobody listens at an address you connect to: ØMQ keeps trying.

    Attributes:
        address: the address as it was given.
        errno: libzmq's error number, e.g. ``zmq.EADDRINUSE``.
    """

    def __init__(self, message: str, address: object = None, errno: int = 0) -> None:
        super().__init__(message)
        self.address = address
        self.errno = errno


class OptionError(ZmqBridgeError, ValueError):
    """A socket option that does not exist, or does not take the value it was given."""


class ResourcesExhausted(ZmqBridgeError, OSError):
    """There is no room for one more socket: in its context, or among the process's descriptors.

    Not a leftover: what was made until then is closed again, and nothing was bound or connected.

    Attributes:
        errno: ``errno.EMFILE``.
    """

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(errno, message)


class AuthenticationMissing(ZmqBridgeError):
    """A CURVE server without an authenticator would let any client key in, so it is not opened.

    Not raised by a handshake that fails: libzmq drops that peer silently.
    """


class ConnectTimeout(ZmqBridgeError, TimeoutError):
    """No peer was there in time: none whose handshake had succeeded.

    Not the end of trying: libzmq goes on, and you may wait again. Not a proof that nobody listens
    there either: look at `failure`.

    Attributes:
        failure: the last `MonitorEvent` that ended a handshake, None if there was none.
    """

    def __init__(self, timeout: float, failure: MonitorEvent | None = None) -> None:
        why = f"the last handshake ended with {failure}" if failure else "nobody began a handshake"
        super().__init__(f"no peer within {timeout:g} seconds; {why}")
        self.failure = failure


class HandshakeFailed(ZmqBridgeError):
    """Every server that this socket connects to has refused it; the last has, for this cause.

    Not a server that is away: that is waited for. Not the end of trying: every half second it is
    tried again, so keys may be added in the meantime. Not a proof of a wrong key either when the
    server just hung up, which is all that a wrong key makes it do.

    Attributes:
        event: the `MonitorEvent` that told of it.
    """

    def __init__(self, message: str, event: MonitorEvent) -> None:
        super().__init__(message)
        self.event = event


class StateUnknown(ZmqBridgeError, RuntimeError):
    """Whether a peer is there cannot be known of this socket.

    Not a statement about peers. libzmq tells what happens, not what is: so the socket must be
    made with ``monitor=True``, or get its addresses after `connected` or `events` was called. Of
    ``inproc`` peers libzmq tells nothing.
    """


class RequestTimeout(ZmqBridgeError, TimeoutError):
    """No reply came in time; a reply that comes later is dropped and counted.

    Not a proof that the request was not carried out: look at `stage`.

    Attributes:
        stage: ``"queued"`` when no peer ever took the request (it has left our queue and will
            not be sent any more), ``"sent"`` when it was given to libzmq for a live peer.
    """

    def __init__(self, stage: str) -> None:
        super().__init__(_STAGES[stage])
        self.stage = stage


_STAGES = {
    "queued": "no reply in time: no peer took the request, and it will not be sent any more",
    "sent": "no reply in time: the request was sent, and not answered",
}


class QueueFull(ZmqBridgeError):
    """The peer pushes back and our queue has reached its high water mark.

    Not a loss: the refused message is handed back, nothing of it was sent.

    Attributes:
        message: the parts that were refused.
    """

    def __init__(self, message: Sequence[bytes], high: float) -> None:
        super().__init__(
            f"{high:g} messages wait already; await the sending call instead, or try again later"
        )
        self.message: list[bytes] = list(message)


class PeerUnreachable(ZmqBridgeError):
    """A ROUTER cannot reach this peer, so the message was not sent: no such peer is connected.

    Not backpressure: a peer that is merely slow makes ``send`` wait. One that is connected and
    reads nothing is a `PeerStalled`.

    Attributes:
        peer: the routing id that nobody answers to.
    """

    def __init__(self, peer: bytes) -> None:
        super().__init__(f"no peer {peer!r} is connected; it has left, or never was here")
        self.peer = peer


class PeerStalled(PeerUnreachable, QueueFull):
    """A ROUTER's peer is connected and does not read: the queue for it is at its high water mark.

    Raised by what does not wait: ``reply`` and ``send_nowait``. Not a loss: the refused message
    is handed back, nothing of it was sent. Not a matter of other peers: each has its own queue.

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
    """There is no memory for a message: one that came is lost, one to be sent was not sent.

    Not the end of the socket: the next message is received or sent. Of one that came no part is
    delivered; it is counted in ``statistics().lost``.
    """


class MalformedMessage(ZmqBridgeError):
    """A peer's message does not have the shape of its pattern.

    Never raised at you while receiving: it is counted in ``statistics()`` and reported once per
    burst, and the next message is delivered.

    Attributes:
        message: the parts as they came.
    """

    def __init__(self, reason: str, message: Sequence[bytes]) -> None:
        super().__init__(f"{reason}: {_shown(message)}")
        self.message: list[bytes] = list(message)


class AlreadyReplied(ZmqBridgeError):
    """This request was answered before; ØMQ takes one reply a request.

    Not raised when the peer is gone: that is `PeerUnreachable`.
    """


def _shown(message: Sequence[bytes], parts: int = 4, length: int = 40) -> str:
    # A log line, not a dump: a malformed message may be of any size.
    shown = [repr(part[:length]) + ("…" if len(part) > length else "") for part in message[:parts]]
    if len(message) > parts:
        shown.append(f"… {len(message)} parts")
    return "[" + ", ".join(shown) + "]"
