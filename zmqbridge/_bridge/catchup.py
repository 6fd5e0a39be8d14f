"""CatchUp: whether a loop that was busy for too long has read all messages that came in time."""

from __future__ import annotations

# When a timer is this late, the loop was held up, and the messages that came in this time are
# read before anything expires. While we read, libzmq's I/O thread brings more. So we read until
# nothing has come for some milliseconds, but not for ever, because messages may never end.
HELD_UP = 0.01  # seconds
SETTLES = 0.002  # seconds between two turns
# The I/O thread may have to wait for a core. So this many turns without a message are wanted, or
# more: as long as the loop was held up, within a bound.
QUIET, MOST_QUIET = 5, 100
# After a burst that left messages as long, too: then the loop was held up or is behind, if only
# before the timer was due.
RESTS = 0.1  # seconds
AT_LAST = 1.0  # seconds; or as long as the loop was held up, if that is longer
# But not before so many turns have read something: they may be slow, where each wakes many tasks.
AT_LEAST = 100


class CatchUp:
    """Counts the turns that found nothing to read, until there were enough of them."""

    __slots__ = ("_give_up_at", "_reads", "_seen", "_unquiet")

    def __init__(self) -> None:
        self._seen = 0  # how many messages had come at the last look
        self.begin()

    def begin(self) -> None:
        """Begin anew: what was read for before was answered, or was given up, before the end."""
        self._unquiet = 0  # how many turns without a message are still wanted
        self._give_up_at = 0.0  # the time at which to stop in any case
        self._reads = 0  # how many turns since the first have read something

    def looked(self, late: float, now: float, received: int, filled_at: float, again: bool) -> bool:
        """Take the result of a turn; returns whether all is read, or else to try after SETTLES.

        Args:
            late: how many seconds the timer of the deadline is late.
            now: the time, in seconds.
            received: how many messages have come; those that came before the turn count, because
                on many loops they are read before a timer of the same time goes off.
            filled_at: when the last burst was read that left messages.
            again: it looked before for the same deadline.
        """
        if not again:
            self.begin()
        came, self._seen = received > self._seen, received
        if came and late > HELD_UP:
            self._unquiet = quiet(late)
        elif self._unquiet:
            self._unquiet -= 1
        if self._unquiet or now < filled_at + RESTS:
            self._give_up_at = self._give_up_at or now + max(late, AT_LAST)
            self._reads += came
            if now < self._give_up_at or self._reads < AT_LEAST:
                return False
        self.begin()
        return True


def quiet(late: float) -> int:
    """Return how many turns without a message there must be when a timer is some seconds late."""
    return min(max(QUIET, round(late / SETTLES)), MOST_QUIET)
