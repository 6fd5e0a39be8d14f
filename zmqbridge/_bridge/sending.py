"""The sending half of a pump: sends messages whole, queues what is not taken, serves the queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from errno import ENOMEM
from operator import attrgetter
from typing import Any

import zmq

from zmqbridge._bridge.calls import clock_of, raw, send_of
from zmqbridge._bridge.driver import PumpDriver
from zmqbridge._bridge.patrol import FEW, Connection, Patrol
from zmqbridge.core._pacing import SLICE
from zmqbridge.core.framing import as_parts
from zmqbridge.core.outbox import Outbox
from zmqbridge.core.patterns import Pattern
from zmqbridge.core.sendqueue import HIGH, SendQueue
from zmqbridge.errors import (
    ContextTerminated,
    OutOfMemory,
    PeerUnreachable,
    SocketClosed,
    ZmqBridgeError,
)

DONTWAIT = int(zmq.DONTWAIT)
DONTWAIT_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
EHOSTUNREACH = int(zmq.EHOSTUNREACH)  # on Windows libzmq's numbers are not those of errno
EVENTS = int(zmq.EVENTS)
POLLIN = int(zmq.POLLIN)
POLLOUT = int(zmq.POLLOUT)
# The peers that a socket without a patrol has lost.
NONE_LOST: dict[bytes, Connection] = {}


class Sending:
    """What a `Pump` sends; a base class, because a call from half to half would cost a frame."""

    __slots__ = (
        "_driver", "_get", "_loop_queue", "_lost", "_patrol", "_pattern", "_send", "_sending_hides",
        "_standby", "_unreported", "closed", "monotonic", "queues", "sent",
        "stalled", "turn_wanted",
    )  # fmt: skip

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        driver: PumpDriver,
        pattern: Pattern,
        high: float = HIGH,
        kind: int | None = None,
    ) -> None:
        self._send = send_of(socket)
        self._get = raw(socket).get.__get__(socket)
        self.monotonic: Callable[[], float] = clock_of(socket)
        self._driver = driver
        self._pattern = pattern
        if kind is None:
            kind = self._get(zmq.TYPE)
        # A ROUTER has a queue for each peer, so that a stuck peer holds up no other.
        self._patrol = Patrol() if kind == zmq.ROUTER else None
        self._lost = NONE_LOST if self._patrol is None else self._patrol.lost
        self.queues: Outbox = Outbox(high, by_peer=kind == zmq.ROUTER)
        # A socket that cannot receive loses no signal of the FD by sending.
        self._sending_hides = kind not in (zmq.PUB, zmq.PUSH)
        # The loop's queue, in which a turn stands by; None if the loop does not show it.
        self._loop_queue: deque[Any] | None = None
        self._standby: Any = None
        self._unreported: tuple[Exception, ...] = ()  # what the turn is to report when it ends
        self.turn_wanted: bool = False
        self.closed: bool = False
        self.sent: int = 0
        self.stalled: Callable[[SendQueue[Any]], None] = ignore

    @property
    def queued(self) -> int:
        """How many messages wait to be sent."""
        return self.queues.queued

    # Those of the outbox, without one more Python frame.
    backlog: property = property(attrgetter("queues.backlog"))
    queue_of: property = property(attrgetter("queues.queue_of"))
    refused: property = property(attrgetter("queues.refused"))
    dropped: property = property(attrgetter("queues.dropped"))
    unreachable: property = property(attrgetter("queues.unreachable"))
    withdrawn: property = property(attrgetter("queues.withdrawn"))
    unroutable: property = property(attrgetter("queues.unroutable"))

    def send(self, message: Sequence[Any], key: Hashable = None) -> None:
        """Send a message, or queue it when the peer pushes back.

        Args:
            message: at least one part, bytes-like.
            key: under which `discard` finds it while it is queued.

        Raises:
            TypeError: a part is not bytes-like; nothing was sent.
            ValueError: there are no parts.
            QueueFull: the queue is at its high water mark; the error carries the message. For a
                ROUTER's peer it is a `PeerStalled`.
            PeerUnreachable: a ROUTER has no such peer.
            OutOfMemory: there is no memory to send it.
            SocketClosed, ContextTerminated: the socket is of no use any more.
        """
        if len(message) == 1 and not self.queues:
            send = self._send
            try:
                send(message[0], DONTWAIT)
            except Exception:
                pass  # the code below meets the same error and handles it
            else:
                self.sent += 1
                if self._sending_hides and not self.turn_wanted:
                    self.schedule()
                return
        for part in message:
            if type(part) is not bytes:
                message = as_parts(message)
                break
        if self.queues and self.queues.put(message, key):
            return
        if self.try_send(message):
            if self._sending_hides and not self.turn_wanted:
                self.schedule()
            if self._lost:
                self._lost.pop(message[0], None)
        else:
            self._queue(message, key)

    def _queue(self, message: Sequence[bytes], key: Hashable) -> None:
        if message[0] in self._lost:
            self.schedule()
            if self._unread():
                raise self.queues.no_route(message)
            # All was read, so libzmq would have told: the peer came back, and does not read.
            del self._lost[message[0]]
        queue = self.queues.start(message, key)
        self.schedule()
        self.stalled(queue)

    def try_send(self, message: Sequence[bytes]) -> bool:
        """Send a message of ``bytes`` at once and whole; False when the peer pushes back.

        Raises:
            ValueError: there are no parts.
            PeerUnreachable, OutOfMemory, SocketClosed, ContextTerminated: as `send`.
        """
        if not message:
            raise ValueError("a message has at least one part; an empty part is b''")
        send, after = self._send, len(message) - 1
        try:
            if not after:
                send(message[0], DONTWAIT)
            else:
                for part in message:
                    if after:
                        send(part, DONTWAIT_MORE)
                        after -= 1
                    else:
                        send(part, DONTWAIT)
        except zmq.Again:
            if after < len(message) - 1:
                self._finish(after)
            return False
        except zmq.ZMQError as error:
            if error.errno == ENOMEM:
                return self._send_uncopied(message, after)
            self.schedule()  # this has silenced the FD; or the turn meets the same error
            if error.errno == EHOSTUNREACH:
                self._lost.pop(message[0], None)
                raise self.queues.no_route(message) from None
            raise self._broken(error) from error
        self.sent += 1
        return True

    def try_send_part(self, part: bytes) -> bool:
        """Send a message of one part like `try_send`, for less."""
        send = self._send
        try:
            send(part, DONTWAIT)
        except zmq.ZMQError:
            return self.try_send((part,))  # it meets the same error and handles it
        self.sent += 1
        return True

    def _send_uncopied(self, message: Sequence[bytes], after: int) -> bool:
        # libzmq has no memory for a copy of the part before the last `after`, and may already have
        # the parts before that one. To send this part without a copy takes no memory.
        size = len(message[-1 - after])
        try:
            for part in message[-1 - after :]:
                self._send(part, DONTWAIT_MORE if after else DONTWAIT, False)
                after -= 1
        except zmq.Again:
            if after < len(message) - 1:
                self._finish(after)
            return False
        except zmq.ZMQError as error:
            self.schedule()
            raise OutOfMemory(f"no memory to send a part of {size} bytes") from error
        self.sent += 1
        return True

    def _finish(self, parts: int) -> None:
        # The peer left in the middle of the message, and libzmq drops the rest. But it counts the
        # parts: unless it gets all of them, it takes the next message for the rest, and drops that.
        # A PAIR does not count them.
        if self._get(zmq.TYPE) == zmq.PAIR:
            return
        for after in reversed(range(parts)):
            self._send(b"", DONTWAIT_MORE if after else DONTWAIT)

    def discard(self, key: Hashable) -> bool:
        """Take a queued message back by its key; False if it is not queued (any more)."""
        waiters = self.queues.discard(key)
        if waiters:
            self._driver.tell(waiters)
        return waiters is not None

    def mind_sending(self, minded: bool) -> None:
        """Whether a send may hide what has come, so that a turn is to follow it.

        A pattern for which it is early enough to read when more comes, spares the turns.
        """
        self._sending_hides = minded

    def schedule(self) -> None:
        """Have one turn run soon, because something may have silenced the FD."""
        if not self.turn_wanted and not self.closed:
            self.turn_wanted = True
            self._driver.call_soon()

    def stand_by(self, queue: deque[Any]) -> None:
        """Have a turn wait at the head of the loop's own queue while messages are delivered.

        If a callback runs the loop again, the loop begins with this turn. Without it nothing might
        wake that loop until the delivery is over, as the FD is silent and no turn is scheduled.

        Args:
            queue: what the loop will do next; the driver's `standby_turn` makes an entry for it.
        """
        self._loop_queue, self._standby = queue, None

    def standing_by(self, tell: Callable[..., object], *args: Any) -> None:
        """Make a call in which tasks may go on, and may run the loop again."""
        queue = self._loop_queue
        if queue is None:
            tell(*args)
            return
        standby = self._standby = self._standby or self._driver.standby_turn()
        queue.appendleft(standby)
        try:
            tell(*args)
        finally:
            if queue and queue[0] is standby:
                queue.popleft()

    def _flush_twice(self, events: int) -> tuple[bool, int]:
        # Returns what `_flush` returns, and the EVENTS after it.
        patrol = self._patrol
        few = len(self.queues) <= FEW
        if not few and not (patrol and patrol.untried):
            return False, events  # a patrol looks after these
        again = self._flush()
        events = self._get(EVENTS)  # sending has silenced the FD
        # Reading EVENTS may have silenced the FD for new room, so try once more.
        if few and not again and (patrol is not None or events & POLLOUT):
            again = self._flush()
            if not self.queues:  # reading EVENTS could hide a stuck peer's room; the patrol reads
                events = self._get(EVENTS)  # a message may have come in between, and sending hid it
        return again, events

    def _flush(self) -> bool:
        # True when there is more to try at once. libzmq does not tell which peer of a ROUTER has
        # room, so the queue of each peer is tried, as long as there is time.
        monotonic = self.monotonic
        end = monotonic() + SLICE
        before = self.sent
        patrol = self._patrol
        lanes = (patrol and patrol.untried) or list(self.queues)
        if patrol is not None:
            patrol.untried = ()
        untried: Sequence[bytes] = ()
        waiters: list[Any] = []
        try:
            for tried, lane in enumerate(lanes, 1):
                left = self._serve(lane, end)
                waiters += self.queues.served(lane)
                if monotonic() > end:
                    untried = [*lanes[tried:], *left]
                    if patrol is not None:
                        patrol.untried = untried
                    break
        finally:
            self._report_and_tell(waiters)
        if len(self.queues) > FEW:
            return bool(untried)
        return self.sent > before and bool(self.queues)

    def _serve(self, lane: bytes, end: float) -> list[bytes]:
        # Send what waits on a lane; returns the lane if there is more when the time is up.
        queue = self.queues.get(lane)
        try:
            while queue and self.try_send(queue.head()):
                queue.advance()
                if self.monotonic() > end:
                    return [lane]
        except PeerUnreachable as error:
            self._give_up(lane, error)
        return []

    def _unread(self) -> bool:
        # This silences the FD, so a turn must follow.
        try:
            return bool(self._get(EVENTS) & POLLIN)
        except zmq.ZMQError:
            return False  # that turn meets the same error and handles it

    def _give_up(self, peer: bytes, error: PeerUnreachable) -> None:
        self.queues.give_up(peer)
        self._unreported += (error,)

    # `report` runs code of the program, which may raise, e.g. a KeyboardInterrupt. Then no message
    # must be lost, and no turn that is due.

    def _report(self) -> None:
        errors, self._unreported = self._unreported, ()
        for error in errors:
            self._driver.report(error)

    def _report_and_tell(self, waiters: list[Any]) -> None:
        try:
            self._report()
        finally:
            if waiters:
                self.standing_by(self._driver.tell, waiters)

    def _broken(self, error: Exception) -> ZmqBridgeError:
        if isinstance(error, ZmqBridgeError):
            return error
        if isinstance(error, zmq.ContextTerminated):
            return ContextTerminated("the context of this socket was terminated; it is closed now")
        return SocketClosed(f"the socket under this object is of no use: {error}")


def ignore(queue: object) -> None:
    """Do nothing: no patrol is needed."""
