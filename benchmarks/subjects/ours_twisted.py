"""zmqbridge.twisted_backend on the global reactor; Twisted's default is epoll on Linux."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, reactor, task

from benchmarks.subjects.deferreds import at_once
from benchmarks.subjects.ours import Main, roles
from zmqbridge import twisted_backend


def run(main: Main) -> Any:
    results: list[Any] = []

    async def measured() -> None:
        results.append(await main())

    try:
        task.react(lambda _: defer.Deferred.fromCoroutine(measured()), _reactor=reactor)
    except SystemExit:
        pass
    return results[0]


def sleep(seconds: float) -> defer.Deferred[None]:
    return task.deferLater(reactor, seconds)


globals().update(roles(twisted_backend, run, sleep, at_once))
