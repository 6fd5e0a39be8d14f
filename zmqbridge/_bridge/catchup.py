"""CatchUp: whether a loop that was held up has read by now what had come in time."""

from __future__ import annotations

# When a timer is this late, the loop was held up, and the messages that came meanwhile are read
# before anything expires. While we read, libzmq's I/O thread brings more. So we read until nothing
# has come for some milliseconds, but not for ever, because messages may never end.
HELD_UP = 0.01  # seconds
SETTLES = 0.002  # seconds
QUIET = 5  # times that nothing has come, as the I/O thread may have to wait for a core
AT_LAST = 1.0  # seconds, or for as long as the loop was held up


class CatchUp:
    """Counts how often a turn has found nothing to read."""

    __slots__ = ("_give_up_at", "_unquiet")

    def __init__(self) -> None:
        self._unquiet = 0  # how often nothing must come before that is enough
        self._give_up_at = 0.0  # when it was tried for long enough

    def looked(self, late: float, now: float, *, came: bool) -> bool:
        """A turn has read what there was; False: look again after SETTLES.

        Args:
            late: by how many seconds the timer of what expires is late.
            now: the time, in seconds.
            came: whether there was anything to read.
        """
        if late > HELD_UP and came:
            self._give_up_at = self._give_up_at or now + max(late, AT_LAST)
            self._unquiet = QUIET
        elif self._unquiet:
            self._unquiet -= 1
        if self._unquiet and now < self._give_up_at:
            return False
        self._give_up_at = 0.0
        return True
