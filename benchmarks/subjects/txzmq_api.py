"""The roles in the API of txZMQ, for the original and for the facade alike."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from types import ModuleType
from typing import Any

import zmq
from twisted.internet.defer import Deferred

from benchmarks.subjects.common import (
    TIMEOUT,
    Request,
    Result,
    Stopwatch,
    requests_at_once,
    requests_in_turn,
    told_to_go,
)
from benchmarks.subjects.deferreds import at_once

BATCH = 1000  # sends between two turns of the reactor; the original never waits


def roles(txzmq: ModuleType) -> dict[str, Callable[..., Any]]:
    """All roles on one of the two packages."""
    from twisted.internet import reactor

    def connection(kind: str, how: str, address: str) -> Any:
        return getattr(txzmq, kind)(txzmq.ZmqFactory(), txzmq.ZmqEndpoint(how, address))

    def run(start: Callable[[Callable[[Any], None]], None]) -> Any:
        results = []

        def done(result: Any) -> None:
            results.append(result)
            reactor.stop()

        reactor.callWhenRunning(start, done)
        reactor.run()
        return results[0]

    def counter(count: int, done: Callable[[Any], None]) -> Callable[..., None]:
        left, watch = count + 1, Stopwatch(count)

        def got(*args: Any) -> None:
            nonlocal left, watch
            left -= 1
            if left == count:
                watch = Stopwatch(count)
            elif left == 0:
                done(watch.rate())

        return got

    def pull(address: str, count: int) -> Result:
        def start(done: Callable[[Any], None]) -> None:
            connection("ZmqPullConnection", "bind", address).onPull = counter(count, done)

        return run(start)

    def subscribe(address: str, count: int) -> Result:
        def start(done: Callable[[Any], None]) -> None:
            subscriber = connection("ZmqSubConnection", "bind", address)
            subscriber.gotMessage = counter(count, done)
            subscriber.subscribe(b"")

        return run(start)

    def send_all(count: int, send: Callable[[], None], done: Callable[[Any], None]) -> None:
        watch, left = Stopwatch(count), count

        def batch() -> None:
            nonlocal left
            for _ in range(min(BATCH, left)):
                send()
            left -= BATCH
            if left > 0:
                reactor.callLater(0, batch)
            else:
                done(watch.rate())

        batch()

    def push(address: str, count: int, body: bytes) -> Result:
        def start(done: Callable[[Any], None]) -> None:
            pusher = connection("ZmqPushConnection", "bind", address)

            def first() -> None:
                try:
                    pusher.push(b"first")
                except zmq.error.Again:
                    reactor.callLater(0.001, first)
                else:
                    send_all(count, lambda: pusher.push(body), done)

            first()

        return run(start)

    def publish(address: str, count: int, body: bytes) -> Result:
        def start(done: Callable[[Any], None]) -> None:
            publisher = connection("ZmqPubConnection", "bind", address)

            def first() -> None:
                publisher.publish(b"first", b"")
                if told_to_go():
                    send_all(count, lambda: publisher.publish(body, b"tag"), done)
                else:
                    reactor.callLater(0.001, first)

            first()

        return run(start)

    def replier(address: str) -> None:
        def start(done: Callable[[Any], None]) -> None:
            answering = connection("ZmqREPConnection", "bind", address)
            answering.gotMessage = answering.reply

        run(start)

    def asking(address: str, ask: Callable[[Request], Coroutine[Any, Any, Result]]) -> Result:
        def start(done: Callable[[Any], None]) -> None:
            requester = connection("ZmqREQConnection", "connect", address)
            asked = ask(partial(requester.sendMsg, timeout=TIMEOUT))
            Deferred.fromCoroutine(asked).addCallback(done)

        return run(start)

    def ask_many(address: str, count: int, body: bytes) -> Result:
        return asking(address, lambda request: requests_at_once(request, count, body, at_once))

    def ask_one(address: str, count: int, body: bytes) -> Result:
        return asking(address, lambda request: requests_in_turn(request, count, body))

    return {
        role.__name__: role for role in (pull, subscribe, push, publish, replier, ask_many, ask_one)
    }
