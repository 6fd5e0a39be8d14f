"""zmqbridge.asyncio_backend on uvloop."""

import uvloop

from benchmarks.subjects import ours_asyncio
from benchmarks.subjects.ours_asyncio import *  # noqa: F403

ours_asyncio.loop_factory = uvloop.new_event_loop
