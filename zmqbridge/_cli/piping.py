"""Piping: moves messages between standard input and output and a socket of any pattern."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any

import zmq

from zmqbridge._cli import pretty
from zmqbridge._cli.ending import FAILED, OK, Refused, descriptor_of
from zmqbridge._cli.formats import Format, Item
from zmqbridge._cli.keys import policies_of, security_of
from zmqbridge._cli.stdio import lines
from zmqbridge.core.connectionevents import with_cause
from zmqbridge.errors import ConnectTimeout, HandshakeFailed, StateUnknown
from zmqbridge.security import Policy

# How long messages may take to leave when no time was given.
SEND_TIMEOUT = 30.0  # seconds
MOMENT = 0.001  # seconds
# After this time a command says that no peer takes what it sends, and goes on waiting.
PATIENCE = 5.0  # seconds
CATCH_UP = 0.1  # seconds
NO_FIELD = "this socket sends no tag and names no peer; leave it out"


@dataclass
class Options:
    """What the command line gave.

    Attributes:
        connect, bind: addresses.
        form: how a message is written as a line.
        count: how many messages, ``inf`` for no end.
        timeout: seconds of silence, ``inf`` for any.
        rate: messages a second at the most.
        curve: the file of a key, None for no encryption.
        clients, own_key: see `zmqbridge._cli.keys`.
        identity: the routing id, None for one that libzmq chooses.
        words: tags, the tag of a publisher, or the parts of a reply.
    """

    connect: list[str]
    bind: list[str]
    form: Format
    count: float = inf
    timeout: float = inf
    rate: float = inf
    curve: str | None = None
    clients: str | None = None
    own_key: str | None = None
    identity: bytes | None = None
    words: list[bytes] = field(default_factory=list)

    def tags(self) -> list[bytes]:
        """The words as tags; raises `Refused` if one is an address, which was meant otherwise."""
        for word in self.words:
            if b"://" in word:
                raise Refused(f"{os.fsdecode(word)} is an address: give it by -c or -b")
        return self.words

    @property
    def linger(self) -> float:
        """How many seconds sent messages may take to leave."""
        return SEND_TIMEOUT if self.timeout == inf else self.timeout

    def of_socket(self) -> dict[str, Any]:
        """The arguments for the constructor of the socket."""
        options: dict[int, Any] = {zmq.LINGER: int(self.linger * 1000)}
        if self.identity is not None:
            options[zmq.ROUTING_ID] = self.identity
        if any("[" in address for address in (*self.connect, *self.bind)):
            options[zmq.IPV6] = 1
        return {
            "connect": self.connect,
            "bind": self.bind,
            "options": options,
            "security": security_of(
                self.curve, serves=bool(self.bind), clients=self.clients, own_key=self.own_key
            ),
        }

    def policies(self) -> dict[str, Policy] | None:
        """Which clients are let in; None for all."""
        return policies_of(self.clients, self.own_key, curve=[self.curve], serves=[bool(self.bind)])


async def items(
    options: Options, fields: int = 0, refusal: str = NO_FIELD
) -> AsyncIterator[tuple[int, Item]]:
    """The messages of standard input with the numbers of their lines, no faster than the rate.

    Raises:
        Refused: a line stands for no message; or it has a tag or a peer where the socket has none,
            which `refusal` says.
    """
    loop = asyncio.get_running_loop()
    number, due = 0, loop.time()
    async for line in lines():
        number += 1
        try:
            item = options.form.read(line, fields)
            if not fields and (item.tag or item.peer):
                raise ValueError(refusal)
        except (ValueError, RecursionError) as error:
            raise Refused(f"line {number}: {error}") from None
        yield number, item
        if number >= options.count:
            return
        if options.rate < inf:
            # What a busy machine was late by is caught up, but not the whole of a long pause.
            due = max(due + 1 / options.rate, loop.time() - CATCH_UP)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())


class Output:
    """Standard output, which is flushed when the loop has nothing more to write for now."""

    def __init__(self, options: Options) -> None:
        descriptor_of(sys.stdout, "output")
        self._form = options.form
        self._show = pretty.printer_of_lines()
        self._flushes = False
        self.written: int = 0

    def write(self, item: Item) -> None:
        """Write a message."""
        self.written += 1
        if self._show is not None:
            self._show(self._form.write(item), len(self._form.write(item._replace(parts=[]))))
            return
        sys.stdout.buffer.write(self._form.write(item) + b"\n")
        if not self._flushes:
            self._flushes = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        try:
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            for task in asyncio.all_tasks():
                task.cancel()


def within(timeout: float) -> asyncio.Timeout:
    """`asyncio.timeout`, where ``inf`` means for ever."""
    return asyncio.timeout(None if timeout == inf else timeout)


async def write_all(
    socket: Any, next_item: Callable[[], Awaitable[Item]], options: Options, output: Output
) -> int:
    """Write messages until there are enough, or no more come; returns the exit status."""
    while output.written < options.count:
        try:
            async with within(options.timeout):
                item = await next_item()
        except TimeoutError:
            if options.count < inf:
                print(f"{output.written} of {options.count} messages came", file=sys.stderr)
                return FAILED
            if not output.written:
                reason = await why_nothing(socket)
                print(f"nothing came within {options.timeout:g} s{reason}", file=sys.stderr)
            return OK if output.written else FAILED
        output.write(item)
    return OK


async def all_sent(socket: Any, options: Options) -> int:
    """Wait until libzmq has taken what was sent; returns the exit status."""
    left = await socket.drain(None if options.timeout == inf else options.timeout)
    if left:
        print(f"not all was sent: no peer takes it ({await why_not(socket)})", file=sys.stderr)
    return FAILED if left else OK


async def why_nothing(socket: Any) -> str:
    """Why a socket receives nothing, in brackets, if no peer is there; else ""."""
    try:
        await socket.connected(MOMENT)
    except StateUnknown:
        return ""
    except (ConnectTimeout, HandshakeFailed):
        return f" ({await why_not(socket)})"
    return ""


@asynccontextmanager
async def watched(socket: Any) -> AsyncIterator[None]:
    """Say once that no peer takes what a socket sends, if that is so for a while."""

    async def watch() -> None:
        before = -1
        while True:
            await asyncio.sleep(PATIENCE)
            now = socket.statistics()
            if now.queued and now.sent == before:
                print(f"waiting: {await why_not(socket)}", file=sys.stderr, flush=True)
                return
            before = now.sent

    watching = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        watching.cancel()


def tell_where(socket: Any, options: Options) -> None:
    """Say which port libzmq has chosen, where that was left to it."""
    if any(each.endswith((":*", ":0")) for each in options.bind):
        print(f"listening at {', '.join(socket.addresses)}", file=sys.stderr, flush=True)


async def why_not(socket: Any) -> str:
    """Why no peer takes what a socket sends, as far as that is known."""
    try:
        await socket.connected(MOMENT)
    except StateUnknown:
        return "it is not known whether a peer is there"
    except (ConnectTimeout, HandshakeFailed) as error:
        failure = getattr(error, "failure", None)
        if isinstance(error, HandshakeFailed):
            return str(error)
        return (
            "no peer is there" if failure is None else f"the last handshake: {with_cause(failure)}"
        )
    return "the peers do not read"


async def both_ways(
    socket: Any,
    receive: Callable[[], Awaitable[Item]],
    send: Callable[[int, Item], Awaitable[None]],
    options: Options,
    fields: int,
) -> int:
    """Send what comes from standard input, and write what is received, also after its end."""

    async def send_all() -> None:
        async for number, item in items(Options([], [], options.form, rate=options.rate), fields):
            await send(number, item)

    sending = asyncio.ensure_future(send_all())
    receiving = asyncio.ensure_future(write_all(socket, receive, options, Output(options)))
    tell_where(socket, options)
    try:
        done, _ = await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task  # this raises if the task has failed
        status = await receiving
        await all_sent(socket, options)
        return status
    finally:
        for task in (sending, receiving):
            task.cancel()
