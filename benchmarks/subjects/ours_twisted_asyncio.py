"""zmqbridge.twisted_backend on Twisted's asyncio reactor."""

from twisted.internet import asyncioreactor

asyncioreactor.install()

from benchmarks.subjects.ours_twisted import *  # noqa: E402, F403
