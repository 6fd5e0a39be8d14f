"""Plain libzmq peers of a socket under test, for several files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from tests.conftest import World


@contextlib.contextmanager
def plain(like: Any, kind: int, connect: str, **options: Any) -> Iterator[zmq.Socket[bytes]]:
    """A plain socket in the context of one of ours; it is closed at the end of the block.

    Args:
        like: a socket of ours.
        kind: the socket type, as ``zmq.PUSH``.
        connect: the address.
        options: options of libzmq by name, as ``ROUTING_ID=b"it"``.
    """
    socket = like.socket.context.socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.set_hwm(0)
    for name, value in options.items():
        socket.set(getattr(zmq, name), value)
    socket.connect(connect)
    try:
        yield socket
    finally:
        socket.close()


async def subscribed(w: World, xpub: zmq.Socket[bytes], *prefixes: bytes) -> None:
    """Wait until these subscriptions have come to a plain XPUB."""
    missing = {b"\1" + prefix for prefix in prefixes}

    def came() -> bool:
        while missing and xpub.poll(0):
            missing.discard(xpub.recv())
        return not missing

    await w.until(came)
