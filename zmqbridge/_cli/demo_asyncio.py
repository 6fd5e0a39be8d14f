"""The asyncio process of the demo: it connects, and uses all patterns with the Twisted process."""

from __future__ import annotations

import asyncio
import json
import sys

import zmq

from zmqbridge import RequestTimeout
from zmqbridge._cli.demo_plan import (
    HELLO,
    OUTSTANDING,
    REPLY_TIMEOUT,
    SILENCE,
    TIMEOUT,
    WANTED,
    Incoming,
    bodies,
    body,
    listen,
    outgoing,
    tag,
    tell,
    wanted,
)
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


async def say_hello(publisher: Publisher) -> None:
    """Publish until the parent knows that the subscriber is there, and cancels this task."""
    while True:
        publisher.publish(b"", HELLO)
        await asyncio.sleep(0.01)


async def publish(publisher: Publisher, count: int) -> None:
    """Publish under all tags in turn."""
    for number in outgoing(tell, "publish-asyncio", count):
        publisher.publish(body(number), tag(number))
        if number % 100 == 0:
            await asyncio.sleep(0)


async def subscribe(subscriber: Subscriber, count: int) -> None:
    """Receive the publications."""
    incoming = Incoming(tell, "publish-Twisted", wanted(count))
    heard = False
    async for tagged, message in subscriber:
        if tagged != HELLO:
            incoming.take(message)
        elif not heard:
            heard = True
            tell({"heard": "publish-Twisted"})


async def push(pusher: Pusher, count: int) -> None:
    """Push; wait while the puller takes no messages."""
    for number in outgoing(tell, "push-asyncio", count):
        await pusher.push(body(number))


async def pull(puller: Puller, count: int) -> None:
    """Receive the pushed messages."""
    incoming = Incoming(tell, "push-Twisted", bodies(count))
    async for (message,) in puller:
        incoming.take(message)


async def request(requester: Requester, count: int) -> None:
    """Send requests, many at a time, and in the end one that gets no reply."""
    numbers = outgoing(tell, "request-asyncio", count + 1)
    incoming = Incoming(tell, "request-asyncio", bodies(count))

    async def work() -> None:
        for number in numbers:
            if number == count:
                await request_in_vain(requester)
            else:
                [reply] = await requester.request(body(number))
                incoming.take(reply, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(OUTSTANDING):
            group.create_task(work())


async def request_in_vain(requester: Requester) -> None:
    """Send the request that gets no reply."""
    try:
        await requester.request(SILENCE, timeout=TIMEOUT)
    except RequestTimeout:
        tell({"flow": "request-asyncio", "timed out": 1})


async def answer(request: Request) -> None:
    """Reply with the same parts, except to the request that asks for silence."""
    if request.parts != [SILENCE]:
        await request.reply(*request.parts)


async def deal(dealer: Dealer, count: int) -> None:
    """Send messages to the router and count those that it sends back."""
    counting = asyncio.create_task(count_returns(dealer, count))
    for number in outgoing(tell, "route-asyncio", count):
        await dealer.send(body(number))
    await counting


async def count_returns(dealer: Dealer, count: int) -> None:
    """Receive the messages that the router sends back."""
    incoming = Incoming(tell, "route-asyncio", bodies(count))
    for _ in range(count):
        [message] = await dealer.receive()
        incoming.take(message)


async def route(router: Router) -> None:
    """Send each message back to its sender."""
    async for peer, parts in router:
        await router.send(peer, *parts)


async def main(count: int) -> None:
    """Do what the parent orders, until there are no more orders."""
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    listen(loop.call_soon_threadsafe, orders.feed_data, orders.feed_eof)
    at = json.loads(await orders.readline())
    async with (
        # A publisher drops messages for a slow subscriber, unless its queue has no limit.
        Publisher(connect=at["publish-asyncio"], options={zmq.SNDHWM: 0}) as publisher,
        Subscriber(connect=at["publish-Twisted"], tags=[HELLO, *WANTED]) as subscriber,
        Pusher(connect=at["push-asyncio"]) as pusher,
        Puller(connect=at["push-Twisted"]) as puller,
        Requester(connect=at["request-asyncio"], timeout=REPLY_TIMEOUT) as requester,
        Replier(connect=at["request-Twisted"]) as replier,
        Dealer(connect=at["route-asyncio"]) as dealer,
        Router(connect=at["route-Twisted"]) as router,
        asyncio.TaskGroup() as group,
    ):
        greeting = group.create_task(say_hello(publisher))
        tasks = [
            greeting,
            group.create_task(subscribe(subscriber, count)),
            group.create_task(pull(puller, count)),
            group.create_task(replier.serve(answer)),
            group.create_task(route(router)),
        ]
        senders = {
            "publish-asyncio": lambda: publish(publisher, count),
            "push-asyncio": lambda: push(pusher, count),
            "request-asyncio": lambda: request(requester, count),
            "route-asyncio": lambda: deal(dealer, count),
        }
        async for line in orders:
            greeting.cancel()  # the parent starts when both subscribers have heard a publisher
            tasks.append(group.create_task(senders[line.decode().strip()]()))
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
