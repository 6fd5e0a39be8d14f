"""zmqbridge.asyncio_backend with another scheduling policy of libzmq's I/O thread."""

from __future__ import annotations

from benchmarks.subjects.ours import with_batch_io
from benchmarks.subjects.ours_asyncio import on
from zmqbridge import asyncio_backend

globals().update(on(None, with_batch_io(asyncio_backend)))
