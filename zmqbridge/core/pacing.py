"""Pacing: how long a socket works before the loop has its turn again."""

from __future__ import annotations

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
# Sends between two looks at the clock, which decides whether the loop has to have its turn.
STRIDE = 64


def next_length(length: int, seconds: float) -> int:
    """How many messages the next burst may have.

    Args:
        length: how many the last one had, of which its length was the end.
        seconds: how long it took to handle it.
    """
    if seconds > 2 * SLICE:
        return max(SHORTEST, length // 2)
    if seconds < SLICE:
        return min(BURST, length * 2)
    return length
