"""Clock: the monotonic clock, also in a test that freezes the time for the program around it.

Such tools (freezegun) put another function wherever a module has `time.monotonic`. That function
has another epoch, so a wait that was measured with both would end at once, or never.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

# These tools look for the same object, and this is another one. A function in Python would take
# 50 ns more.
monotonic: Callable[[], float] = partial(time.monotonic)
