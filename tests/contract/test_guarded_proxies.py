"""Proxies with an authenticator of their own: who is let in, and how it ends with the proxy."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import AuthenticationMissing, HandshakeFailed, SocketClosed
from zmqbridge.asyncio_backend import Authenticator, Proxy
from zmqbridge.proxies import Side
from zmqbridge.security import CurveClient, CurveServer, Null, PlainClient, PlainServer, Policy

if TYPE_CHECKING:
    from tests.conftest import World

HERE = "tcp://127.0.0.1:*"
SERVER, ALICE, BOB = (zmq.curve_keypair() for _ in range(3))
FRONT = Side(HERE, security=CurveServer(SERVER[1]))
KNOWN = {"global": Policy(keys=[ALICE[0]])}


@pytest.fixture(autouse=True)
def tries_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqbridge.core.connectionstate.AGAIN", 0.1)


def client(keys: tuple[bytes, bytes]) -> CurveClient:
    return CurveClient(SERVER[0], *keys)


async def test_it_lets_in_whom_its_policies_know_and_nobody_else(w: World) -> None:
    async with (
        w.Proxy("pipeline", FRONT, HERE, policies=KNOWN) as proxy,
        w.Puller(connect=proxy.back_addresses) as puller,
        w.Pusher(connect=proxy.front_addresses, security=client(ALICE)) as alice,
        w.Pusher(connect=proxy.front_addresses, security=client(BOB), monitor=True) as bob,
        w.Pusher(connect=proxy.front_addresses) as nobody,
    ):
        await alice.push(b"of alice")
        assert await puller.receive() == [b"of alice"]
        with pytest.raises(HandshakeFailed):
            await bob.connected(20)
        nobody.push_nowait(b"of nobody")
        bob.push_nowait(b"of bob")
        proxy.authenticator.reload({"global": Policy(keys=[ALICE[0], BOB[0]])})
        assert await puller.receive() == [b"of bob"]  # who has tried again
        await alice.push(b"the last")
        assert await puller.receive() == [b"the last"]  # and nothing that nobody had sent before
        assert proxy.authenticator.socket.context is proxy.context
    assert proxy.authenticator.closed


async def test_each_side_may_have_a_domain_of_its_own(w: World) -> None:
    async def check(peer: Any) -> bool:
        await w.sleep(0)
        return peer.username == "worker"

    async with w.Proxy(
        "requests",
        Side(HERE, security=CurveServer(SERVER[1], domain="clients")),
        Side(HERE, security=PlainServer("workers")),
        policies={"clients": Policy(keys=[ALICE[0]]), "workers": Policy(check=check)},
    ) as proxy:
        worker = PlainClient("worker", "any")
        async with (
            w.Replier(connect=proxy.back_addresses, security=worker) as replier,
            w.Requester(20, connect=proxy.front_addresses, security=client(ALICE)) as requester,
        ):
            asking = w.spawn(requester.request(b"?"))
            request = await replier.receive()
            await request.reply(b"!")
            assert await asking == [b"!"]


async def test_a_proxy_ends_while_somebody_is_being_asked_about(w: World) -> None:
    asked = []

    async def check(peer: Any) -> bool:
        asked.append(peer)
        await w.sleep(1000)
        return True

    proxy = w.Proxy("pipeline", FRONT, HERE, policies={"global": Policy(check=check)})
    async with proxy, w.Pusher(connect=proxy.front_addresses, security=client(BOB)):
        await w.until(lambda: asked)
        began = time.monotonic()
        await proxy.aclose()
        assert time.monotonic() - began < 20
        assert proxy.authenticator.closed
        await proxy.aclose()


@pytest.mark.real("threads")
async def test_a_thread_that_closes_it_ends_all_of_it(w: World) -> None:
    async with w.Proxy("pipeline", FRONT, HERE, policies=KNOWN) as proxy:
        await w.settled()
        Thread(target=proxy.close).start()
        await proxy.ended()
        await w.until(lambda: proxy.authenticator.closed)
        with pytest.raises(SocketClosed):
            await proxy.statistics()


@pytest.mark.parametrize(
    ("arguments", "policies", "error", "text"),
    [
        (("pipeline", HERE, HERE), KNOWN, ValueError, "no side asks by them"),
        (
            ("pipeline", Side(HERE, security=CurveServer(SERVER[1], any_key=True)), HERE),
            KNOWN,
            ValueError,
            "no side asks by them",
        ),
        (("pipeline", FRONT, HERE), None, AuthenticationMissing, "policies="),
        (("pipeline", FRONT, HERE), [ALICE[0]], TypeError, "give a Policy for each domain"),
        (("pipeline", FRONT, "nowhere"), KNOWN, Exception, "nowhere"),
    ],
)
async def test_what_would_let_in_everybody_or_nobody(
    w: World, arguments: tuple[Any, ...], policies: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        w.Proxy(*arguments, policies=policies)
    gc.collect()  # nothing is left open that would warn


async def test_one_that_asks_by_the_options_or_the_address_alone(w: World) -> None:
    for side in (
        Side(HERE, options={zmq.ZAP_DOMAIN: b"global"}),
        Side(HERE, security=Null()),
    ):
        policies = {"global": Policy(allow=["127.0.0.1"])}
        async with (
            w.Proxy("pipeline", side, HERE, policies=policies) as proxy,
            w.Pusher(connect=proxy.front_addresses) as pusher,
            w.Puller(connect=proxy.back_addresses) as puller,
        ):
            await pusher.push(b"x")
            assert await puller.receive() == [b"x"]


def test_it_may_be_made_before_the_loop_and_closed_after_it() -> None:
    proxy = Proxy("pipeline", FRONT, HERE, policies=KNOWN)

    async def main() -> None:
        from zmqbridge.asyncio_backend import Pusher

        async with (
            proxy,
            Pusher(connect=proxy.front_addresses, security=client(ALICE), monitor=True) as pusher,
        ):
            await pusher.connected(20)

    asyncio.run(main())
    assert proxy.closed

    async def forget_to_close() -> Proxy:
        return Proxy("pipeline", FRONT, HERE, policies=KNOWN)

    open_yet = asyncio.run(forget_to_close())
    ended = open_yet._engine.ended
    open_yet.close()
    ended.result(20)
    authenticator: Any = open_yet.authenticator
    assert authenticator.closed


def test_one_that_is_forgotten_ends_with_its_authenticator() -> None:
    proxy = Proxy("pipeline", FRONT, HERE, policies=KNOWN)
    ended, authenticator = proxy._engine.ended, proxy.authenticator
    with pytest.warns(ResourceWarning, match="unclosed <Proxy pipeline") as warned:  # noqa: PT031
        del proxy
        gc.collect()
    ended.result(20)
    assert isinstance(authenticator, Authenticator)
    assert authenticator.closed
    assert len(warned) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_in_a_forked_child_it_is_the_parents() -> None:
    code = f"""if True:
        import asyncio, os, warnings, zmq
        from zmqbridge.asyncio_backend import Proxy, Pusher
        from zmqbridge.proxies import Side
        from zmqbridge.security import CurveServer, CurveClient, Policy
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        server, mine = zmq.curve_keypair(), zmq.curve_keypair()

        async def main():
            front = Side({HERE!r}, security=CurveServer(server[1]))
            policies = {{"global": Policy(keys=[mine[0]])}}
            proxy = Proxy("pipeline", front, {HERE!r}, policies=policies)
            child = os.fork()
            if not child:
                await proxy.aclose()
                os._exit(7)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            async with proxy, Pusher(
                connect=proxy.front_addresses,
                security=CurveClient(server[0], *mine),
                monitor=True,
            ) as pusher:
                await pusher.connected(20)
                print(status)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


def test_a_process_ends_that_has_forgotten_one() -> None:
    code = (
        "import zmq\n"
        "from zmqbridge.asyncio_backend import Proxy\n"
        "from zmqbridge.proxies import Side\n"
        "from zmqbridge.security import CurveServer, Policy\n"
        f"front = Side({HERE!r}, security=CurveServer(zmq.curve_keypair()[1]))\n"
        f"proxy = Proxy('requests', front, {HERE!r}, policies={{'global': Policy()}})"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert time.monotonic() - began < 20
