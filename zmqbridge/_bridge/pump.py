"""The pump: the only code that sends, receives and reads EVENTS on a libzmq socket.

Its rules, each with a test in tests/test_pump.py; the times are of CPython 3.11, pyzmq 27.3:

- A turn reads EVENTS (1.1 µs), then messages until Again (3.5 µs) or the end of the burst. After
  the first message it reads EVENTS once more, because mostly there is only one message. A burst is
  bounded in messages, time and bytes, and another turn is scheduled for the rest. When the FD rang,
  one message is handed over before EVENTS are read.
- The FD is edge-triggered (ZMQ_FD in zmq_getsockopt(3)): any send, connect or option silences it,
  so each of them schedules one coalesced turn.
- Flags are plain ints: ``x & zmq.POLLIN`` takes 450 ns, with ints 15. We call pyzmq's compiled
  methods to send and receive; its methods in Python double the price of a send.
- A callable in a slot is read into a variable first, because ``self._send()`` takes 15 ns more.
- We receive frames (``copy=False``) and ask them for ``more``: to ask the socket takes 0.7 µs. We
  do not ask the first part that a ROUTER gives us, the peer: another part always follows it.
- After an Again in the middle of a message libzmq would swallow the next message, unless it gets
  the remaining parts of this one first. It gets them, and the whole message waits again.
- Where I/O threads may be held, they wait while a large burst is handled, and what is sent in
  answer leaves together, at the next turn: see `zmqbridge._bridge.iothreads`.
- During a pause a turn reads EVENTS, which silences the FD, but no message: unread messages fill
  RCVHWM, and then the peer has to wait.
- A callback may run the loop again (nest_asyncio and the like). While messages are delivered, a
  turn stands by in the loop's own queue, because the FD may be silent and no turn scheduled.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import zmq

from zmqbridge._bridge.calls import recv_of
from zmqbridge._bridge.catchup import CatchUp
from zmqbridge._bridge.driver import PumpDriver
from zmqbridge._bridge.iothreads import holding_of
from zmqbridge._bridge.patrol import pause_of
from zmqbridge._bridge.sending import DONTWAIT, EVENTS, POLLIN, POLLOUT, Sending
from zmqbridge.core._pacing import BURST, LARGE, SLICE, next_length
from zmqbridge.core.framing import Message
from zmqbridge.core.patterns import Pattern, Told
from zmqbridge.core.sendqueue import HIGH
from zmqbridge.errors import OutOfMemory, PeerUnreachable, ZmqBridgeError


class Pump(Sending):
    """Moves whole messages between one libzmq socket and its driver, never blocking.

    - commands: `send`, `try_send`, `discard`, `schedule`, `stand_by`, `standing_by`, `caught_up`,
      `close`
    - inputs: `ring`, `turn`, `fetch`, `patrol` (time passed)
    - getters: `queues`, `backlog`, `queued`, `sent`, `received`, `lost`, `refused`, `dropped` (of
      which `unreachable`), `withdrawn`, `unroutable`, `turn_wanted`

    What the driver owes is written at `PumpDriver`. For a ROUTER, after `stalled` was called, it
    calls `patrol` again and again, each time after the seconds that `patrol` returned.

    Args:
        socket, kind: the libzmq socket, used until `close`; its type, None to ask it.
        driver: gives the pump its turns, and tells the waiters that the pattern names.
        pattern: takes the messages, and says before how many it takes.
        end: called with the reason when the socket cannot be used any more.
        high: the high water mark of the send queue (of each peer's queue, for a ROUTER).

    Attributes:
        stalled: called with a queue when the first message has to wait in it.
    """

    __slots__ = (
        "_burst", "_catch_up", "_end", "_filled_at", "_holding", "_keeps_up", "_more", "_read_at",
        "_recv", "_reported", "lost", "received",
    )  # fmt: skip

    turn_wanted: bool

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        driver: PumpDriver,
        pattern: Pattern,
        end: Callable[[ZmqBridgeError], object],
        high: float = HIGH,
        kind: int | None = None,
    ) -> None:
        super().__init__(socket, driver, pattern, high, kind)
        self._end = end
        self._recv = recv_of(socket)
        self._holding = holding_of(socket.context)
        self._catch_up: CatchUp | None = None  # made when something expires
        # Whether the last burst ended because of its length; when it ended, and the last such one.
        self._more = self._keeps_up = self._reported = False
        self._read_at, self._filled_at = 0.0, -inf
        self._burst = BURST // 4
        self.received: int = 0
        self.lost: int = 0

    def ring(self) -> None:
        """The FD rang: hand over the message that made it ring, then do what a turn does.

        Mostly it is one message. It is taken before EVENTS are read. They are read when the message
        was handled; one reading then serves the answer, too, which leaves 5 µs earlier.
        """
        room = self._pattern.room
        if self.queues or self.closed or room() < 1:
            self.turn()
            return
        try:
            burst = [self.take()]
        except zmq.Again:
            return  # the attempt has silenced the FD, as reading EVENTS does
        except (zmq.ZMQError, MemoryError):
            self.turn()  # it meets the same error and handles it, or reads the rest
            return
        if self._patrol is not None:
            now = self.monotonic()
            if now > self._patrol.ages_at:
                self._patrol.age(now)
        self.received += 1
        comes, self.turn_wanted = self.turn_wanted, True  # an answer from here schedules no turn
        # `standing_by`, without its frame, which would be 3 % of a request.
        queue = self._loop_queue
        if queue is not None:
            standby = self._standby = self._standby or self._driver.standby_turn()
            queue.appendleft(standby)
        try:
            # `hand_over`, without its frame.
            told = self._pattern.feed(burst)
            if self._pattern.rejected is None:
                self._driver.tell(*told)
            else:
                self._reject(told)
            # If two messages of 1 MiB are alive at once, malloc gives their memory back to the
            # system afterwards (M_TRIM_THRESHOLD in mallopt(3)): up to 20 page faults a message.
            del burst, told
        finally:
            if queue and queue[0] is standby:
                queue.popleft()
            if not comes:
                self.turn()

    def caught_up(self, late: float, again: bool = True) -> bool:
        """Read what has come, before something expires; False: ask again after SETTLES.

        Args:
            late: by how many seconds the timer of what expires is late.
            again: it was asked about this deadline before.
        """
        self.turn()
        self._catch_up = self._catch_up or CatchUp()
        return self._catch_up.looked(late, self.monotonic(), self.received, self._filled_at, again)

    def turn(self) -> None:
        """Do what there is to do now: flush the queues, then read a burst."""
        self.turn_wanted = False
        if self.closed:
            self._report()
            return
        holding = self._holding
        if holding is not None and holding.held:
            holding.let_run()
        burst: list[Message] = []
        again = False
        broken: ZmqBridgeError | None = None
        get = self._get
        try:
            events = get(EVENTS)
            # A ROUTER has no POLLOUT for a peer that left.
            if self.queues and (self._patrol is not None or events & POLLOUT):
                again = True  # also when what shows an error raises
                again, events = self._flush_twice(events)
            if events & POLLIN:
                again = self._read(burst) or again
            else:
                self._more = False
        except (zmq.ZMQError, ZmqBridgeError) as error:
            broken = self._broken(error)
        try:
            if burst and not self.closed:
                self.received += len(burst)
                if holding is not None and len(burst) > 1:
                    again = holding.before(len(burst)) or again
                self.standing_by(self.hand_over, burst)
                if holding is not None and len(burst) > 1:
                    holding.after(len(burst))
        finally:
            if again:
                self._filled_at = self._read_at if self._more else self._filled_at
                # After the receivers have run, so that one turn also serves what they send.
                self.schedule()
            self._reported = False
            if broken and not self.closed:
                self._end(broken)
            if self._unreported:
                self._report()

    def keep_up(self) -> None:
        """Read as much as ever, however long it takes to handle that: it gives way to newer."""
        self._keeps_up = True

    def fetch(self) -> None:
        """Read a burst for a call that does not wait."""
        burst: list[Message] = []
        again = True
        try:
            again = self._read(burst)
        except (zmq.ZMQError, ZmqBridgeError):
            pass  # the turn meets the same error and handles it
        if again:
            self.schedule()
        if burst:
            self.received += len(burst)
            self._reported = False
            self.hand_over(burst)

    def hand_over(self, burst: list[Message]) -> None:
        """Hand over messages that were read."""
        told = self._pattern.feed(burst)
        if self._pattern.rejected is None:
            self._driver.tell(*told)
        else:
            self._reject(told)

    def _reject(self, told: Told) -> None:
        # Once for a burst; a ring and the turn that it ends with are one.
        rejected, self._pattern.rejected = self._pattern.rejected, None
        try:
            if rejected is not None and not self._reported:
                self._reported = True
                self._driver.report(rejected)
        finally:
            self._driver.tell(*told)

    def take(self) -> Message:
        """The next message; zmq.Again: there is none, MemoryError: it was lost and is reported."""
        recv, patrol = self._recv, self._patrol
        message = [] if patrol is None else [recv(DONTWAIT)]
        frame = recv(DONTWAIT, False)
        try:
            message.append(frame.bytes)
            if patrol is not None and message[0] not in patrol.known:
                patrol.connections.learn(message[0], frame)
            while frame.more:
                frame = recv(DONTWAIT, False)
                message.append(frame.bytes)
        except MemoryError:
            self._lose(frame)
            raise
        return message

    def _lose(self, frame: Any) -> None:
        # There is no memory for a copy of this part. The rest of its message must be skipped.
        size = len(getattr(frame, "buffer", b""))
        while frame.more:
            frame = self._recv(DONTWAIT, False)
        self.received += 1
        self.lost += 1
        error = OutOfMemory(f"a message was lost: no memory for a part of {size} bytes")
        self._unreported += (error,)

    def _read(self, burst: list[Message]) -> bool:
        # True when the burst ended before the messages did. It has the loop of `take` again,
        # because a call would be most of what a message costs here.
        now = self.monotonic()
        if self._more and not self._keeps_up:
            self._burst = next_length(self._burst, now - self._read_at)
        room = int(min(self._pattern.room(), self._burst))
        self._more = room == self._burst
        recv, append, patrol = self._recv, burst.append, self._patrol
        if patrol is not None and (room < 1 or now > patrol.ages_at):
            room = patrol.allows(room, now)
        # How many messages until we read the clock again: as many as all before. So a burst takes
        # at most twice its time, and the clock is read a few times only.
        stretch = 1
        try:
            while room > 0:
                for _ in range(min(stretch, room)):
                    if patrol is None:
                        frame = recv(DONTWAIT, False)
                        message = [frame.bytes]
                    else:
                        message = [recv(DONTWAIT)]
                        frame = recv(DONTWAIT, False)
                        message.append(frame.bytes)
                        if message[0] not in patrol.known:
                            patrol.connections.learn(message[0], frame)
                    while frame.more:
                        frame = recv(DONTWAIT, False)
                        message.append(frame.bytes)
                    append(message)
                room, stretch = room - stretch, len(burst)
                self._read_at = self.monotonic()
                # After a single message read EVENTS, at a third of the price of an Again.
                if stretch == 1 and not self._get(EVENTS) & POLLIN:
                    self._more = False
                    return bool(self.queues)
                # We take the size of the last part for that of all messages.
                if self._read_at > now + SLICE or len(message[-1]) * stretch >= LARGE:
                    break
        except zmq.Again:
            self._more = False
            return bool(self.queues)  # this may have silenced the FD when there was room again
        except MemoryError:
            self._lose(frame)
            return True
        return bool(burst)  # without room it is empty; the driver schedules a turn for new room

    def patrol(self) -> float:
        """Look after the peers of a ROUTER for which messages wait.

        The queue of each peer is tried in a turn now; the queue of a peer whose connection has gone
        is given up. Returns the seconds until this is due again, ``inf`` when no message waits.
        """
        patrol = self._patrol
        stuck = list(self.queues)
        if patrol is None or not stuck:
            if patrol is not None:
                patrol.end(stuck)
            return inf
        # When all messages are read, libzmq itself tells which peers have gone or came back.
        unread = self._pattern.room() < 1 and self._unread()
        waiters: list[Any] = []
        for peer in patrol.begin(stuck, unread):
            if peer in self.queues:
                self._give_up(peer, PeerUnreachable(peer))
                waiters += self.queues.served(peer)
        before = self.received
        try:
            self._report_and_tell(waiters)
        finally:
            patrol.untried = list(self.queues)
            self.turn()
            pause = patrol.end(stuck, self.received - before)
        return min(pause, self.pause_of_patrols())

    def pause_of_patrols(self) -> float:
        """The seconds between two patrols while as many peers are stuck as now."""
        return pause_of(len(self.queues))

    def close(self, remains: list[Any] | None = None) -> list[Any]:
        """Stop for good, drop what is queued, and return the senders that wait.

        Args:
            remains: the containers of messages and waiters are appended, see `Untold`.
        """
        self.closed = True
        if self._holding is not None and self._holding.held:
            self._holding.let_run()
        return self.queues.close([] if remains is None else remains)
