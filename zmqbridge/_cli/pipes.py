"""`zmqbridge sub`, `pub`, `pull`, `push`, `req`, `rep`, `dealer`, `router`: sockets as filters."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from math import inf
from typing import Any

import zmq

from zmqbridge._cli.ending import FAILED, OK, Refused
from zmqbridge._cli.formats import FORMATS, Item, Lines
from zmqbridge._cli.piping import (
    NO_FIELD,
    PATIENCE,
    SEND_TIMEOUT,
    Options,
    Output,
    all_sent,
    both_ways,
    items,
    tell_where,
    watched,
    why_not,
    within,
    write_all,
)
from zmqbridge._cli.telling import until_told
from zmqbridge.asyncio_backend import (
    Authenticator,
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
from zmqbridge.errors import (
    ConnectTimeout,
    HandshakeFailed,
    PeerUnreachable,
    RequestTimeout,
)
from zmqbridge.security import Policy

# How long a publisher waits for the subscriptions of a peer that has just connected.
SUBSCRIBING = 0.2  # seconds
TAG_IS_GIVEN = "the tag is an argument of the command already; leave one of the two out"


def run(pattern: str, **given: Any) -> int:
    """Connect standard input and output with a socket; returns the exit status."""
    form = FORMATS[given.pop("form")]()
    options = Options(form=form, **given)
    if not (options.bind or options.connect):
        raise Refused("give an address by -c or -b")
    working = guarded(pattern, options, options.policies())
    try:
        return asyncio.run(until_told(working, pattern, options.linger))
    except asyncio.CancelledError:  # by `Output`, whose reader has gone
        raise BrokenPipeError from None


async def guarded(pattern: str, options: Options, policies: dict[str, Policy] | None) -> int:
    """Do what a pattern does, and let an authenticator choose the clients, if there is one."""
    async with AsyncExitStack() as stack:
        if policies is not None:
            await stack.enter_async_context(Authenticator(policies))
        return await PATTERNS[pattern](options)


async def push(options: Options) -> int:
    """Send lines to the pullers."""
    given = options.of_socket()
    # With this a message that no peer takes stays ours. Not on receiving sockets: there libzmq
    # would drop received messages when a peer hangs up.
    given["options"][zmq.IMMEDIATE] = 1
    async with Pusher(**given, monitor=True) as pusher, watched(pusher):
        tell_where(pusher, options)
        async for _, item in items(options):
            try:
                async with within(options.timeout):
                    await pusher.push(*item.parts)
            except TimeoutError:
                break  # no peer takes them
        return await all_sent(pusher, options)


async def pull(options: Options) -> int:
    """Write what the pushers send as lines."""
    async with Puller(**options.of_socket(), monitor=True) as puller:
        tell_where(puller, options)

        async def receive() -> Item:
            return Item(await puller.receive())

        return await write_all(puller, receive, options, Output(options))


async def pub(options: Options) -> int:
    """Publish lines."""
    if len(options.tags()) > 1:
        raise Refused("give one tag, or none and a tag in each line by --hex or --json")
    tag = options.words[0] if options.words else b""
    fields = 0 if options.words or isinstance(options.form, Lines) else 1
    given = options.of_socket()
    given["options"][zmq.XPUB_NODROP] = 1  # we wait for a slow subscriber
    async with Publisher(**given, monitor=True) as publisher:
        tell_where(publisher, options)
        if not await has_subscriber(publisher, options.timeout):
            return FAILED
        await asyncio.sleep(SUBSCRIBING)
        said = TAG_IS_GIVEN if options.words else NO_FIELD
        async for number, item in items(options, fields, said):
            if len(item.parts) != 1:
                raise Refused(f"line {number}: a publication has one part beside its tag")
            its_tag = tag if item.tag is None else item.tag
            if b"\0" in its_tag:
                raise Refused(f"line {number}: a tag has no NUL byte, which ends it on the wire")
            publisher.publish(item.parts[0], its_tag)
            if publisher.statistics().queued and await all_sent(publisher, options):
                return FAILED
        return OK


async def has_subscriber(publisher: Publisher, timeout: float) -> bool:
    """Wait for the first subscriber, and say so if there is none for a while."""
    try:
        await publisher.connected(min(PATIENCE, timeout))
        return True
    except ConnectTimeout:
        if timeout > PATIENCE:
            print("waiting: no subscriber has connected yet", file=sys.stderr, flush=True)
            with suppress(ConnectTimeout):
                await publisher.connected(timeout - PATIENCE)
                return True
    print("no subscriber has connected", file=sys.stderr)
    return False


async def sub(options: Options) -> int:
    """Write publications as lines."""
    given = options.of_socket()
    given["options"][zmq.LINGER] = 0  # else closing waits to unsubscribe from a peer that has gone
    async with Subscriber(options.tags() or [b""], **given, monitor=True) as subscriber:
        tell_where(subscriber, options)

        async def receive() -> Item:
            tag, body = await subscriber.receive()
            return Item([body], tag=tag)

        return await write_all(subscriber, receive, options, Output(options))


async def req(options: Options) -> int:
    """Send lines as requests, and write their replies."""
    output, status = Output(options), OK
    timeout = SEND_TIMEOUT if options.timeout == inf else options.timeout
    async with Requester(timeout, **options.of_socket(), monitor=True) as requester:
        tell_where(requester, options)
        async for number, item in items(options):
            try:
                output.write(Item(await requester.request(*item.parts)))
            except RequestTimeout as error:
                reason = "" if error.stage == "sent" else f" ({await why_not(requester)})"
                print(f"line {number}: {error}{reason}", file=sys.stderr)
                status = FAILED
            except HandshakeFailed as error:
                print(f"line {number}: {error}", file=sys.stderr)
                status = FAILED
    return status


async def rep(options: Options) -> int:
    """Reply to requests, and write them as lines."""
    output = Output(options)
    async with Replier(**options.of_socket(), monitor=True) as replier:
        tell_where(replier, options)
        unreachable: set[bytes] = set()

        async def answer() -> Item:
            while True:
                request: Request = await replier.receive()
                try:
                    await request.reply(*(options.words or request.parts))
                    return Item(request.parts)
                except PeerUnreachable as error:  # which concerns no other client
                    if request.peer not in unreachable:
                        unreachable.add(request.peer)
                        print(f"no reply to one client: {error}", file=sys.stderr, flush=True)

        status = await write_all(replier, answer, options, output)
        await replier.drain(options.linger)  # a client that does not read has no more time
    return FAILED if unreachable else status


async def dealer(options: Options) -> int:
    """Send lines to the peers, and write what they send as lines."""
    async with Dealer(**options.of_socket(), monitor=True) as socket, watched(socket):

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
                raise Refused(
                    f"line {number} names no peer: it is the first word with --hex, and "
                    '"peer" with --json; --lines has no place for one'
                )
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
