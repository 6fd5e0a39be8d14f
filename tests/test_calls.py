"""Where pyzmq is not compiled, as on PyPy: the pump's calls have a plain equivalent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import zmq

from zmqbridge._bridge import calls
from zmqbridge._bridge.calls import COMPILED, plain_recv, plain_send

if TYPE_CHECKING:
    from tests.conftest import World

both = pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)
LARGE = 3 * zmq.COPY_THRESHOLD


@pytest.fixture(autouse=True)
def as_on_pypy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "COMPILED", False)


@both
async def test_messages_keep_their_parts_and_their_content(w: World) -> None:
    async with (
        w.Dealer(bind="ipc://*", options={zmq.SNDHWM: 3}) as dealer,
        w.Dealer(connect=dealer.addresses, options={zmq.RCVHWM: 3}) as other,
    ):
        for number in range(200):
            await dealer.send(b"%d" % number, b"", b"x" * (number % 7))
            assert await other.receive() == [b"%d" % number, b"", b"x" * (number % 7)]
        for _ in range(50):
            await other.send(b"burst")
            await other.send(b"of", b"two")
        assert [await dealer.receive() for _ in range(100)] == [[b"burst"], [b"of", b"two"]] * 50
        changing = bytearray(b"a" * LARGE)
        await dealer.send(changing)
        changing[:] = b"b" * LARGE  # what was sent is not shared with us
        assert await other.receive() == [b"a" * LARGE]


@both
async def test_requests_and_pushback_work_as_ever(w: World) -> None:
    async with (
        w.Replier(bind="inproc://plain") as replier,
        w.Requester(connect="inproc://plain", timeout=10) as requester,
        w.Pusher(bind="inproc://plain too") as pusher,
    ):
        serving = w.spawn(replier.serve(lambda request: request.reply(b"re", *request.parts)))
        assert await w.gather(*(requester.request(b"%d" % n, b"") for n in range(100))) == [
            [b"re", b"%d" % n, b""] for n in range(100)
        ]
        replier.close()
        await serving
        pusher.push_nowait(b"queued", b"whole")
        assert pusher.statistics().queued == 1
        async with w.Puller(connect="inproc://plain too") as puller:
            assert await puller.receive() == [b"queued", b"whole"]


def test_here_the_compiled_calls_are_used() -> None:
    assert COMPILED is (zmq.backend.Socket.__module__ == "zmq.backend.cython._zmq")
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
        send, recv = plain_send(socket), plain_recv(socket)
        socket.bind("inproc://calls")
        with context.socket(zmq.PAIR) as other:
            other.connect("inproc://calls")
            send(b"first", zmq.SNDMORE)
            send(b"second", 0)
            assert other.recv_multipart() == [b"first", b"second"]
            with pytest.raises(zmq.Again):
                recv(zmq.DONTWAIT, False)


def test_nothing_of_libzmq_is_called_with_what_is_no_socket() -> None:
    # The compiled calls would take any memory for libzmq's socket.
    with pytest.raises(TypeError, match="is no socket"):
        calls.raw(object())
