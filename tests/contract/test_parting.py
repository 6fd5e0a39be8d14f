"""A socket is disconnected while libzmq has begun to read a message of several parts from there.

libzmq 4.3.5 would drop the other parts, and end the process when the message is received.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import zmq

every_world = pytest.mark.every_world
_numbers = itertools.count()
BY_TRANSPORT = {
    "inproc": "inproc://parting-{}",
    "tcp": "tcp://127.0.0.1:*",
    "ipc": "ipc://@parting-{}",
}


@pytest.fixture(params=BY_TRANSPORT)
def address(request: pytest.FixtureRequest) -> str:
    return BY_TRANSPORT[request.param].format(next(_numbers))


def leave(receiver: Any, by: str, address: str) -> None:
    """Disconnect when EVENTS were just read, as a turn does when no more may be held."""
    assert receiver.socket.get(zmq.EVENTS) & zmq.POLLIN
    (receiver if by == "ours" else receiver.socket).disconnect(address)


@every_world
@pytest.mark.parametrize("by", ["ours", "pyzmq"])
async def test_a_subscriber_loses_no_half_of_a_publication(w: Any, by: str, address: str) -> None:
    async with w.Publisher(bind=address, format="two-part") as publisher:
        [there] = publisher.addresses
        async with w.Subscriber("t", format="two-part", connect=there, prefetch=2) as subscriber:
            await publisher.wait_for("t")
            for number in range(9):
                publisher.publish(b"%d" % number, "t")
            await w.until(lambda: subscriber.statistics().unread == 2)
            await w.until(lambda: subscriber.socket.get(zmq.EVENTS) & zmq.POLLIN)
            leave(subscriber, by, there)
            assert subscriber.statistics().unread == 3
            got = [await subscriber.receive() for _ in range(3)]
            assert got == [(b"t", b"0"), (b"t", b"1"), (b"t", b"2")]
            await w.until(lambda: not publisher.wanted("t"))
            subscriber.connect(there)
            await publisher.wait_for("t")
            publisher.publish(b"again", "t")
            assert await subscriber.receive() == (b"t", b"again")


@pytest.mark.parametrize("by", ["ours", "pyzmq"])
async def test_a_router_loses_no_half_of_a_message(w: Any, by: str, address: str) -> None:
    async with w.Dealer(bind=address) as dealer:
        [there] = dealer.addresses
        async with w.Router(connect=there, prefetch=2) as router:
            for number in range(9):
                await dealer.send(b"%d" % number, b"rest")
            await w.until(lambda: router.statistics().unread == 2)
            await w.until(lambda: router.socket.get(zmq.EVENTS) & zmq.POLLIN)
            leave(router, by, there)
            for number in range(3):
                _, parts = await router.receive()
                assert parts == [b"%d" % number, b"rest"]
            router.connect(there)
            await dealer.drain()


async def test_one_that_has_nothing_to_read_is_disconnected_as_ever(w: Any, address: str) -> None:
    async with w.Publisher(bind=address) as publisher:
        [there] = publisher.addresses
        async with w.Subscriber("t", connect=there) as subscriber:
            await publisher.wait_for("t")
            subscriber.disconnect(there)
            with pytest.raises(Exception, match="disconnect"):
                subscriber.disconnect(there)
            await w.until(lambda: not publisher.wanted("t"))
