"""`zmqbridge sub`, `pub`, `pull`, `push`, `req`, `rep`, `dealer`, `router`: sockets as filters."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

import zmq

from zmqbridge.asyncio_backend import (
    Dealer,
    Publisher,
    Puller,
    Pusher,
    Replier,
    Request,
    Requester,
    Router,
    Subscriber,
)
from zmqbridge.cli.formats import FORMATS, Format, Item, Lines
from zmqbridge.cli.keys import Refused, security_of
from zmqbridge.cli.stdio import descriptor_of, lines
from zmqbridge.cli.telling import INTERRUPTED, until_told
from zmqbridge.errors import (
    ConnectTimeout,
    HandshakeFailed,
    PeerUnreachable,
    RequestTimeout,
    StateUnknown,
    ZmqBridgeError,
)

OK, FAILED, MISUSED = 0, 1, 2
CLOSED_PIPE = 128 + 13  # SIGPIPE, which Windows has not

# How long what was sent may take to leave when no time was given.
PATIENCE = 30.0  # seconds
# A publisher waits so long for the subscriptions of somebody who has just connected.
SUBSCRIBING = 0.2  # seconds
MOMENT = 0.001  # seconds


@dataclass
class Options:
    """What the command line gave.

    Attributes:
        connect, bind: addresses.
        form: how a message is a line.
        count: how many messages, ``inf`` for no end.
        timeout: seconds of silence, ``inf`` for any.
        rate: messages a second at the most.
        curve: the file of a key, None for no encryption.
        words: tags, the tag of a publisher, or the parts of a reply.
    """

    connect: list[str]
    bind: list[str]
    form: Format
    count: float = inf
    timeout: float = inf
    rate: float = inf
    curve: str | None = None
    words: list[bytes] = field(default_factory=list)

    @property
    def linger(self) -> float:
        """Seconds in which what was sent may leave."""
        return PATIENCE if self.timeout == inf else self.timeout

    def of_socket(self) -> dict[str, Any]:
        """The arguments of a constructor."""
        options = {zmq.LINGER: int(self.linger * 1000)}
        if any("[" in address for address in (*self.connect, *self.bind)):
            options[zmq.IPV6] = 1
        return {
            "connect": self.connect,
            "bind": self.bind,
            "options": options,
            "security": security_of(self.curve, serves=bool(self.bind)),
        }


def run(pattern: str, **given: Any) -> int:
    """Be a socket of this pattern, between standard input and output; returns the exit status."""
    form = FORMATS[given.pop("form")]()
    options = Options(form=form, **given)
    if not (options.bind or options.connect):
        print(f"zmqbridge {pattern}: give an address by -c or -b", file=sys.stderr)
        return MISUSED
    try:
        status = asyncio.run(until_told(PATTERNS[pattern](options), pattern, options.linger))
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (BrokenPipeError, asyncio.CancelledError):  # as `Output` does
        # The reader has gone: Python must not try to write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except (Refused, ZmqBridgeError, ValueError, OSError) as error:
        print(f"zmqbridge {pattern}: {error}", file=sys.stderr)
        return FAILED if isinstance(error, RequestTimeout) else MISUSED
    return status


# Standard input and output.


NO_FIELD = "this socket sends no tag and names no peer; leave it out"
TAG_IS_GIVEN = "the tag is an argument of the command already; leave one of the two out"


async def items(
    options: Options, fields: int = 0, refusal: str = NO_FIELD
) -> AsyncIterator[tuple[int, Item]]:
    """The messages of standard input with the numbers of their lines, no faster than the rate.

    Raises:
        Refused: a line stands for none, or has a tag or peer where there is none: `refusal`.
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
            due = max(due + 1 / options.rate, loop.time())
            await asyncio.sleep(due - loop.time())


class Output:
    """Standard output, which is flushed when the loop has nothing more to write for now."""

    def __init__(self, options: Options) -> None:
        descriptor_of(sys.stdout, "output")
        self._form = options.form
        self._flushes = False
        self.written = 0

    def write(self, item: Item) -> None:
        """Write a message."""
        sys.stdout.buffer.write(self._form.write(item) + b"\n")
        self.written += 1
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
    """`asyncio.timeout`, by which ``inf`` is for ever."""
    return asyncio.timeout(None if timeout == inf else timeout)


async def write_all(
    next_item: Callable[[], Awaitable[Item]], options: Options, output: Output
) -> int:
    """Write messages until there are enough or they come no more; returns the exit status."""
    while output.written < options.count:
        try:
            async with within(options.timeout):
                item = await next_item()
        except TimeoutError:
            if options.count < inf:
                print(f"{output.written} of {options.count} messages came", file=sys.stderr)
                return FAILED
            return OK if output.written else FAILED
        output.write(item)
    return OK


async def all_sent(socket: Any, options: Options) -> int:
    """Wait until libzmq has taken what was sent; returns the exit status."""
    left = await socket.drain(None if options.timeout == inf else options.timeout)
    if left:
        print(f"not all was sent: nobody takes it ({await why_not(socket)})", file=sys.stderr)
    return FAILED if left else OK


