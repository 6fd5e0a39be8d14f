"""The pump: the only code that sends, receives and reads EVENTS on a libzmq socket.

Its rules, each with a test in tests/test_pump.py; the times are of CPython 3.11, pyzmq 27.3:

- EVENTS (1.1 µs), then messages until Again (3.5 µs) or the end of the burst; after the first
  message EVENTS once more, as mostly it is the only one. A burst is bounded in messages, time and
  bytes, and another turn is scheduled for what is left. When the FD rang, one message is handed
  over before EVENTS are asked.
- The FD is edge-triggered (ZMQ_FD in zmq_getsockopt(3)): any send, connect or option silences it,
  so each of them schedules one coalesced turn.
- Flags are plain ints: ``x & zmq.POLLIN`` takes 450 ns, with ints 15. Sending and receiving go to
  pyzmq's compiled methods; the ones above them in Python double the price of a send.
- Receive frames (``copy=False``) and ask them for ``more``: asking the socket costs 0.7 µs. But not
  what a ROUTER puts in front of each message, the peer: it is always followed by a part.
- An Again in the middle of a message: libzmq would swallow the next message unless it gets the
  remaining parts of this one first. They are given to it, then the whole message waits again.
- When crowds of messages come one upon the other, the I/O thread of our own context waits while
  they are handled, and what is sent in answer leaves together, at the next turn: see
  `zmqbridge._bridge.iothreads`.
- A paused turn reads EVENTS, which silences the FD, and no message: what is unread fills RCVHWM
  and pushes back on the peer.
- The loop may be run again from within a delivery (nest_asyncio and the like). For that time a
  turn stands by in the loop's own queue, as the FD may be silent and no turn asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from errno import ENOMEM
from math import inf
from typing import Any, Protocol

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge.addresses import SENT, note
from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.connections import Connections
from zmqbridge._bridge.iothreads import OwnContext
from zmqbridge._bridge.uncompiled import COMPILED, plain_calls
from zmqbridge.core.framing import Message, as_parts
from zmqbridge.core.sendqueue import HIGH, SendQueue
from zmqbridge.errors import (
    ContextTerminated,
    OutOfMemory,
    PeerStalled,
    PeerUnreachable,
    QueueFull,
    SocketClosed,
    ZmqBridgeError,
)

DONTWAIT = int(zmq.DONTWAIT)
DONTWAIT_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
EHOSTUNREACH = int(zmq.EHOSTUNREACH)  # on Windows libzmq's numbers are not those of errno
EVENTS = int(zmq.EVENTS)
FD = int(zmq.FD)
POLLIN = int(zmq.POLLIN)
POLLOUT = int(zmq.POLLOUT)

# A burst ends after so much time, 1 ms leaving a 5 ms ticker its ticks, and after so many messages,
# beyond which the cost of a turn no longer shows in theirs.
SLICE = 0.001  # seconds
BURST = 512
# Handling a burst may take longer than reading it. When that took two slices the next one is half
# as long, but not less than this; when it took less than one, twice as long.
SHORTEST = 16
# A burst ends after so many bytes, too: what is handed over before more is read is still in the
# cache, and its memory serves the next, where a burst of 8 MiB is given back to the system and
# has to be fetched again. It makes a receiver of 1 MiB messages up to 1.6 times as fast.
LARGE = 262_144  # bytes
# From so many messages a burst is a crowd. Holding the I/O thread and letting it go costs 1.2 µs,
# and the answers to fewer messages would gain little by leaving together.
CROWD = 16
# It is held when so many crowds have come one close upon the other. Where other programs keep all
# cores busy, a thread that woke while it was held may wait for the end of their time slice, 4 ms,
# also when it was let go: there the next crowd comes late, and most crowds are not held.
STREAK = 4
LATE = 0.003  # seconds
# When a lone message comes so soon after the last one, EVENTS are asked a round of the loop later.
# Until they are, the I/O thread need not wake us for the next message, which may be there by then:
# messages of 64 KiB come 7 to 8 % faster. Not where we may send, for there the answer counts.
STREAM = 60e-6  # seconds
# Which of a ROUTER's stuck peers has room again, nothing tells: all are tried. Trying one takes
# 2.5 µs, so more than a few are tried by the clock, in 5 % of the time, instead of in every turn.
FEW = 16
APART = 50e-6  # seconds, for each
# A peer that has died is noticed so soon; see `Connections`.
PATROL = 0.5  # seconds
# Where nothing tells whether it has (inproc), only libzmq can, when all that it had sent was read.
# So reading goes on beyond what there is room for, but no further than this.
BEYOND = 10_000  # messages
# A timer that is so late tells that the loop was held up: what came meanwhile is to be read before
# anything expires. That may take libzmq's I/O thread a while, as it refills what we empty: so until
# nothing has come for some milliseconds, but not for ever where messages never end.
HELD_UP = 0.01  # seconds
SETTLES = 0.002  # seconds
QUIET = 5  # times that nothing has come, as the I/O thread may have to wait for a core
AT_LAST = 1.0  # seconds, or for as long as the loop was held up
# Sends between two looks at the clock, which decides whether the loop has to have its turn.
STRIDE = 64


NOBODYS = Connections()  # of all sockets that have no use for it


class BridgedSocket(zmq.Socket[bytes]):
    """The pyzmq socket that users get; whatever they do with it, the reader is armed again."""

    touched: Callable[[], None] = staticmethod(lambda: None)

    def watch(self, touched: Callable[[], None]) -> None:
        """Have `touched` called after whatever may silence the FD."""
        # Past pyzmq's own __setattr__, which looks for an option of that name first: 5 µs.
        object.__setattr__(self, "touched", touched)

    def fileno(self) -> int:
        # pyzmq looks for an option of that name first: 5 µs, too.
        descriptor: int = CompiledSocket.get(self, FD)  # type: ignore[assignment]
        return descriptor

    def __hash__(self) -> int:
        return id(self)


def _touching(name: str) -> Any:
    def call(self: BridgedSocket, *args: Any, **kwargs: Any) -> Any:
        try:
            # Looked up late, because programs put methods of their own on ``zmq.Socket``.
            return getattr(super(BridgedSocket, self), name)(*args, **kwargs)
        finally:
            self.touched()
            if sends:
                vars(self)[SENT] = True

    sends = name == "send"
    call.__name__, call.__doc__ = name, getattr(zmq.Socket, name).__doc__
    return call


TOUCHING = """
    send recv recv_into get getsockopt set setsockopt bind connect unbind disconnect poll
