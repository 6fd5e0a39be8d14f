"""Proxies: what passes, what is counted, and that they pause, fail and end as is promised."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import (
    AddressError,
    OptionError,
    ProxyFailed,
    ProxyStalled,
    SocketClosed,
)
from zmqbridge._bridge import proxyengine, proxying
from zmqbridge.asyncio_backend import Proxy
from zmqbridge.proxies import ProxyStatistics, Side
from zmqbridge.security import CurveClient, CurveServer

if TYPE_CHECKING:
    from tests.conftest import Subscriber, World

HERE = "tcp://127.0.0.1:*"


async def test_requests_pass_and_are_counted(w: World) -> None:
    async with w.Proxy("requests", HERE, HERE) as proxy:
        assert proxy.kind == "requests"
        assert not proxy.closed
        async with (
            w.Replier(connect=proxy.back_addresses) as replier,
            w.Requester(connect=proxy.front_addresses, timeout=20) as requester,
        ):
            for number in range(3):
                asking = w.spawn(requester.request(b"%d" % number))
                request = await replier.receive()
                await request.reply(*request.parts, b"!")
                assert await asking == [b"%d" % number, b"!"]
            counts = await proxy.statistics()
            # The client, the request's id, an empty part, and what it says; the reply has a "!".
            assert counts.front_received == counts.back_sent == 12
            assert counts.back_received == counts.front_sent == 15
            assert counts.front_sent_bytes == counts.front_received_bytes + 3
    assert proxy.closed


async def test_publications_pass_and_the_capture_shows_all(w: World) -> None:
    async with (
        w.Proxy("pubsub", HERE, HERE, HERE) as proxy,
        w.Publisher(connect=proxy.front_addresses) as publisher,
        w.Subscriber(b"", connect=proxy.back_addresses) as subscriber,
    ):
        with w.context() as context, context.socket(zmq.SUB) as shown:
            shown.subscribe(b"")
            shown.connect(proxy.capture_addresses[0])
            await w.connected(publisher, subscriber)
            await w.until(lambda: shown.poll(0) or publisher.publish(b"x"))
            publisher.publish(b"body", b"tag")
            assert (await receive_from(subscriber, b"tag")) == b"body"
            seen = b""
            while not seen.startswith(b"tag\0"):
                await w.until(lambda: shown.poll(0))
                seen = shown.recv()
            assert seen == b"tag\0body"


async def receive_from(subscriber: Subscriber, wanted: bytes) -> bytes:
    tag = None
    while tag != wanted:
        tag, body = await subscriber.receive()
    return body


async def test_while_it_is_paused_nothing_passes_and_nothing_is_lost(w: World) -> None:
    async with (
        w.Proxy("pipeline", HERE, HERE) as proxy,
        w.Pusher(connect=proxy.front_addresses) as pusher,
        w.Puller(connect=proxy.back_addresses) as puller,
    ):
        for round_ in range(3):
            await pusher.push(b"before", b"%d" % round_)
            assert await puller.receive() == [b"before", b"%d" % round_]
            await proxy.pause()
            assert proxy.paused
            await proxy.pause()  # twice is once
            before = await proxy.statistics()
            for _ in range(10):
                await pusher.push(b"waits")
            used = time.process_time()
            await w.sleep(0.1)
            assert time.process_time() - used < 0.08  # nobody turns in circles
            assert puller.statistics().unread == 0
            assert await proxy.statistics() == before
            assert before.front_received == before.back_sent == 2 + 12 * round_
            await proxy.resume()
            assert not proxy.paused
            for _ in range(10):
                assert await puller.receive() == [b"waits"]


@pytest.mark.real("SNDBUF")
@pytest.mark.parametrize("captured", [None, HERE])
async def test_it_ends_though_it_waits_for_a_peer_that_takes_nothing(
    w: World, captured: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqbridge._bridge.proxyengine.COMMAND_TIMEOUT", 0.2)
    few: Any = {zmq.SNDHWM: 1, zmq.RCVHWM: 1, zmq.SNDBUF: 4096, zmq.RCVBUF: 4096, zmq.LINGER: 0}
    proxy = w.Proxy("pipeline", Side(HERE), Side(HERE, options=few), captured)
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as no:
        push.linger = no.linger = 0
        no.rcvhwm, no.rcvbuf = 1, 4096
        no.connect(proxy.back_addresses[0])
        push.connect(proxy.front_addresses[0])
        with pytest.raises(ProxyStalled):
            while True:
                while push.poll(0, zmq.POLLOUT):
                    push.send(bytes(10_000))
                await proxy.statistics()
        with pytest.raises(ProxyStalled):
            await proxy.pause()
        assert not proxy.paused
        asking = w.spawn(proxy.statistics())
        await w.settled()
        began = time.monotonic()
        await proxy.aclose()
        assert time.monotonic() - began < 20  # mostly 0.2; it would be for ever
        assert not proxy._engine._thread.is_alive()
        with pytest.raises((SocketClosed, ProxyStalled)):  # whichever comes first
            await asking
    with pytest.raises(SocketClosed):
        await proxy.statistics()
    await proxy.ended()
    await proxy.aclose()


@pytest.mark.real("SNDBUF")
async def test_it_goes_on_when_the_peer_that_it_waited_for_does(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    few: dict[int, Any] = {zmq.SNDHWM: 1, zmq.RCVHWM: 1, zmq.SNDBUF: 4096, zmq.RCVBUF: 4096}
    async with w.Proxy("pipeline", HERE, Side(HERE, options=few)) as proxy:
        await proxy.pause()
        await proxy.resume()
        monkeypatch.setattr("zmqbridge._bridge.proxyengine.COMMAND_TIMEOUT", 0.1)
        with zmq.Context() as context:
            push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
            with push, pull:
                push.linger = pull.linger = 0
                pull.rcvhwm, pull.rcvbuf = 1, 4096
                pull.connect(proxy.back_addresses[0])
                push.connect(proxy.front_addresses[0])
                pushed = pulled = 0
                with pytest.raises(ProxyStalled):
                    while True:
                        while push.poll(0, zmq.POLLOUT):
                            push.send(bytes(10_000))
                            pushed += 1
                        await proxy.statistics()
                for call in proxy.pause, proxy.statistics:
                    with pytest.raises(ProxyStalled):
                        await call()
                while pulled < pushed and pull.poll(20_000):
                    pull.recv()
                    pulled += 1
                assert pulled == pushed
                monkeypatch.setattr("zmqbridge._bridge.proxyengine.COMMAND_TIMEOUT", 20)
                assert (await proxy.statistics()).back_sent == pushed


@pytest.mark.real("threads")
async def test_when_its_thread_fails_everybody_is_told(w: World) -> None:
    proxy = w.Proxy("pipeline", HERE, HERE)
    waiting = w.spawn(proxy.ended())
    await proxy.statistics()
    Thread(target=proxy.context.term).start()
    with pytest.raises(ProxyFailed):
        await waiting
    for call in proxy.statistics, proxy.pause, proxy.resume, proxy.ended:
        with pytest.raises(ProxyFailed, match="has ended by itself"):
            await call()
    assert proxy.closed
    await proxy.aclose()
    await w.until(lambda: w.reports)
    assert [type(each) for each in w.reports] == [ProxyFailed]


async def test_giving_up_a_call_does_no_harm(w: World) -> None:
    async with w.Proxy("pubsub", HERE, HERE) as proxy:
        for call in (proxy.statistics, proxy.pause, proxy.resume, proxy.ended) * 5:
            calling = w.spawn(call())
            await w.sleep(0)
            calling.cancel()
            with contextlib.suppress(w.Cancelled):  # it may have been done already
                await calling
        await proxy.resume()
        assert isinstance(await proxy.statistics(), ProxyStatistics)


async def test_its_ports_are_free_when_it_has_ended(w: World) -> None:
    proxy = w.Proxy("requests", HERE, HERE)
    front, back = proxy.front_addresses[0], proxy.back_addresses[0]
    for _ in range(5):
        await proxy.aclose()
        proxy = w.Proxy("requests", front, [back])
    await proxy.aclose()


@pytest.mark.real("a thread that works meanwhile")
async def test_it_is_steered_on_while_messages_flood(w: World) -> None:
    async with w.Proxy("pipeline", HERE, HERE) as proxy:
        with zmq.Context() as context:
            push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
            push.connect(proxy.front_addresses[0])
            pull.connect(proxy.back_addresses[0])
            push.linger = pull.linger = 0
            stop: list[bool] = []
            pushed = []
            pulled: list[int] = []

            def flood() -> None:
                while not stop:
                    if push.poll(1, zmq.POLLOUT):
                        push.send(b"x")
                        pushed.append(1)

            def drink() -> None:
                while threads[0].is_alive() or len(pulled) < len(pushed):
                    if pull.poll(1):
                        pull.recv()
                        pulled.append(1)

            threads = [Thread(target=flood), Thread(target=drink)]
            try:
                for thread in threads:
                    thread.start()
                last = 0
                for _ in range(20):
                    await proxy.pause()
                    counts = await proxy.statistics()
                    assert counts.front_received == counts.back_sent >= last
                    last = counts.back_sent
                    await proxy.resume()
            finally:
                stop.append(True)
                for thread in threads:
                    thread.join(20)
                push.close()
                pull.close()
        # No part that passed while it was being paused is missing in the counts.
        assert (await proxy.statistics()).back_sent == len(pulled) == len(pushed)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("queue", HERE, HERE), ValueError, "give one of requests, pubsub, pipeline"),
        (("pipeline", (), HERE), ValueError, "front has no address"),
        (("pipeline", HERE, Side()), ValueError, "back has no address"),
        (("pipeline", HERE, 5555), TypeError, "back is given as int"),
        (("pipeline", "tcp://127.0.0.1", HERE), AddressError, "cannot bind to"),
        (("pipeline", HERE, Side(connect="nowhere")), AddressError, "cannot connect to"),
        (("pipeline", b"tcp://\xff", HERE), AddressError, "UTF-8"),
        (
            ("requests", Side(HERE, options={zmq.ROUTER_MANDATORY: 1}), HERE),
            OptionError,
            "would end the proxy",
        ),
        (("pubsub", Side(HERE, options={zmq.SNDTIMEO: 1}), HERE), OptionError, "SNDTIMEO"),
    ],
)
def test_what_no_proxy_can_be_made_of(
    arguments: tuple[Any, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Proxy(*arguments)


def test_a_port_that_is_taken_is_named_and_nothing_is_left_open() -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as taken:
        port = taken.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises(AddressError, match=str(port)) as caught:
            Proxy("pipeline", HERE, f"tcp://127.0.0.1:{port}", HERE)
        assert caught.value.errno == zmq.EADDRINUSE


def test_sides_as_words() -> None:
    assert Side.parse("tcp://*:5555") == Side(bind=["tcp://*:5555"], connect=[])
    both = Side.parse("connect:tcp://a:1,bind:ipc:///b,connect:tcp://c:2", options={1: 2})
    assert both == Side(["ipc:///b"], ["tcp://a:1", "tcp://c:2"], {1: 2})
    with pytest.raises(ValueError, match="connect:tcp"):
        Side.parse("tcp://a:1,5555")


async def test_it_encrypts_what_it_is_told_to(w: World) -> None:
    public, secret = zmq.curve_keypair()
    server = Side(HERE, security=CurveServer(secret, any_key=True))
    client = CurveClient(public, *zmq.curve_keypair())
    async with (
        w.Proxy("pipeline", server, HERE) as proxy,
        w.Puller(connect=proxy.back_addresses) as puller,
        w.Pusher(connect=proxy.front_addresses, security=client) as pusher,
    ):
        await pusher.push(b"sealed")
        assert await puller.receive() == [b"sealed"]


async def test_a_socket_in_its_context_reaches_it_by_inproc_and_ends_with_it(w: World) -> None:
    proxy = w.Proxy("pipeline", HERE, "inproc://work")
    puller = w.Puller(connect="inproc://work", context=proxy.context)
    async with w.Pusher(connect=proxy.front_addresses) as pusher, puller:
        await pusher.push(b"x")
        assert await puller.receive() == [b"x"]
        await puller.aclose()
        await proxy.aclose()


def test_one_that_is_forgotten_warns_and_ends() -> None:
    proxy = Proxy("pipeline", HERE, HERE)
    ended = proxy._engine.ended
    with pytest.warns(ResourceWarning, match="unclosed <Proxy pipeline"):  # noqa: PT031
        del proxy
        gc.collect()
    ended.result(20)


def test_one_that_is_forgotten_warns_also_when_the_names_of_its_module_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As at the end of a process, when Python clears modules in an order of its own.
    proxy = Proxy("pipeline", HERE, HERE)
    ended = proxy._engine.ended
    for name in "warnings", "sys":
        monkeypatch.setattr(proxying, name, None)
    with pytest.warns(ResourceWarning, match="unclosed <Proxy pipeline"):  # noqa: PT031
        del proxy
        gc.collect()
    ended.result(20)


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_who_asks_it_at_exit_may_be_interrupted_by_a_handler_that_closes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No thread starts any more, so both are in the main thread.
    def ask(engine: Any) -> ProxyStatistics:
        assert proxy._stop().done()  # as the handler does
        return asked(engine)

    def at_exit() -> None:
        future.append(proxy.ask_statistics())

    future: list[Any] = []
    asked = proxyengine.Engine._ask
    proxy = Proxy("pipeline", "inproc://front", "inproc://back")
    monkeypatch.setattr(proxyengine, "LAST", 0.1)
    monkeypatch.setattr(proxyengine, "started", lambda thread: False)
    monkeypatch.setattr(proxyengine.Engine, "_ask", ask)
    thread = threading.Thread(target=at_exit, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(future[0].exception(), SocketClosed)
    proxy._engine.ended.result(20)


def test_a_process_ends_that_has_forgotten_one() -> None:
    began = time.monotonic()
    python(
        "from zmqbridge.asyncio_backend import Proxy\n"
        f"proxy = Proxy('requests', {HERE!r}, {HERE!r})"
    )
    assert time.monotonic() - began < 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_in_a_forked_child_it_is_the_parents() -> None:
    out = python(f"""if True:
        import asyncio, os, warnings
        from zmqbridge import UsedAfterFork
        from zmqbridge.asyncio_backend import Proxy, Puller, Pusher
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads

        async def main():
            proxy = Proxy("pipeline", {HERE!r}, {HERE!r})
            child = os.fork()
            if not child:
                try:
                    await proxy.statistics()
                except UsedAfterFork:
                    await proxy.aclose()
                    del proxy
                    os._exit(7)
                os._exit(1)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            async with (
                proxy,
                Pusher(connect=proxy.front_addresses) as pusher,
                Puller(connect=proxy.back_addresses) as puller,
            ):
                await pusher.push(b"x")
                print(status, await puller.receive())

        asyncio.run(main())
    """)
    assert out == "7 [b'x']\n"


def test_a_hundred_that_are_under_load_end_one_after_the_other() -> None:
    few: dict[int, Any] = {zmq.SNDHWM: 5, zmq.RCVHWM: 5, zmq.LINGER: 0}

    async def main() -> float:
        longest = 0.0
        with zmq.Context() as context:
            for _ in range(100):
                proxy = Proxy("pipeline", HERE, Side(HERE, options=few), HERE)
                push, no = context.socket(zmq.PUSH), context.socket(zmq.PULL)
                push.linger = no.linger = 0
                no.connect(proxy.back_addresses[0])
                push.connect(proxy.front_addresses[0])
                for _ in range(20):
                    if push.poll(1, zmq.POLLOUT):
                        push.send(bytes(100_000))
                began = time.monotonic()
                await proxy.aclose()
                longest = max(longest, time.monotonic() - began)
                push.close()
                no.close()
        return longest

    assert asyncio.run(main()) < 5