async def why_not(socket: Any) -> str:
    """Why nobody takes what a socket sends, as far as that is known."""
    try:
        await socket.connected(MOMENT)
    except StateUnknown:
        return "it is not known whether anybody is there"
    except (ConnectTimeout, HandshakeFailed) as error:
        failure = getattr(error, "failure", None)
        if isinstance(error, HandshakeFailed) or failure is not None:
            return str(error)
        return "nobody is there"
    return "who is there does not read"


# The patterns.


async def push(options: Options) -> int:
    """Lines to the pullers."""
    given = options.of_socket()
    # So that what nobody takes is still ours. Not on those who receive: libzmq would drop what
    # has come, when a peer hangs up.
    given["options"][zmq.IMMEDIATE] = 1
    async with Pusher(**given, monitor=True) as pusher:
        async for _, item in items(options):
            try:
                async with within(options.timeout):
                    await pusher.push(*item.parts)
            except TimeoutError:
                break  # nobody takes them
        return await all_sent(pusher, options)


async def pull(options: Options) -> int:
    """Lines of what the pushers send."""
    async with Puller(**options.of_socket()) as puller:

        async def receive() -> Item:
            return Item(await puller.receive())

        return await write_all(receive, options, Output(options))


async def pub(options: Options) -> int:
    """Lines to the subscribers."""
    if len(options.words) > 1:
        raise Refused("give one tag, or none and a tag in each line by --hex or --json")
    tag = options.words[0] if options.words else b""
    fields = 0 if options.words or isinstance(options.form, Lines) else 1
    given = options.of_socket()
    given["options"][zmq.XPUB_NODROP] = 1  # a slow subscriber is waited for
    async with Publisher(**given, monitor=True) as publisher:
        try:
            await publisher.connected(options.timeout)
        except ConnectTimeout:
            print("no subscriber has connected", file=sys.stderr)
            return FAILED
        await asyncio.sleep(SUBSCRIBING)
        async for _, item in items(options, fields, TAG_IS_GIVEN if options.words else NO_FIELD):
            if len(item.parts) != 1:
                raise Refused("a publication has one part beside its tag")
            publisher.publish(item.parts[0], tag if item.tag is None else item.tag)
            if publisher.statistics().queued and await all_sent(publisher, options):
                return FAILED
        return OK


async def sub(options: Options) -> int:
    """Lines of what publishers publish."""
    given = options.of_socket()
    given["options"][zmq.LINGER] = 0  # else the end waits to unsubscribe from who has gone
    async with Subscriber(options.words or [b""], **given) as subscriber:

        async def receive() -> Item:
            tag, body = await subscriber.receive()
            return Item([body], tag=tag)

        return await write_all(receive, options, Output(options))


async def req(options: Options) -> int:
    """Lines as requests, and their replies."""
    output, status = Output(options), OK
    timeout = PATIENCE if options.timeout == inf else options.timeout
    async with Requester(timeout, **options.of_socket(), monitor=True) as requester:
        async for number, item in items(options):
            try:
                output.write(Item(await requester.request(*item.parts)))
            except RequestTimeout as error:
                reason = "" if error.stage == "sent" else f" ({await why_not(requester)})"
                print(f"line {number}: {error}{reason}", file=sys.stderr)
                status = FAILED
    return status


async def rep(options: Options) -> int:
    """Replies, and lines of the requests."""
    output = Output(options)
    async with Replier(**options.of_socket()) as replier:

        async def answer() -> Item:
            request: Request = await replier.receive()
            await request.reply(*(options.words or request.parts))
            return Item(request.parts)

        status = await write_all(answer, options, output)
        await all_sent(replier, options)
    return status


async def both_ways(
    socket: Any,
    receive: Callable[[], Awaitable[Item]],
    send: Callable[[int, Item], Awaitable[None]],
    options: Options,
    fields: int,
) -> int:
    """Send what comes from standard input, and write what is received meanwhile and after."""

    async def send_all() -> None:
        async for number, item in items(Options([], [], options.form, rate=options.rate), fields):
            await send(number, item)

    sending = asyncio.ensure_future(send_all())
    receiving = asyncio.ensure_future(write_all(receive, options, Output(options)))
    try:
        done, _ = await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task  # where it has failed, this does
        status = await receiving
        await all_sent(socket, options)
        return status
    finally:
        for task in (sending, receiving):
            task.cancel()


async def dealer(options: Options) -> int:
    """Lines to the peers, and lines of what they send."""
    async with Dealer(**options.of_socket()) as socket:

        async def receive() -> Item:
            return Item(await socket.receive())

        async def send(number: int, item: Item) -> None:
            await socket.send(*item.parts)

        return await both_ways(socket, receive, send, options, 0)


async def router(options: Options) -> int:
    """The same, and each line names its peer."""
    async with Router(**options.of_socket()) as socket:

        async def receive() -> Item:
            peer, parts = await socket.receive()
            return Item(parts, peer=peer)

        async def send(number: int, item: Item) -> None:
            if item.peer is None:
                raise Refused("a line must name its peer: use --json or --hex")
            try:
                await socket.send(item.peer, *item.parts)
            except PeerUnreachable as error:
                unreachable.append(item.peer)
                print(f"line {number}: {error}", file=sys.stderr)

        unreachable: list[bytes] = []
        status = await both_ways(socket, receive, send, options, 1)
        return FAILED if unreachable else status


PATTERNS = {
    function.__name__: function for function in (push, pull, pub, sub, req, rep, dealer, router)
}
