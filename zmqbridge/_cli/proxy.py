"""`zmqbridge proxy` and what `tap` shares with it: a proxy that runs until it is told to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from math import inf
from typing import Any

from zmqbridge._cli.ending import INTERRUPTED, OK
from zmqbridge._cli.guarding import Guarded, guarded, marked
from zmqbridge.asyncio_backend import Proxy
from zmqbridge.errors import ProxyStalled
from zmqbridge.proxies import Side

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(
    kind: str, capture: str | None, statistics: float, mark: int | None, **guarding: Any
) -> int:
    """Run a proxy until SIGINT or SIGTERM; returns the exit status."""
    try:
        captured = None if capture is None else Side.parse(capture)
        given = marked(kind, guarded(**guarding), mark)
        return asyncio.run(serve(kind, given, captured, statistics))
    finally:
        be_deaf()


def be_deaf() -> None:
    """Ignore signals, as the process ends already: another one would change its status."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


async def serve(kind: str, given: Guarded, capture: Side | None, every: float) -> int:
    """Run a proxy, and print its addresses and now and then its statistics."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the caller says it
    front, back, policies = given
    async with Proxy(kind, front, back, capture, policies=policies) as proxy:
        told = until_told()
        introduce(proxy)
        telling = asyncio.ensure_future(tell(proxy, every))
        ended = asyncio.ensure_future(proxy.ended())
        try:
            waited: set[asyncio.Future[Any]] = {told, telling, ended}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for task in (telling, ended):
                if task.done():
                    task.result()
            if every < inf:
                await tell_once(proxy)
            return OK if told.done() and told.result() == signal.SIGTERM else INTERRUPTED
        finally:
            telling.cancel()
            ended.cancel()


def until_told() -> asyncio.Future[int]:
    """A future that is done when SIGINT or SIGTERM tells this process to end."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[int] = loop.create_future()

    def hear(number: int, _: object) -> None:
        for each in SIGNALS:
            # The next signal ends the process at once.
            signal.signal(each, lambda *_: os._exit(INTERRUPTED))
        loop.call_soon_threadsafe(told.set_result, number)

    for each in SIGNALS:
        signal.signal(each, hear)  # not by the loop's own method, which needs a loop that runs
    return told


def introduce(proxy: Proxy) -> None:
    """Print the addresses of a proxy."""
    places = [*proxy.front_addresses], [*proxy.back_addresses]
    text = f"{proxy.kind}: front {', '.join(places[0])}; back {', '.join(places[1])}"
    if proxy.capture_addresses:
        text += f"; capture {', '.join(proxy.capture_addresses)}"
    print(text, file=sys.stderr, flush=True)


async def tell(proxy: Proxy, every: float) -> None:
    """Print the statistics, again and again."""
    while True:
        await asyncio.sleep(min(every, 1e9))
        await tell_once(proxy)


async def tell_once(proxy: Proxy) -> None:
    """Print the statistics as a line of JSON."""
    line: dict[str, Any]
    try:
        line = (await proxy.statistics())._asdict()
    except ProxyStalled as error:
        line = {"stalled": str(error)}
    print(json.dumps(line), flush=True)
