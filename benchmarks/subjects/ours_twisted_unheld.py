"""zmqbridge.twisted_backend on a context of its user, whose I/O thread is not held."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import zmq

from benchmarks.subjects.deferreds import at_once
from benchmarks.subjects.ours import roles
from benchmarks.subjects.ours_twisted import run, sleep
from zmqbridge import twisted_backend

context = zmq.Context()
backend = SimpleNamespace(
    Requester=partial(twisted_backend.Requester, context=context),
    Replier=partial(twisted_backend.Replier, context=context),
)

globals().update(roles(backend, run, sleep, at_once))
