"""zmqbridge.asyncio_backend on uvloop."""

import uvloop

from benchmarks.subjects.ours_asyncio import on

globals().update(on(uvloop.new_event_loop))
