"""Sockets as anyio's streams: what is written for those sends by them and receives from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import UnreliableObjectReceiveStream, UnreliableObjectSendStream

from zmqbridge import asyncio_backend
from zmqbridge.asyncio_backend import Dealer, Pair, Puller, Pusher

if TYPE_CHECKING:
    from tests.conftest import World

HERE = "tcp://127.0.0.1:*"
by_anyio = pytest.mark.parametrize("w", ["asyncio", "uvloop", "trio"], indirect=True)


async def feed(stream: UnreliableObjectSendStream[bytes], bodies: list[bytes]) -> None:
    """Written for anyio's streams alone: it knows no socket."""
    async with stream:
        for body in bodies:
            await stream.send(body)
        with pytest.raises(anyio.TypedAttributeLookupError):
            stream.extra(anyio.abc.SocketAttribute.family)
        await stream.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await stream.send(b"closed")


async def taken(stream: UnreliableObjectReceiveStream[list[bytes]], count: int) -> list[bytes]:
    return [b"".join(await stream.receive()) for _ in range(count)]


@by_anyio
@pytest.mark.parametrize("kinds", [(Pusher, Puller), (Dealer, Dealer), (Pair, Pair)])
async def test_what_is_written_for_streams_sends_by_a_socket(
    w: World, kinds: tuple[type[Pusher | Dealer | Pair], type[Puller | Dealer | Pair]]
) -> None:
    bodies = [b"%d" % number for number in range(3000)]  # more than libzmq's marks
    sends, receives = kinds
    async with receives(bind=HERE) as receiver:
        feeding = w.spawn(feed(sends(connect=receiver.addresses), bodies))
        assert await taken(receiver, len(bodies)) == bodies
        await feeding


def test_who_is_a_stream_to_send_by_and_who_is_not() -> None:
    kinds = {
        name
        for name in asyncio_backend.__all__
        if isinstance(kind := getattr(asyncio_backend, name), type)
        and issubclass(kind, UnreliableObjectSendStream)
    }
    # The others' sends take more than an item: a peer, a tag; or they return a reply.
    assert kinds == {"Dealer", "Pair", "Pusher"}
