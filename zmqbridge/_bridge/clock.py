"""Clock: the monotonic clock, also in a test that freezes the time for the program around it.

Such tools (freezegun) put another function wherever a module has `time.monotonic`. It gives the
seconds of another epoch: what was to be over by it is so never, or at once, when time goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

# They go by identity, and this is another object; a function of Python would cost more, 50 ns.
monotonic: Callable[[], float] = partial(time.monotonic)
