"""zmqbridge.asyncio_backend on a user's own context, whose I/O thread it may not hold."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import zmq

from benchmarks.subjects.ours_asyncio import on
from zmqbridge import asyncio_backend

context = zmq.Context()
backend = SimpleNamespace(
    Requester=partial(asyncio_backend.Requester, context=context),
    Replier=partial(asyncio_backend.Replier, context=context),
)

globals().update(on(None, backend))
