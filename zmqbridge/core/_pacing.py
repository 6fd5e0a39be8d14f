"""Pacing: how long a socket works before the loop has its turn again."""

from __future__ import annotations

# A burst ends after this time: with 1 ms, a ticker of 5 ms keeps its ticks. It also ends after this
# number of messages: with more, the cost of a turn is no longer seen in the cost of a message.
SLICE = 0.001  # seconds
BURST = 512
# Handling a burst may take longer than reading it. When it took more than two slices, the next
# burst is half as long, but not shorter than this; when it took less than one, twice as long.
SHORTEST = 16
# A burst ends after this number of bytes, too. Then its messages are still in the cache when they
# are handed over, and their memory is used again; the memory of a burst of 8 MiB is given back to
# the system and fetched again. A receiver of 1 MiB messages is up to 1.6 times as fast.
LARGE = 262_144  # bytes
# Sends between two looks at the clock, which decides whether the loop has to have its turn.
STRIDE = 64
# What is published or answered again for one peer goes out in parts: so many messages, so many
# publications or tags that are looked at, and so many bytes. A part takes half a millisecond at
# most; then the loop has its turn.
PART, LOOK, PART_BYTES = 16, 160, 65_536


def next_length(length: int, seconds: float) -> int:
    """How many messages the next burst may have.

    Args:
        length: how many the last burst had, which ended because of its length.
        seconds: how long it took to handle it.
    """
    if seconds > 2 * SLICE:
        return max(SHORTEST, length // 2)
    if seconds < SLICE:
        return min(BURST, length * 2)
    return length
