"""zmqbridge.twisted_backend with another scheduling policy of libzmq's I/O thread."""

from __future__ import annotations

from benchmarks.subjects.ours import roles, with_batch_io
from benchmarks.subjects.ours_twisted import at_once, run, sleep
from zmqbridge import twisted_backend

globals().update(roles(with_batch_io(twisted_backend), run, sleep, at_once))