"""
for _name in TOUCHING.split():
    setattr(BridgedSocket, _name, _touching(_name))


def _noting(name: str, bound: bool) -> Any:
    act = getattr(BridgedSocket, name)

    def call(self: BridgedSocket, addr: Any) -> Any:
        result = act(self, addr)
        note(self, addr, bound)
        return result

    call.__name__, call.__doc__ = name, getattr(zmq.Socket, name).__doc__
    return call


for _name, _bound in (("bind", True), ("connect", False)):
    setattr(BridgedSocket, _name, _noting(_name, _bound))


class Driver(Protocol):
    """Whoever drives a pump, and what that asks of him."""

    def _call_soon(self) -> None:
        """Call ``turn`` once, soon."""

    def _deliver(self, burst: list[Message], /) -> object:
        """Take a burst of received messages."""

    def _standby_turn(self) -> Any:
        """What its loop finds in its queue, and has ``turn`` called by; see `Pump.stand_by`."""

    def _room(self) -> float:
        """How many messages `_deliver` would take now; 0 pauses reading."""

    def _wake(self, waiters: list[Any], /) -> object:
        """Tell senders that wait that they may go on."""

    def _report(self, error: Exception, /) -> object:
        """Show an error that belongs to no call: a queued message whose peer has left."""

    def _end(self, error: ZmqBridgeError, /) -> object:
        """The socket is of no use any more, and this is why."""


class Pump:
    """Moves whole messages between one libzmq socket and its driver, never blocking.

    - commands: `send`, `try_send`, `discard`, `schedule`, `stand_by`, `standing_by`, `caught_up`,
      `close`
    - inputs: `ring`, `turn`, `patrol` (time passed)
    - getters: `queues`, `backlog`, `queued`, `sent`, `received`, `lost`, `refused`, `dropped` (of
      which `unreachable`), `withdrawn`, `due` (a turn was asked for), `bursts` (how many so far; a
      ring and the turn that it ends with are one)

    What the driver owes: call `ring` whenever the FD rings, and `turn` once soon after each call
    of his `_call_soon`, which is made at most once between two turns. For a ROUTER, once a message
    was `stalled`, call `patrol` every so often as it says.

    Args:
        socket: the libzmq socket; the pump uses it until `close`.
        driver: who is called about all that happens.
        high: the high water mark of the send queue (of each peer's queue, for a ROUTER).

    Attributes:
        stalled: called with the queue that a message has to wait in, as the first one.
    """

    __slots__ = (
        "_ages_at", "_beyond", "_burst", "_by_peer", "_connections", "_context", "_crowd",
        "_crowds", "_driver", "_get", "_give_up_at", "_handled_at", "_held", "_high", "_known",
        "_loop_queue", "_lost", "_more", "_patrolled", "_rang", "_read_at", "_reads_on", "_recv",
        "_send", "_sending_hides", "_standby", "_stream", "_unquiet", "_untried", "bursts",
        "closed", "dropped", "due", "lost", "queues", "received", "refused", "sent", "stalled",
        "unreachable", "withdrawn",
    )  # fmt: skip

    def __init__(self, socket: zmq.Socket[bytes], driver: Driver, high: float = HIGH) -> None:
        self._send = CompiledSocket.send.__get__(socket)
        self._recv = CompiledSocket.recv.__get__(socket)
        self._get = CompiledSocket.get.__get__(socket)
        if not COMPILED:
            self._send, self._recv = plain_calls(socket)
        self._driver = driver
        # Users tune their own contexts as they like.
        self._context: Any = socket.context
        self._crowd = CROWD if isinstance(socket.context, OwnContext) else inf
        # How many so far, one close upon the other, and when the last had been handled.
        self._crowds = 0
        self._handled_at = 0.0
        self._held = False
        self._high = high
        kind = self._get(zmq.TYPE)
        # A ROUTER has a queue for each peer, so that one that is stuck holds up no other.
        self._by_peer = kind == zmq.ROUTER
        self._connections = Connections() if self._by_peer else NOBODYS
        self._known = self._connections.known
        self._lost = self._connections.lost
        self._ages_at = 0.0 if self._by_peer else inf
        self._untried: Sequence[bytes] = ()  # the queues that have yet to be tried in this round
        self._unquiet = 0  # how often nothing must come before `caught_up` is content
        self._give_up_at = 0.0  # when `caught_up` has tried for long enough
        self._reads_on = False
        self._beyond = 0
        self._patrolled = 0  # of the queues, how many since all were
        # Who cannot receive has no edge to lose by sending.
        self._sending_hides = kind not in (zmq.PUB, zmq.PUSH)
        self._stream = STREAM if kind in (zmq.PULL, zmq.SUB) else 0.0
        self.due = False
        self._rang = False
        # Of what was read last: whether a burst's length ended it, and when that was.
        self._more = False
        self._read_at = 0.0
        self._burst = BURST // 4
        self.bursts = 0
        self.queues: dict[bytes, SendQueue[Any]] = {}
        # Where a turn stands by for a loop that is run again; nowhere, if that cannot be.
        self._loop_queue: deque[Any] | None = None
        self._standby: Any = None
        self.closed = False
        self.sent = 0
        self.received = 0
        self.refused = 0
        self.lost = 0
        self.dropped = 0
        self.unreachable = 0
        self.withdrawn = 0
        self.stalled: Callable[[SendQueue[Any]], None] = ignore

    @property
    def queued(self) -> int:
        """How many messages wait to be sent."""
        return sum(map(len, self.queues.values()))

    def backlog(self) -> SendQueue[Any] | None:
        """A queue in which something waits, if there is one."""
        return next(filter(None, self.queues.values()), None)

    def queue_of(self, message: Sequence[Any]) -> SendQueue[Any] | None:
        """The queue in which this message would have to wait, None while there is none."""
        return self.queues.get(message[0] if self._by_peer else b"")

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
            try:
                self._send(message[0], DONTWAIT)
            except Exception:
                pass  # below it meets the same again, and there it is known what to do
            else:
                self.sent += 1
                if self._sending_hides and not self.due:
                    self.schedule()
                return
        for part in message:
            if type(part) is not bytes:
                message = as_parts(message)
                break
        if self.queues and (queue := self.queue_of(message)):
            try:
                queue.put(message, key)
            except QueueFull:
                self.refused += 1
                if self._by_peer:
                    raise PeerStalled(message, self._high) from None
                raise
        elif self.try_send(message):
            if self._sending_hides and not self.due:
                self.schedule()
            if self._lost:
                self._lost.pop(message[0], None)
        else:
            # One that `discard` has emptied stays, with those who wait for it.
            lane = message[0] if self._by_peer else b""
            if lane in self._lost:
                self.schedule()
                if self._unread():
                    raise PeerUnreachable(lane)
                del self._lost[lane]  # libzmq would tell by now: it came back, and reads nothing
            queue = self.queues.setdefault(lane, SendQueue[Any](self._high))
            queue.put(message, key)
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
                self._finish(message[len(message) - after :])
            return False
        except zmq.ZMQError as error:
            if error.errno == ENOMEM:
                return self._send_uncopied(message[len(message) - 1 - after :])
            self.schedule()  # this has silenced the FD; or that turn finds and tells the same
            if error.errno == EHOSTUNREACH:
                self._lost.pop(message[0], None)
                raise PeerUnreachable(message[0]) from None
            raise self._broken(error) from error
        self.sent += 1
        return True

    def _send_uncopied(self, rest: Sequence[bytes]) -> bool:
        # libzmq has no memory for a copy of the first of these, and may have those before it.
        # What it can send from where it is needs none, and so it gets the whole message.
        try:
            for part in rest[:-1]:
                self._send(part, DONTWAIT_MORE, False)
            self._send(rest[-1], DONTWAIT, False)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            self.schedule()
            raise OutOfMemory(f"no memory to send a part of {len(rest[0])} bytes") from error
        self.sent += 1
        return True

    def _finish(self, rest: Sequence[bytes]) -> None:
        # libzmq drops these: the peer left in mid-message. But it counts them, and unless it
        # gets them all it takes the next message for their rest, and drops that.
        for part in rest[:-1]:
            self._send(part, DONTWAIT_MORE)
        if rest:
            self._send(rest[-1], DONTWAIT)

    def discard(self, key: Hashable) -> bool:
        """Take a queued message back by its key; False if it is not queued (any more)."""
        for queue in self.queues.values():
            if queue.discard(key):
                self.withdrawn += 1
                if waiters := queue.notify():
                    self._driver._wake(waiters)
                return True
        return False

    def schedule(self) -> None:
        """Have one turn run soon, because something may have silenced the FD."""
        if not self.due and not self.closed:
            self.due = True
            self._driver._call_soon()

    def ring(self) -> None:
        """The FD rang: hand over the message that made it ring, then do what a turn does.

        Mostly it is one message. It is taken before EVENTS tell of it, and they are asked when it
        has been handled: that does for what was sent in answer, too, which leaves 5 µs earlier.
        Amid a stream, see STREAM, the turn comes a round of the loop later.
        """
        if self.queues or self.closed or self._driver._room() < 1:
            self.turn()
            return
        try:
            burst = [self._take()]
        except zmq.Again:
            return  # the attempt has silenced the FD, just as EVENTS would
        except (zmq.ZMQError, MemoryError):
            self.turn()  # it meets the same, and tells the driver; or goes on with what is left
            return
        now = monotonic()
        streams = now - self._read_at < self._stream
        if not self._more:  # else the turn that is due measures from there
            self._read_at = now
        if now > self._ages_at:
            self._ages_at = now + self._connections.age()
        self.received += 1
        self.bursts += 1
        self._rang = True
        comes, self.due = self.due, True  # what is sent in answer asks for no turn of its own
        queue = None if comes else self._loop_queue
        if queue is not None:
            standby = self._standby = self._standby or self._driver._standby_turn()
            queue.appendleft(standby)
        try:
            self._driver._deliver(burst)
            # Two messages of 1 MiB at once, and malloc gives their memory back to the system when
            # both are gone (M_TRIM_THRESHOLD in mallopt(3)): up to 20 page faults a message.
            del burst
        finally:
            if queue and queue[0] is standby:
                queue.popleft()
            if comes:
                pass  # that one does
            elif streams:
                self.due = False
                self.schedule()
            else:
                self.turn()

    def caught_up(self, late: float) -> bool:
        """Read what has come, before something expires; False: ask again after SETTLES.

        Args:
            late: by how many seconds the timer is late which tells that something expires.
        """
        before = self.received
        self.turn()
        now = monotonic()
        if late > HELD_UP and self.received > before:
            self._give_up_at = self._give_up_at or now + max(late, AT_LAST)
            self._unquiet = QUIET
        elif self._unquiet:
            self._unquiet -= 1
        if self._unquiet and now < self._give_up_at:
            return False
        self._give_up_at = 0.0
        return True

    def stand_by(self, queue: deque[Any]) -> None:
        """Have a turn wait in the loop's own queue, at its head, while messages are delivered.

        A loop that is run again from within a delivery then begins with it: until the delivery is
        over, nothing else may wake it, as the FD is silent and the next turn not yet asked for.

        Args:
            queue: what the loop will do next; the driver's `_standby_turn` makes what goes there.
        """
        self._loop_queue, self._standby = queue, None

    def standing_by(self, tell: Callable[..., object], *args: Any) -> None:
        """Make a call that may have tasks go on at once, which may run the loop again."""
        queue = self._loop_queue
        if queue is not None:
            standby = self._standby = self._standby or self._driver._standby_turn()
            queue.appendleft(standby)
        try:
            tell(*args)
        finally:
            if queue and queue[0] is standby:
                queue.popleft()

    def turn(self) -> None:
        """Do what there is to do now: flush the queues, then read a burst."""
        self.due = False
        if self.closed:
            return
        if self._held:
            self._let_go()
        self.bursts += not self._rang
        self._rang = False
        burst: list[Message] = []
        again = False
        broken: ZmqBridgeError | None = None
        try:
            events = self._get(EVENTS)
            # A ROUTER's POLLOUT does not tell of peers that left.
            if self.queues and (self._by_peer or events & POLLOUT):
                again, events = self._flush_twice(events)
            if events & POLLIN:
                again = self._read(burst) or again
            else:
                self._more = False
        except zmq.ZMQError as error:
            broken = self._broken(error)
        except ZmqBridgeError as error:
            broken = error
        try:
            if burst and not self.closed:
                self.received += len(burst)
                crowd = len(burst) >= self._crowd
                if crowd and self._crowds >= STREAK:
                    self._held = self._context.hold()
                    again = again or self._held
                queue = self._loop_queue
                if queue is not None:
                    standby = self._standby = self._standby or self._driver._standby_turn()
                    queue.appendleft(standby)
                try:
                    self._driver._deliver(burst)
                finally:
                    if queue and queue[0] is standby:
                        queue.popleft()
                if crowd:
                    self._crowds += 1
                    self._handled_at = monotonic()
        finally:
            if again:
                # After them who were told, so that one turn serves what they send, too.
                self.schedule()
            if broken and not self.closed:
                self._driver._end(broken)

    def _let_go(self) -> None:
        self._held = False
        self._context.let_go()

    def _flush_twice(self, events: int) -> tuple[bool, int]:
        # What `_flush` says, and the EVENTS then.
        few = len(self.queues) <= FEW
        if not few and not self._untried:
            return False, events  # a patrol looks after these
        again = self._flush()
        events = self._get(EVENTS)  # sending has silenced the FD
        # And this, the news of room that has come since.
        if few and not again and (self._by_peer or events & POLLOUT):
            again = self._flush()
        return again, events

    def _flush(self) -> bool:
        # True when there is more to try at once. Which peer of a ROUTER has room, nothing tells,
        # so each one's queue is tried, as many as there is time for.
        end = monotonic() + SLICE
        before = self.sent
        lanes, self._untried = self._untried or list(self.queues), ()
        left: list[bytes] = []
        waiters = []
        try:
            for tried, lane in enumerate(lanes, 1):
                queue = self.queues.get(lane)
                if queue is None:
                    continue
                try:
                    while queue and self.try_send(queue.head()):
                        queue.advance()
                        if monotonic() > end:
                            left = [lane]
                            break
                except PeerUnreachable as error:
                    self._give_up(queue, error)
                if not queue:
                    self.queues.pop(lane, None)  # `report` may have closed us
                waiters += queue.notify()
                if monotonic() > end:
                    self._untried = [*lanes[tried:], *left]
                    break
        finally:
            if waiters:
                self.standing_by(self._driver._wake, waiters)
        if len(self.queues) > FEW:
            return bool(self._untried)
        return self.sent > before and bool(self.queues)

    def _unread(self) -> bool:
        # Asking silences the FD: a turn is to follow.
        try:
            return bool(self._get(EVENTS) & POLLIN)
        except zmq.ZMQError:
            return False  # that turn meets the same, and tells the driver

    def _give_up(self, queue: SendQueue[Any], error: PeerUnreachable) -> None:
        gone = queue.drop()
        self.dropped += gone
        self.unreachable += gone
        self._driver._report(error)

    def patrol(self) -> float:
        """Look after the peers of a ROUTER for whom messages wait.

        Each one's queue is tried in a turn now, and that of a peer whose connection has gone is
        given up. Returns the seconds until this is due again, ``inf`` when nothing waits.
        """
        lanes = list(self.queues)
        if not lanes:
            self._beyond = 0
            return inf
        # Once all is read, libzmq tells itself who has gone, and knows who came back.
        unread = self._driver._room() < 1 and self._unread()
        # To ask how a connection is takes 8 µs, so of many peers each time some are asked for.
        begin = self._patrolled if self._patrolled < len(lanes) else 0
        self._patrolled = begin + 1 + int(len(lanes) * self.pause_of_patrols() / PATROL)
        waiters = []
        for peer in lanes[begin : self._patrolled]:
            self._reads_on |= self._connections.is_silent(peer) and self._beyond < BEYOND
            if unread and self._connections.has_gone(peer):
                queue = self.queues.pop(peer)
                self._give_up(queue, PeerUnreachable(peer))
                waiters += queue.notify()
        if waiters:
            self.standing_by(self._driver._wake, waiters)
        self._untried = list(self.queues)
        self.turn()
        self._reads_on = False
        return self.pause_of_patrols()

    def pause_of_patrols(self) -> float:
        """The seconds between two of them while as many peers are stuck as now."""
        stuck = len(self.queues)
        return min(PATROL, stuck * APART) if stuck > FEW else PATROL if stuck else inf

    def _take(self) -> Message:
        # One message; Again when there is none; MemoryError when it was lost, and reported.
        message = [self._recv(DONTWAIT)] if self._by_peer else []
        frame = self._recv(DONTWAIT, False)
        try:
            message.append(frame.bytes)
            if self._by_peer and message[0] not in self._known:
                self._connections.learn(message[0], frame)
            while frame.more:
                frame = self._recv(DONTWAIT, False)
                message.append(frame.bytes)
        except MemoryError:
            self._lose(frame)
            raise
        return message

    def _lose(self, frame: Any) -> None:
        # There is no memory for a copy of this part. What follows is of the same message.
        size = len(getattr(frame, "buffer", b""))
        while frame.more:
            frame = self._recv(DONTWAIT, False)
        self.received += 1
        self.lost += 1
        self._driver._report(
            OutOfMemory(f"a message was lost: no memory for a part of {size} bytes")
        )

    def _read(self, burst: list[Message]) -> bool:
        # True when the burst ended before the messages did. The loop of `_take` again, without
        # a call, because here it is what a message costs.
        now = monotonic()
        if now - self._handled_at > LATE:
            self._crowds = 0
        if now > self._ages_at:
            self._ages_at = now + self._connections.age()
        if self._more:
            taken = now - self._read_at
            if taken > 2 * SLICE:
                self._burst = max(SHORTEST, self._burst // 2)
            elif taken < SLICE:
                self._burst = min(BURST, self._burst * 2)
        room = int(min(self._driver._room(), self._burst))
        self._more = room == self._burst
        if room < 1:
            if not self._reads_on:
                return False  # the driver schedules a turn when there is room again
            room = BURST
            self._beyond += room
        recv, append, by_peer, known = self._recv, burst.append, self._by_peer, self._known
        # Messages until the next look at the clock: each stretch is as long as all before it, so a
        # burst is overrun twofold at the most, and small messages cost few looks.
        stretch = 1
        end = now + SLICE
        try:
            while room > 0:
                for _ in range(min(stretch, room)):
                    if by_peer:
                        message = [recv(DONTWAIT)]
                        frame = recv(DONTWAIT, False)
                        message.append(frame.bytes)
                        if message[0] not in known:
                            self._connections.learn(message[0], frame)
                    else:
                        frame = recv(DONTWAIT, False)
                        message = [frame.bytes]
                    while frame.more:
                        frame = recv(DONTWAIT, False)
                        message.append(frame.bytes)
                    append(message)
                room -= stretch
                stretch = len(burst)
                self._read_at = monotonic()
                # After a lone message EVENTS, at a third of the price of an Again.
                if stretch == 1 and not self._get(EVENTS) & POLLIN:
                    self._more = False
                    return bool(self.queues)
                # The size of the last part stands for all.
                if self._read_at > end or len(message[-1]) * stretch >= LARGE:
                    break
        except zmq.Again:
            self._more = False
            return bool(self.queues)  # this may have swallowed the news of room for them
        except MemoryError:
            self._lose(frame)
        return True

    def _broken(self, error: zmq.ZMQError) -> ZmqBridgeError:
        if error.errno == zmq.ETERM:
            return ContextTerminated("the context of this socket was terminated; it is closed now")
        return SocketClosed(f"the socket under this object is of no use: {error}")

    def close(self, remains: list[Any] | None = None) -> list[Any]:
        """Stop for good, drop what is queued, and return the senders that wait.

        Args:
            remains: what held all that is appended, see `Untold`.
        """
        self.closed = True
        if self._held:
            self._let_go()
        waiters = []
        remains = [] if remains is None else remains
        for queue in self.queues.values():
            self.dropped += len(queue)
            waiters += queue.close(remains)
        self.queues.clear()
        return waiters


def ignore(queue: object) -> None:
    """Nobody wants to know."""
