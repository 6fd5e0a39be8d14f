"""`zmqbridge tap`: a proxy that also prints what passes it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from threading import Thread
from time import time
from typing import Any

import zmq

from zmqbridge._cli import pretty
from zmqbridge._cli.ending import INTERRUPTED, OK, descriptor_of
from zmqbridge._cli.formats import FORMATS, Format, Item
from zmqbridge._cli.guarding import Guarded, guarded
from zmqbridge._cli.proxy import be_deaf, introduce, until_told
from zmqbridge.asyncio_backend import Proxy
from zmqbridge.errors import ProxyStalled
from zmqbridge.proxies import Side

CAPTURE = "inproc://tap"
# At most this number of messages wait to be printed; more pass the proxy, and are not printed.
MOST = 100_000
BURST = 200
STEP = 50  # milliseconds
# How long the printing of captured messages may take at the end.
PRINT_TIMEOUT = 1.0  # seconds


def run(kind: str, form: str, count: float, **guarding: Any) -> int:
    """Run a proxy, and print what passes, until it is told to end; returns the exit status."""
    try:
        descriptor_of(sys.stdout, "output")
        return asyncio.run(show(kind, guarded(**guarding), FORMATS[form](), count))
    finally:
        be_deaf()


async def show(kind: str, given: Guarded, form: Format, count: float) -> int:
    """Print until enough was printed, the proxy fails, or this process is told to end."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # the caller says it
    capture = Side(CAPTURE, options={zmq.SNDHWM: MOST})
    async with Proxy(kind, given.front, given.back, capture, policies=given.policies) as proxy:
        told = until_told()
        ended = asyncio.ensure_future(proxy.ended())
        printing = Printing(proxy.context, form, count, loop)
        introduce(proxy)
        printing.start()
        waited: set[asyncio.Future[Any]] = {told, ended, printing.ended}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        printing.stops = True
        await asyncio.wait({printing.ended}, timeout=PRINT_TIMEOUT)
        if told.done():
            status = OK if told.result() == signal.SIGTERM else INTERRUPTED
            await say_what_was_not_printed(proxy, printing.parts)
            if not printing.ended.done():  # the thread waits for a reader of the output
                os._exit(status)
            return status
        if printing.ended.done():
            printing.ended.result()
        if ended.done():
            ended.result()
        ended.cancel()
        return OK


class Printing(Thread):
    """Prints what is captured, in a thread of its own, as standard output may block.

    Attributes:
        parts: how many it has printed.
        stops: set this, and it ends when there is nothing more to print for now.
        ended: a future of the loop.
    """

    def __init__(
        self, context: zmq.Context[Any], form: Format, count: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(name="zmqbridge-printing", daemon=True)
        self._form, self._count, self._loop = form, count, loop
        self.parts: int = 0
        self.stops = False
        self.ended: asyncio.Future[None] = loop.create_future()
        self._captured = context.socket(zmq.SUB)
        self._captured.set(zmq.RCVHWM, MOST)
        self._captured.set(zmq.LINGER, 0)
        self._captured.subscribe(b"")
        self._captured.connect(CAPTURE)

    def run(self) -> None:
        error: BaseException | None = None
        try:
            with self._captured:
                self._print()
        except (OSError, zmq.ZMQError) as caught:
            # Its context ends when the proxy has failed, which the proxy says itself.
            error = None if isinstance(caught, zmq.ContextTerminated) else caught
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._end, error)

    def _end(self, error: BaseException | None) -> None:
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)

    def _print(self) -> None:
        printed, show = 0, pretty.printer_of_lines()
        while printed < self._count:
            if not self._captured.poll(STEP):
                if self.stops:
                    return
                continue
            burst = take(self._captured, int(min(BURST, self._count - printed)))
            for message in burst:
                line = line_of(message, self._form)
                if show is None:
                    sys.stdout.buffer.write(line + b"\n")
                else:
                    show(line, 0)
            sys.stdout.buffer.flush()
            printed += len(burst)
            self.parts += sum(map(len, burst))


def take(captured: zmq.Socket[bytes], most: int) -> list[list[bytes]]:
    """The messages that are there, up to a number."""
    burst: list[list[bytes]] = []
    while len(burst) < most and captured.poll(0):
        burst.append(captured.recv_multipart())
    return burst


def line_of(message: list[bytes], form: Format) -> bytes:
    """A message as a line; in JSON with the time at which it was printed."""
    line = form.write(Item(message))
    if line.startswith(b"{"):
        return b'{"at": %.6f, ' % time() + line[1:]
    return line


async def say_what_was_not_printed(proxy: Proxy, parts: int) -> None:
    """Print how many messages have passed without being printed, if that is known."""
    try:
        counts: Any = await proxy.statistics()
    except ProxyStalled:
        return
    missed = counts.front_received + counts.back_received - parts
    if missed > 0:
        print(f"parts that have passed and were not printed: {missed}", file=sys.stderr)
