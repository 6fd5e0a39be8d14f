"""Standard input as lines of bytes, on an asyncio loop."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError

from zmqbridge._cli.ending import Refused, descriptor_of

CHUNK = 65536  # bytes of standard input that are read in one go


async def lines() -> AsyncIterator[bytes]:
    """The lines of standard input, without their ends."""
    # A thread, as a file cannot be watched; `os.read`, as Python does not end while a thread is
    # in one of its own readers.
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue(4)

    def read() -> None:
        more = True
        while more:
            chunk: bytes | OSError
            try:
                chunk = os.read(descriptor, CHUNK)
            except BlockingIOError:
                select.select([descriptor], [], [])
                continue
            except OSError as error:
                chunk = error
            putting = chunks.put(chunk)
            try:
                asyncio.run_coroutine_threadsafe(putting, loop).result()
            except (RuntimeError, CancelledError):  # the loop has ended
                putting.close()
                return
            more = bool(chunk) and not isinstance(chunk, OSError)

    descriptor = descriptor_of(sys.stdin, "input")
    threading.Thread(target=read, daemon=True).start()
    rest: list[bytes] = []  # joined once, as a line may be many chunks long
    while chunk := await chunks.get():
        if isinstance(chunk, OSError):
            raise Refused(f"standard input cannot be read: {chunk.strerror}")
        *whole, last = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*rest, line])
            rest = []
        rest.append(last)
    if final := b"".join(rest):
        yield final
