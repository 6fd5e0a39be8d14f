"""Security, fail-closed: who comes in, who does not, and how each of them is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
import zmq.auth
from twisted.internet.defer import Deferred
from zmq.auth.thread import ThreadAuthenticator

from zmqbridge import (
    AddressError,
    AuthenticationMissing,
    ConnectTimeout,
    HandshakeFailed,
    OptionError,
    RequestTimeout,
    WrongThread,
    twisted_backend,
)
from zmqbridge._bridge import mechanisms, opening
from zmqbridge.asyncio_backend import Authenticator, Puller
from zmqbridge.core.connectionevents import EventKind
from zmqbridge.security import (
    CurveClient,
    CurveServer,
    Null,
    Peer,
    PlainClient,
    PlainServer,
    Policy,
)

if TYPE_CHECKING:
    from tests.conftest import Pusher, World

TCP = "tcp://127.0.0.1:*"
PAIRS = [
    ("Publisher", "Subscriber"),
    ("Pusher", "Puller"),
    ("Requester", "Replier"),
    ("Dealer", "Router"),
    ("XPublisher", "XSubscriber"),
    ("Pair", "Pair"),
]
SERVER, ALICE, MALLORY = (zmq.curve_keypair() for _ in range(3))
CURVE = CurveServer(SERVER[1])
SECRET = "open sesame"
SOON = 0.1  # seconds until who was refused tries again; it is AGAIN otherwise


@pytest.fixture(autouse=True)
def tries_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqbridge.core.connectionstate.AGAIN", SOON)


def client(keys: tuple[bytes, Any], server: bytes = SERVER[0]) -> CurveClient:
    return CurveClient(server, *keys)


@contextlib.asynccontextmanager
async def served(
    w: World,
    security: CurveServer | Null | PlainServer,
    *policy: Any,
    context: zmq.Context[zmq.Socket[bytes]] | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """Where an echoing server listens, under a policy if there is one."""
    async with contextlib.AsyncExitStack() as stack:
        for each in policy:
            policies = each if isinstance(each, dict) else {"global": each}
            await stack.enter_async_context(w.Authenticator(policies, context=context))
        replier = w.Replier(bind=TCP, security=security, context=context, **options)
        await stack.enter_async_context(replier)
        serving = w.spawn(replier.serve(lambda request: request.reply(*request.parts)))
        yield replier.addresses[0]
        replier.close()
        await serving


@pytest.mark.real("a loop that is held up")
@pytest.mark.parametrize(("sending", "receiving"), [("PUSH", "Puller"), ("XPUB", "Subscriber")])
async def test_what_a_server_has_sent_is_received_though_it_hangs_up(
    w: World, sending: str, receiving: str
) -> None:
    # With IMMEDIATE libzmq would drop what is not read yet.
    context = w.context()
    server = context.socket(getattr(zmq, sending))
    with context, server:
        server.curve_server, server.curve_secretkey = True, SERVER[1]
        server.linger = 20_000
        server.bind(TCP)
        there = server.last_endpoint.decode()
        async with getattr(w, receiving)(connect=there, security=client(ALICE)) as receiver:
            if sending == "XPUB":
                receiver.subscribe(b"")
                await w.until(lambda: server.poll(0))  # it knows
            else:
                await w.until(lambda: server.poll(0, zmq.POLLOUT))
            for number in range(5):
                server.send(b"%d" % number)
            server.close()
            context.term()  # all was sent
            time.sleep(0.2)  # the loop is held up, while libzmq receives it
            await w.until(lambda: receiver.statistics().received == 5)
            for number in range(5):
                assert (await receiver.receive())[-1] == b"%d" % number


async def asked(w: World, address: str, security: CurveClient | PlainClient) -> bool:
    """Whether this client comes in; if not, it must be told why long before its timeout."""
    async with w.Requester(connect=address, security=security, timeout=20) as requester:
        started = time.monotonic()
        try:
            assert await requester.request(b"hello") == [b"hello"]
        except HandshakeFailed as error:
            assert time.monotonic() - started < 10
            assert error.event.address == address
            return False
        await requester.connected(timeout=20)
        return True


async def test_a_known_key_comes_in_and_no_other(w: World) -> None:
    async with served(w, CURVE, Policy(keys=[ALICE[0]])) as address:
        assert await asked(w, address, client(ALICE))
        assert not await asked(w, address, client(MALLORY))
        assert await asked(w, address, client(ALICE))
    assert w.reports == []


@pytest.mark.waits
async def test_a_wrong_server_key_is_an_error_with_its_cause(w: World) -> None:
    async with served(w, CURVE, Policy(keys=[ALICE[0]])) as address:
        async with w.Requester(connect=address, security=client(ALICE, MALLORY[0])) as requester:
            for _ in range(2):  # not only the first request, which has no timeout
                with pytest.raises(HandshakeFailed, match="a wrong key of the server") as failed:
                    await requester.request(b"hello")
                assert failed.value.event.kind == EventKind.HANDSHAKE_FAILED_NO_DETAIL
            with pytest.raises(HandshakeFailed):
                await requester.connected(timeout=20)
            assert requester.statistics().queued == 0


@pytest.mark.parametrize("stranger", [None, PlainClient("alice", SECRET)])
async def test_another_mechanism_is_refused(w: World, stranger: PlainClient | None) -> None:
    async with served(w, CURVE, Policy(any_key=True, passwords={"alice": SECRET})) as address:
        async with w.Requester(connect=address, security=stranger, monitor=True) as requester:
            with pytest.raises(HandshakeFailed, match="the same one of NULL, PLAIN and CURVE"):
                await requester.request(b"hello", timeout=20)


async def test_a_password_comes_in_and_no_other(w: World) -> None:
    async with served(w, PlainServer(), Policy(passwords={"alice": SECRET})) as address:
        assert await asked(w, address, PlainClient("alice", SECRET))
        assert not await asked(w, address, PlainClient("alice", "wrong"))
        assert not await asked(w, address, PlainClient("bob", SECRET))


@pytest.mark.parametrize(
    ("policy", "comes_in"),
    [
        (Policy(allow="127.0.0.0/8"), True),
        (Policy(deny="10.0.0.0/8"), True),
        (Policy(deny="127.0.0.1"), False),
        (Policy(allow="10.0.0.0/8"), False),
        (Policy(deny="::ffff:127.0.0.1"), False),
        (Policy(deny="::ffff:0:0/96"), False),
        (Policy(allow="::ffff:127.0.0.0/104"), True),
        (Policy(), False),
    ],
)
async def test_without_credentials_the_address_decides(
    w: World, policy: Policy, comes_in: bool
) -> None:
    async with served(w, Null("house"), {"house": policy}) as address:
        async with w.Requester(connect=address, monitor=True) as requester:
            if comes_in:
                assert await requester.request(b"hello", timeout=20) == [b"hello"]
            else:
                with pytest.raises(HandshakeFailed, match="does not let these credentials in"):
                    await requester.request(b"hello", timeout=20)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_a_server_for_both_ips_denies_ipv4_by_either_name(w: World, address: str) -> None:
    policies = {"deny": Policy(deny=address), "allow": Policy(allow=address)}
    async with w.Authenticator(policies):
        for domain, comes_in in ("deny", False), ("allow", True):
            both = {zmq.IPV6: 1}
            async with w.Puller(bind="tcp://[::]:*", options=both, security=Null(domain)) as puller:
                port = puller.addresses[0].rpartition(":")[2]
                async with w.Pusher(connect=f"tcp://127.0.0.1:{port}", monitor=True) as pusher:
                    if comes_in:
                        await pusher.connected(timeout=20)
                    else:
                        with pytest.raises(HandshakeFailed):
                            await pusher.connected(timeout=20)


async def test_over_ipc_a_peer_is_of_this_host(w: World, tmp_path: Path) -> None:
    async with w.Authenticator(
        {"here": Policy(allow="127.0.0.1"), "away": Policy(allow="10.1.1.1")}
    ):
        for domain, comes_in in ("here", True), ("away", False):
            at = f"ipc://{tmp_path}/{domain}"
            async with w.Puller(bind=at, security=Null(domain)):
                async with w.Pusher(connect=at, monitor=True) as pusher:
                    if comes_in:
                        await pusher.connected(timeout=20)
                    else:
                        with pytest.raises(HandshakeFailed):
                            await pusher.connected(timeout=20)


async def test_a_denied_address_does_not_come_in_with_a_good_key(w: World) -> None:
    async with served(w, CURVE, Policy(keys=[ALICE[0]], deny=["127.0.0.1"])) as address:
        assert not await asked(w, address, client(ALICE))


async def test_each_domain_has_its_policy_and_an_unknown_one_none(w: World) -> None:
    async with w.Authenticator({"staff": Policy(keys=ALICE[0]), "guests": Policy(keys=MALLORY[0])}):
        for domain, alice, mallory in [
            ("staff", True, False),
            ("guests", False, True),
            ("roof", False, False),
        ]:
            async with served(w, CurveServer(SERVER[1], domain=domain)) as address:
                assert await asked(w, address, client(ALICE)) == alice
                assert await asked(w, address, client(MALLORY)) == mallory


async def test_a_callback_decides(w: World) -> None:
    seen = []

    def check(peer: Peer) -> bool:
        seen.append(peer)
        return peer.key == ALICE[0]

    async with served(w, CURVE, Policy(check=check)) as address:
        assert await asked(w, address, client(ALICE))
        assert not await asked(w, address, client(MALLORY))
    assert (seen[0].key, seen[0].domain, seen[0].address) == (ALICE[0], "global", "127.0.0.1")
    assert seen[0].mechanism == "CURVE"
    assert w.reports == []


async def test_a_callback_may_be_awaited_and_holds_up_nobody(w: World) -> None:
    bell: list[str] = []

    async def check(peer: Peer) -> bool:
        while not bell:
            await w.sleep(0.002)
        return peer.key == MALLORY[0]

    async with served(w, CURVE, Policy(keys=[ALICE[0]], check=check)) as address:
        waiting = w.spawn(asked(w, address, client(MALLORY)))
        assert await asked(w, address, client(ALICE))
        assert not w.done(waiting)
        bell.append("ding")
        assert await waiting
        assert not await asked(w, address, client(zmq.curve_keypair()))


async def test_a_callback_may_return_a_deferred(w: World) -> None:
    if w.backend is not twisted_backend:
        pytest.skip("there are none on this loop")

    def check(peer: Peer) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        w.reactor.callLater(0, answer.callback, peer.username == "alice")
        return answer

    async with served(w, PlainServer(), Policy(check=check)) as address:
        assert await asked(w, address, PlainClient("alice", "x"))
        assert not await asked(w, address, PlainClient("bob", "x"))


async def fails(peer: Peer) -> None:
    raise RuntimeError("the database is away")


@pytest.mark.parametrize(
    ("check", "error"),
    [
        (lambda peer: 1 / 0, ZeroDivisionError),
        (fails, RuntimeError),
        (lambda peer: "yes", TypeError),
    ],
)
async def test_a_callback_that_fails_lets_nobody_in_and_is_reported(
    w: World, check: Callable[..., Any], error: type[Exception]
) -> None:
    async with served(w, CURVE, Policy(keys=[ALICE[0]], check=check)) as address:
        async with w.Requester(connect=address, security=client(MALLORY)) as requester:
            with pytest.raises(HandshakeFailed, match="authenticator has failed"):
                await requester.request(b"hello", timeout=20)
        assert await asked(w, address, client(ALICE))  # and the next one is served
    assert [type(report) for report in w.reports] == [error]


async def test_a_callback_that_forgets_to_decide_is_told_so(w: World) -> None:
    async def check(peer: Peer) -> Any:
        await w.sleep(0)

    async with served(w, CURVE, Policy(check=check)) as address:
        assert not await asked(w, address, client(ALICE))
        await w.until(lambda: w.reports)
    assert "check returned None: True lets the peer in, False does not" in str(w.reports[0])


async def test_a_callback_that_takes_too_long_lets_nobody_in(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{w.backend.__name__}._authenticator.CALLBACK_TIMEOUT", 0.05)

    async def check(peer: Peer) -> None:
        await w.sleep(100)

    async with served(w, CURVE, Policy(check=check)) as address:
        assert not await asked(w, address, client(ALICE))
        await w.until(lambda: w.reports)
    assert "Timeout" in type(w.reports[0]).__name__


class Stop(BaseException):
    """Of no kind that anybody knows."""


def cancels_itself(w: World) -> list[Callable[..., Any]]:
    """A callback that awaits what was cancelled, as a database's client may have done."""

    async def of_asyncio(peer: Peer) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    def of_twisted(peer: Peer) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        answer.cancel()
        return answer

    async def of_twisted_too(peer: Peer) -> None:
        await of_twisted(peer)

    if w.backend is twisted_backend:
        return [of_twisted, of_twisted_too]
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio has no cancellation that is a callback's own
        return []
    return [of_asyncio]


@pytest.mark.every_world
async def test_a_callback_that_ends_by_a_cancellation_is_answered_and_reported(w: World) -> None:
    async def stops(peer: Peer) -> None:
        await w.sleep(0)
        raise Stop

    async def check(peer: Peer) -> bool:
        return peer.key == ALICE[0]

    async with w.Authenticator({}) as authenticator:
        async with served(w, CURVE) as address:
            for number, callback in enumerate([*cancels_itself(w), stops], 1):
                authenticator.reload({"*": Policy(check=callback)})
                assert not await asked(w, address, client(MALLORY))
                assert len(authenticator._zap) == 0
                assert len(w.reports) == number
            authenticator.reload({"*": Policy(check=check)})
            assert await asked(w, address, client(ALICE))
    assert isinstance(w.reports[-1], Stop)
    assert all("Cancelled" in type(report).__name__ for report in w.reports[:-1])


@pytest.mark.every_world
async def test_a_callback_that_ends_in_any_way_at_all_is_answered_and_reported(w: World) -> None:
    def raises(peer: Peer) -> None:
        raise error

    async def raises_soon(peer: Peer) -> None:
        await w.sleep(0)
        raise error

    others = [GeneratorExit(), BaseExceptionGroup("two", [Stop(), ValueError()])]
    reports: list[BaseException] = []
    async with w.Authenticator({}) as authenticator:
        async with served(w, CURVE) as address:
            for error in [*others, asyncio.CancelledError()]:
                for callback in (raises, raises_soon):
                    authenticator.reload({"*": Policy(check=callback)})
                    assert not await asked(w, address, client(MALLORY))
                    assert len(authenticator._zap) == 0
                    reports.append(error)
                    await w.until(lambda: len(w.reports) == len(reports))
            authenticator.reload({"*": Policy(keys=[ALICE[0]])})
            assert await asked(w, address, client(ALICE))
    assert [type(report) for report in w.reports] == [type(report) for report in reports]


@pytest.mark.parametrize("w", ["asyncio", "uvloop", "deaf"], indirect=True)
@pytest.mark.parametrize("begun", [True, False])
async def test_a_callback_whose_task_is_cancelled_from_outside_is_answered(
    w: World, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = []

    async def check(peer: Peer) -> None:
        asking.append(peer)
        await w.sleep(100)

    def cancel_the_next() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda *args, **kwargs: made(asyncio.Task(*args[1:], loop=loop)))

    def made(task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        if ".see" in repr(task):
            task.cancel()
        return task

    async with served(w, CURVE, Policy(check=check)) as address:
        if not begun:
            cancel_the_next()
        asks = w.spawn(asked(w, address, client(ALICE)))
        if begun:
            await w.until(lambda: asking)
            for task in asyncio.all_tasks():
                if ".see" in repr(task):
                    task.cancel()
        assert not await asks
    assert len(asking) == begun
    assert w.reports == []


@pytest.mark.waits
async def test_who_is_being_asked_about_is_refused_when_the_authenticator_closes(w: World) -> None:
    asking = []

    async def check(peer: Peer) -> None:
        asking.append(peer)
        await w.sleep(100)

    async with w.Authenticator({"*": Policy(check=check)}) as authenticator:
        async with served(w, CURVE) as address:
            waiting = [w.spawn(asked(w, address, client(ALICE))) for _ in range(3)]
            async with w.Requester(connect=address, security=client(ALICE)) as stays:
                staying = w.spawn(stays.connected(timeout=20))
                await w.until(lambda: len(asking) == 4)
                authenticator.close()
                assert len(authenticator._zap) == 0
                for each in waiting:
                    assert not await each  # within a second, not after libzmq's thirty
                with pytest.raises(HandshakeFailed, match="authenticator has failed"):
                    await staying
                async with w.Authenticator({"*": Policy(keys=[ALICE[0]])}):
                    with contextlib.suppress(HandshakeFailed):  # one could be under way
                        await stays.request(b"hello", timeout=20)
                    assert await stays.request(b"hello", timeout=20) == [b"hello"]
    assert w.reports == []


@pytest.mark.real("a peer that blocks")
async def test_who_was_not_even_read_is_refused_when_the_authenticator_closes(w: World) -> None:
    async with w.Authenticator({"*": Policy(any_key=True)}) as authenticator:
        async with w.Replier(bind=TCP, security=CURVE) as replier:
            (address,) = replier.addresses
            with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
                dealer.linger = 0
                dealer.curve_serverkey = SERVER[0]
                dealer.curve_publickey, dealer.curve_secretkey = ALICE
                with dealer.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH) as monitor:
                    dealer.connect(address)
                    # The loop has no turn until the question waits for it.
                    assert authenticator.socket.poll(5000)
                    authenticator.close()
                    assert monitor.poll(5000)
                    dealer.monitor(None, 0)


async def test_a_callback_may_close_its_authenticator(w: World) -> None:
    def check(peer: Peer) -> bool:
        authenticator.close()
        return True

    async with w.Authenticator({"*": Policy(check=check)}) as authenticator:
        async with served(w, CURVE) as address:
            assert not await asked(w, address, client(ALICE))
    assert w.reports == []


@pytest.mark.every_world
@pytest.mark.parametrize(
    "renewed", ["nobody", "another key", "the key", "another check", "the same check"]
)
async def test_who_is_being_asked_about_is_decided_by_the_new_policies(
    w: World, renewed: str
) -> None:
    asking: list[str] = []
    ended: list[str] = []
    decided: list[bool] = []

    async def old(peer: Peer) -> bool:
        asking.append("old")
        try:
            await w.until(lambda: decided)
        finally:
            ended.append("old")
        return True

    def new(peer: Peer) -> bool:
        asking.append("new")
        return peer.key == ALICE[0]

    policies, comes_in = {
        "nobody": ({}, False),
        "another key": ({"*": Policy(keys=[MALLORY[0]])}, False),
        "the key": ({"*": Policy(keys=[ALICE[0]], check=old)}, True),
        "another check": ({"*": Policy(check=new)}, True),
        "the same check": ({"*": Policy(check=old)}, True),
    }[renewed]
    async with w.Authenticator({"*": Policy(check=old)}) as authenticator:
        async with served(w, CURVE) as address:
            asks = w.spawn(asked(w, address, client(ALICE)))
            await w.until(lambda: asking)
            authenticator.reload(policies)
            if renewed == "the same check":
                assert len(authenticator._zap) == 1
                decided.append(True)
            assert await asks == comes_in
            await w.until(lambda: ended)  # a check that is asked no more is cancelled
            assert len(authenticator._zap) == 0
    assert asking == (["old", "new"] if renewed == "another check" else ["old"])
    assert w.reports == []


async def test_a_callback_may_reload_its_authenticator(w: World) -> None:
    def check(peer: Peer) -> bool:
        authenticator.reload({})
        return True

    async with w.Authenticator({"*": Policy(check=check)}) as authenticator:
        async with served(w, CURVE) as address:
            assert not await asked(w, address, client(ALICE))
    assert w.reports == []


@pytest.mark.real("threads")
async def test_reloading_is_for_the_thread_of_the_loop(w: World) -> None:
    def reload() -> None:
        try:
            authenticator.reload({})
        except WrongThread as error:
            refused.append(error)

    refused: list[WrongThread] = []
    async with w.Authenticator({"*": Policy(any_key=True)}) as authenticator:
        async with served(w, CURVE) as address:
            thread = threading.Thread(target=reload)
            thread.start()
            thread.join()
            assert refused
            assert await asked(w, address, client(ALICE))
    authenticator.reload({})  # it is closed, and there is nothing to decide


async def test_closing_does_not_wait_for_callbacks(w: World) -> None:
    asking, ended = [], []

    async def check(peer: Peer) -> None:
        asking.append(peer)
        try:
            await w.sleep(100)
        finally:
            ended.append(peer)

    async with w.Authenticator({"*": Policy(check=check)}) as authenticator:
        async with w.Replier(bind=TCP, security=CURVE) as replier:
            async with w.Requester(connect=replier.addresses, security=client(ALICE)) as requester:
                request = w.spawn(requester.request(b"hello", timeout=1))
                await w.until(lambda: asking)
                authenticator.close()
                await w.until(lambda: ended)
                with pytest.raises(HandshakeFailed):
                    await request
    assert w.reports == []


async def test_keys_are_read_again_without_a_restart(w: World, tmp_path: Path) -> None:
    def grant(name: str, keys: tuple[bytes, bytes]) -> None:
        zmq.auth.create_certificates(tmp_path, name)
        path = tmp_path / f"{name}.key"
        made, _ = zmq.auth.load_certificate(path)
        path.write_text(path.read_text().replace(made.decode(), keys[0].decode()))

    grant("alice", ALICE)
    async with w.Authenticator({"*": Policy(certificates=tmp_path)}) as authenticator:
        async with served(w, CURVE) as address:
            assert await asked(w, address, client(ALICE))
            async with w.Requester(connect=address, security=client(MALLORY)) as mallory:
                with pytest.raises(HandshakeFailed):
                    await mallory.request(b"hello", timeout=20)
                grant("mallory", MALLORY)
                (tmp_path / "alice.key").unlink()
                authenticator.reload()
                with contextlib.suppress(HandshakeFailed):  # one could be under way
                    await mallory.request(b"hello", timeout=20)
                # The same socket, which was refused.
                assert await mallory.request(b"hello", timeout=20) == [b"hello"]
                assert not await asked(w, address, client(ALICE))
            (tmp_path / "broken.key").write_text("curve\n")
            with pytest.raises(ValueError, match=r"broken\.key"):
                authenticator.reload()
            assert await asked(w, address, client(MALLORY))  # all is as it was
            authenticator.reload({"*": Policy(keys=[ALICE[0]])})
            assert await asked(w, address, client(ALICE))
            assert not await asked(w, address, client(MALLORY))


async def test_any_key_in_so_many_words(w: World) -> None:
    any_key = CurveServer(SERVER[1], any_key=True)
    async with served(w, any_key) as address:
        assert await asked(w, address, client(MALLORY))
        assert not await asked(w, address, client(ALICE, MALLORY[0]))
    async with served(w, any_key, Policy(keys=[ALICE[0]])) as address:
        assert await asked(w, address, client(MALLORY))
    async with served(w, CURVE, Policy(any_key=True)) as address:
        assert await asked(w, address, client(MALLORY))


@pytest.mark.parametrize("security", [CURVE, PlainServer(), Null(), Null("\0")])
async def test_a_server_without_authenticator_is_not_opened(
    w: World, security: CurveServer | Null | PlainServer
) -> None:
    for name, way in itertools.product(itertools.chain(*PAIRS), ["bind", "connect"]):
        with pytest.raises(AuthenticationMissing, match="start one in its context"):
            getattr(w, name)(**{way: "tcp://127.0.0.1:5555"}, security=security)


RAW: dict[int, Any] = {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: SERVER[1]}
DOMAIN = {zmq.ZAP_DOMAIN: b"global"}
NUL = {zmq.ZAP_DOMAIN: b"\0"}  # to libzmq it is a name
ENFORCE = {zmq.ZAP_ENFORCE_DOMAIN: 1}


@pytest.mark.parametrize("options", [RAW, RAW | DOMAIN, {zmq.PLAIN_SERVER: 1}, DOMAIN, NUL])
async def test_nor_is_one_that_was_made_by_options_or_on_the_socket(
    w: World, options: dict[int, bytes | int]
) -> None:
    with pytest.raises(AuthenticationMissing):
        w.Puller(bind=TCP, options=options)
    async with w.Puller() as puller:
        for option, value in options.items():
            puller.socket.set(option, value)
        with pytest.raises(AuthenticationMissing):
            puller.bind(TCP)
        async with w.Authenticator({}):
            assert puller.bind(TCP)


class Serving(zmq.Context[zmq.Socket[bytes]]):
    """A context whose sockets are servers from the beginning."""

    def socket(self, *args: Any, **kwargs: Any) -> Any:
        made = super().socket(*args, **kwargs)
        made.set(zmq.PLAIN_SERVER, 1)
        return made


@pytest.mark.real("a context of a class of its own")
@pytest.mark.parametrize("kind", [zmq.Context, Serving])
async def test_nor_one_that_its_context_has_made_a_server(
    w: World, kind: type[zmq.Context[Any]]
) -> None:
    with kind() as context:
        if kind is zmq.Context:
            context.setsockopt(zmq.PLAIN_SERVER, 1)
        for at in ({"bind": TCP}, {"connect": "tcp://127.0.0.1:9"}):
            with pytest.raises(AuthenticationMissing):
                w.Puller(context=context, **at)


@pytest.mark.parametrize("server", [RAW, {zmq.PLAIN_SERVER: 1}])
async def test_nor_one_that_would_not_ask_its_authenticator(
    w: World, server: dict[int, bytes | int]
) -> None:
    async with w.Authenticator({}):
        with pytest.raises(AuthenticationMissing, match="set both"):
            w.Puller(bind=TCP, options=server | ENFORCE)
        async with w.Puller(bind=TCP, options=server | ENFORCE | DOMAIN) as puller:
            assert puller.addresses


@pytest.mark.waits
@pytest.mark.parametrize("security", [CURVE, PlainServer(), Null()])
async def test_when_the_authenticator_has_gone_nobody_comes_in(
    w: World, security: CurveServer | Null | PlainServer
) -> None:
    shows = {CurveServer: client(ALICE), PlainServer: PlainClient("a", "b"), Null: None}
    policy = Policy(any_key=True, passwords={"a": "b"}, allow="0.0.0.0/0")
    async with w.Authenticator({"*": policy}) as authenticator:
        async with served(w, security) as address:
            async with w.Requester(connect=address, security=shows[type(security)]) as inside:
                assert await inside.request(b"hello", timeout=20) == [b"hello"]
                await authenticator.aclose()
                async with w.Requester(connect=address, security=shows[type(security)]) as outside:
                    with pytest.raises((HandshakeFailed, RequestTimeout)):
                        await outside.request(b"hello", timeout=0.3)
                assert await inside.request(b"hello", timeout=20) == [b"hello"]


@pytest.mark.waits
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    "options", [RAW, RAW | DOMAIN, RAW | NUL, {zmq.PLAIN_SERVER: 1}, DOMAIN, NUL]
)
async def test_nor_into_a_server_that_was_made_by_options_or_on_the_socket(
    w: World, options: dict[int, bytes | int], later: bool
) -> None:
    plain = PlainClient("a", "b") if zmq.PLAIN_SERVER in options else None
    shows = client(ALICE) if zmq.CURVE_SERVER in options else plain
    policy = Policy(any_key=True, passwords={"a": "b"}, allow="0.0.0.0/0")
    async with w.Authenticator({"*": policy}) as authenticator:
        async with w.Replier(options={} if later else options) as replier:
            if later:
                for option, value in options.items():
                    replier.socket.set(option, value)
            address = replier.bind(TCP)
            w.spawn(replier.serve(lambda request: request.reply(*request.parts)))
            async with w.Requester(connect=address, security=shows) as inside:
                assert await inside.request(b"hello", timeout=20) == [b"hello"]
                await authenticator.aclose()
                async with w.Requester(connect=address, security=shows) as outside:
                    with pytest.raises((HandshakeFailed, RequestTimeout)):
                        await outside.request(b"hello", timeout=0.3)
                    if shows is None:  # libzmq itself does not try again
                        return
                    async with w.Authenticator({"*": policy}):  # another one takes over
                        with contextlib.suppress(HandshakeFailed):  # one could be under way
                            await outside.request(b"hello", timeout=20)
                        assert await outside.request(b"hello", timeout=20) == [b"hello"]


async def test_a_server_without_a_domain_has_the_policies_that_it_had(w: World) -> None:
    async with w.Authenticator({"": Policy(keys=[ALICE[0]]), "*": Policy()}):
        async with w.Replier(bind=TCP, options=RAW) as replier:
            w.spawn(replier.serve(lambda request: request.reply(*request.parts)))
            assert await asked(w, replier.addresses[0], client(ALICE))
            assert not await asked(w, replier.addresses[0], client(MALLORY))


async def test_a_second_authenticator_is_refused_and_the_first_goes_on(w: World) -> None:
    async with served(w, CURVE, Policy(keys=[ALICE[0]])) as address:
        with pytest.raises(AddressError, match="has an authenticator already"):
            w.Authenticator({})
        assert await asked(w, address, client(ALICE))


class Slow:
    """A probe that takes its time while it has the name."""

    def __init__(self, *args: Any) -> None:
        self.socket = zmq.Socket(*args)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self.socket, name)

    def unbind(self, address: str) -> None:
        time.sleep(0.02)
        self.socket.unbind(address)


def test_the_look_of_one_thread_is_no_authenticator_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opens() -> None:
        while not done:
            try:
                opened.append(Puller(bind=TCP, options=RAW))
            except AuthenticationMissing:
                refused.append(1)

    opened: list[Any] = []
    refused: list[int] = []
    done = []
    slow = type("zmq", (), {**vars(zmq), "Socket": Slow})
    threads = [threading.Thread(target=opens) for _ in range(4)]
    with contextlib.closing(Puller(bind="inproc://keeps the context")):
        monkeypatch.setattr(mechanisms, "zmq", slow)
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):  # and an authenticator is not refused for it
                Authenticator({}).close()
        finally:
            done.append(1)
            for thread in threads:
                thread.join(10)
            for puller in opened:
                # These met an authenticator, which has gone; nobody else was taken for one.
                puller.close()
    assert len(opened) <= 5
    assert len(refused) > 5


class Interrupted:
    """A probe in the middle of which a signal handler runs, at each moment in turn."""

    moment = 0
    interrupt: Callable[[], object]

    def __init__(self, *args: Any) -> None:
        self.socket = zmq.Socket(*args)
        self.left = Interrupted.moment

    def pass_moment(self) -> None:
        self.left -= 1
        if self.left == 0:
            Interrupted.moment = -1  # not in the middle of itself
            Interrupted.interrupt()

    def bind(self, address: str) -> None:
        self.pass_moment()
        self.socket.bind(address)
        self.pass_moment()

    def unbind(self, address: str) -> None:
        self.pass_moment()
        self.socket.unbind(address)
        self.pass_moment()

    def close(self) -> None:
        self.socket.close()


@pytest.mark.parametrize("authenticated", [False, True])
@pytest.mark.parametrize("moment", [1, 2, 3, 4])
def test_a_look_in_the_middle_of_a_look_neither_hangs_nor_finds_itself(
    monkeypatch: pytest.MonkeyPatch, moment: int, authenticated: bool
) -> None:
    def opens() -> None:
        for _ in range(2):
            try:
                Puller(bind=TCP, security=CURVE).close()
            except AuthenticationMissing:
                seen.append("refused")
            else:
                seen.append("opened")

    def begins() -> None:
        opens()
        Authenticator({}).close()
        seen.append("began")

    seen: list[str] = []
    monkeypatch.setattr(Interrupted, "moment", moment)
    monkeypatch.setattr(Interrupted, "interrupt", staticmethod(begins), raising=False)
    monkeypatch.setattr(mechanisms, "zmq", type("zmq", (), {**vars(zmq), "Socket": Interrupted}))
    with contextlib.closing(Puller(bind="inproc://keeps the context")):
        with contextlib.closing(Authenticator({})) if authenticated else contextlib.nullcontext():
            if authenticated:
                monkeypatch.setattr(Interrupted, "interrupt", staticmethod(opens))
            thread = threading.Thread(target=opens, daemon=True)
            thread.start()
            thread.join(20)
            assert not thread.is_alive()
    if authenticated:
        # A name that is in use is not bound and not unbound, so two of the moments do not come.
        assert seen == ["opened"] * (4 if moment < 3 else 2)
    else:
        assert seen == ["refused", "refused", "began", "refused", "refused"]


@pytest.mark.parametrize("bound", [False, True])
def test_nor_does_one_in_the_middle_of_a_beginning(
    monkeypatch: pytest.MonkeyPatch, bound: bool
) -> None:
    def bind(socket: zmq.Socket[bytes], name: str) -> str:
        if name != mechanisms.ZAP:
            return opening_bind(socket, name)
        if bound:
            opening_bind(socket, name)
        try:
            Puller(bind=TCP, security=CURVE).close()
        except AuthenticationMissing:
            seen.append("refused")
        else:
            seen.append("opened")
        return name if bound else opening_bind(socket, name)

    def begin() -> None:
        with contextlib.closing(Authenticator({})):
            seen.append("began")

    seen: list[str] = []
    opening_bind = opening.bind
    monkeypatch.setattr(opening, "bind", bind)
    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    thread.join(20)
    assert seen == ["opened" if bound else "refused", "began"]


def test_in_a_forked_child_nobody_stands_in_the_door() -> None:
    with mechanisms.door:
        held = mechanisms.door
        mechanisms._new_door()  # what the child does
    assert mechanisms.door is not held
    with pytest.raises(AuthenticationMissing):
        Puller(bind=TCP, security=CURVE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_nor_where_the_child_was_forked_while_a_thread_stood_there() -> None:
    program = """
import os, signal
from zmqbridge import AuthenticationMissing
from zmqbridge._bridge import mechanisms
from zmqbridge.asyncio_backend import Puller
from zmqbridge.security import CurveServer

with mechanisms.door:
    child = os.fork()
    if not child:
        signal.alarm(10)
        try:
            Puller(bind="inproc://child", security=CurveServer(b"x" * 32))
        except AuthenticationMissing:
            os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("0\n", "")


def test_libzmqs_own_number_tells_that_there_is_an_authenticator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on Windows, where Python's is another.
    monkeypatch.setattr("errno.EADDRINUSE", 10048)
    with contextlib.closing(Authenticator({})):
        with contextlib.closing(Puller(bind=TCP, security=CURVE)) as puller:
            assert puller.addresses
        with pytest.raises(AddressError, match="has an authenticator already") as refused:
            Authenticator({})
        assert refused.value.errno == zmq.EADDRINUSE


async def test_an_authenticator_is_of_one_context(w: World) -> None:
    context = w.context()
    async with w.Authenticator({"*": Policy(keys=[ALICE[0]])}):
        with pytest.raises(AuthenticationMissing):
            w.Puller(bind=TCP, security=CURVE, context=context)
    async with served(w, CURVE, Policy(keys=[ALICE[0]]), context=context) as address:
        assert await asked(w, address, client(ALICE))
    context.term()


@pytest.mark.real("threads")
async def test_pyzmqs_own_authenticator_serves_too(w: World, tmp_path: Path) -> None:
    public, secret = map(zmq.auth.load_certificate, zmq.auth.create_certificates(tmp_path, "a"))
    context = zmq.Context()
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve(domain="global", location=tmp_path)
    try:
        async with served(w, CURVE, context=context) as address:
            assert await asked(w, address, client((public[0], secret[1])))
            assert not await asked(w, address, client(MALLORY))
    finally:
        authenticator.stop()
        context.term()


@pytest.mark.parametrize(("one", "other"), PAIRS + [pair[::-1] for pair in PAIRS])
async def test_every_class_takes_both_sides(w: World, one: str, other: str) -> None:
    async with w.Authenticator({"*": Policy(keys=[ALICE[0]])}):
        async with getattr(w, one)(bind=TCP, security=CURVE) as server:
            connect = {"connect": server.addresses}
            async with getattr(w, other)(**connect, security=client(ALICE)) as known:
                await known.connected(timeout=20)
            async with getattr(w, other)(**connect, security=client(MALLORY)) as unknown:
                with pytest.raises(HandshakeFailed):
                    await unknown.connected(timeout=20)


@pytest.mark.waits
async def test_what_waits_for_a_server_that_refuses_is_kept(w: World) -> None:
    async with w.Authenticator({"*": Policy()}) as authenticator:
        async with w.Puller(bind=TCP, security=CURVE) as puller:
            async with w.Pusher(connect=puller.addresses, security=client(ALICE)) as pusher:
                pusher.push_nowait(b"early")
                await w.until(lambda: w.reports)
                assert pusher.statistics().queued == 1
                authenticator.reload({"*": Policy(keys=[ALICE[0]])})
                assert await puller.receive() == [b"early"]
    assert [type(report) for report in w.reports] == [HandshakeFailed]  # once, though often tried


@pytest.mark.waits
async def test_a_refusal_that_nobody_waits_for_is_reported_once(w: World) -> None:
    async with w.Authenticator({"*": Policy()}):
        async with w.Puller(bind=TCP, security=CURVE, monitor=True) as puller:
            wrong = client(ALICE, MALLORY[0])
            async with w.Pusher(connect=puller.addresses, security=wrong) as pusher:
                refusals = 0
                async for event in puller.events():
                    refusals += event.kind == EventKind.HANDSHAKE_FAILED_PROTOCOL
                    if refusals == 4:
                        break
                await w.until(lambda: w.reports)
                assert not pusher.closed
    assert [type(report) for report in w.reports] == [HandshakeFailed]


async def test_what_the_raw_socket_is_connected_to_is_told_as_well(w: World) -> None:
    async with served(w, CURVE, Policy()) as address:
        async with w.Requester(security=client(ALICE)) as requester:
            requester.socket.connect(address)
            with pytest.raises(HandshakeFailed):
                await requester.request(b"hello", timeout=20)


async def test_with_two_servers_one_that_refuses_is_only_reported(w: World) -> None:
    async with w.Authenticator({"*": Policy(keys=[ALICE[0]]), "roof": Policy()}):
        async with w.Replier(bind=TCP, security=CurveServer(SERVER[1], domain="roof")) as no:
            async with w.Requester(connect=no.addresses, security=client(ALICE)) as requester:
                async with served(w, CURVE) as yes:
                    with pytest.raises(HandshakeFailed):
                        await requester.connected(timeout=20)
                    requester.connect(yes)
                    # For a moment libzmq may still send to who refuses, and that is lost.
                    with contextlib.suppress(RequestTimeout):
                        await requester.request(b"hello", timeout=2)
                    for _ in range(3):
                        assert await requester.request(b"hello", timeout=20) == [b"hello"]
                    await requester.connected(timeout=20)


@pytest.mark.waits
async def test_an_address_that_was_taken_back_is_not_tried_again(w: World) -> None:
    async def waits_in_vain(pusher: Pusher) -> None:
        with pytest.raises(ConnectTimeout):
            await pusher.connected(timeout=4 * SOON)  # it would have been tried after one

    async with w.Authenticator({"*": Policy()}) as authenticator:
        async with w.Puller(bind=TCP, security=CURVE) as puller:
            (at,) = puller.addresses
            async with (
                w.Pusher(connect=at, security=client(ALICE)) as one,
                w.Pusher(connect=at, security=client(ALICE)) as other,
            ):
                for pusher, disconnect in (one, one.disconnect), (other, other.socket.disconnect):
                    with pytest.raises(HandshakeFailed):
                        await pusher.connected(timeout=20)
                    disconnect(at)
                authenticator.reload({"*": Policy(keys=[ALICE[0]])})
                await w.gather(waits_in_vain(one), waits_in_vain(other))
                monitor = other._link.monitor
                assert monitor.connections.refusal() is None  # it is connected to no server
                one.connect(at)
                other.socket.connect(at)
                await w.gather(one.connected(timeout=20), other.connected(timeout=20))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CurveServer("too short"), "secret key is 9 characters long"),
        (lambda: CurveServer(SERVER[1][:-1] + b"~"), "not Z85"),
        (lambda: CurveServer(None), "secret key is given as NoneType"),  # type: ignore[arg-type]
        (lambda: CurveServer(SERVER), "secret key is given as tuple"),  # type: ignore[arg-type]
        (lambda: CurveServer(SERVER[1], any_key="no"), "give True or False"),  # type: ignore[arg-type]
        (lambda: CurveServer(SERVER[1], any_key=SECRET), "any_key is given as str"),  # type: ignore[arg-type]
        (lambda: CurveServer(SERVER[1], domain=""), "a name of up to 255 bytes"),
        (lambda: CurveServer(SERVER[1], domain=SECRET * 50), "domain is 550 bytes"),
        (lambda: CurveServer(SERVER[1], domain=SERVER[1]), "domain is given as bytes"),  # type: ignore[arg-type]
        (lambda: CurveServer(*SERVER), "positional arguments"),  # type: ignore[arg-type,call-arg]
        (lambda: CurveClient(SERVER[0], ALICE[0], "x"), "client's secret key is 1"),
        (lambda: CurveClient(b"", *ALICE), "server's public key is 0"),
        (lambda: PlainServer(""), "a name of up to 255 bytes"),
        (lambda: PlainClient("", SECRET), "user name is 0 bytes"),
        (lambda: PlainClient("alice", [SECRET]), "password is given as list"),  # type: ignore[arg-type]
        (lambda: PlainClient("alice", SECRET * 50), "password is 550 bytes"),
        (lambda: Null(""), "a name of up to 255 bytes"),
    ],
)
def test_what_is_wrong_is_said_and_shows_no_secret(make: Callable[..., Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words) as refusal:
        make()
    assert SECRET not in str(refusal.value)
    assert SERVER[1][:10].decode() not in str(refusal.value)
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__


async def test_what_a_socket_does_not_take_is_said_and_shows_no_secret(w: World) -> None:
    with pytest.raises(TypeError, match="give one of CurveServer") as refusal:
        w.Puller(security=SERVER[1])
    assert str(SERVER[1]) not in str(refusal.value)
    with pytest.raises(ValueError, match="not of one pair"):
        w.Puller(security=CurveClient(SERVER[0], ALICE[0], MALLORY[1]))
    for option, secret in (zmq.CURVE_SECRETKEY, SECRET.encode()), (zmq.PLAIN_PASSWORD, SECRET):
        with pytest.raises(OptionError, match="does not take this") as refused:
            w.Puller(options={option: secret})
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("policies", "error"),
    [
        (Policy(), TypeError),
        ({"*": {"passwords": {"alice": SECRET}}}, TypeError),
        ([("*", {"alice": SECRET})], TypeError),
        ({b"*": Policy()}, TypeError),
        ({"*": Policy(certificates="/nowhere/at/all")}, OSError),
    ],
)
async def test_wrong_policies_leave_the_context_without_authenticator(
    w: World,
    policies: Policy | dict[bytes | str, Policy | dict[str, Any]] | list[tuple[str, Any]],
    error: type[Exception],
) -> None:
    with pytest.raises(error) as refusal:
        w.Authenticator(policies)
    assert SECRET not in str(refusal.value)
    async with w.Authenticator({"*": Policy(keys=[ALICE[0]])}) as authenticator:
        async with served(w, CURVE) as address:
            with pytest.raises(error):
                authenticator.reload(policies)
            authenticator.reload()
            assert await asked(w, address, client(ALICE))


async def test_strangers_at_the_door_of_the_authenticator_are_counted(w: World) -> None:
    async with w.Authenticator({"*": Policy(check=repr)}) as authenticator:
        async with w.Dealer(connect="inproc://zeromq.zap.01") as stranger:
            for count in range(4):
                await stranger.send(*[SECRET.encode()] * (count + 1))
            await stranger.send(b"", b"1.0", b"1", b"", b"", b"", b"PLAIN", SECRET.encode())
            reply = await stranger.receive()
        assert reply[:4] == [b"", b"1.0", b"1", b"400"]
        assert authenticator.statistics().malformed == 4
    assert w.reports
    assert SECRET not in "".join(map(str, w.reports))


async def test_nothing_secret_is_shown_anywhere(
    w: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = [SECRET, ALICE[1].decode(), MALLORY[1].decode(), SERVER[1].decode()]
    shown = []
    policy = Policy(keys=[ALICE[0]], passwords={"alice": SECRET}, check=fails)
    server: Any
    good: Any
    async with w.Authenticator({"*": policy}) as authenticator:
        for server, good, bad in [
            (CURVE, client(ALICE), client(MALLORY)),
            (PlainServer(), PlainClient("alice", SECRET), PlainClient("bob", SECRET)),
        ]:
            async with served(w, server) as address:
                assert await asked(w, address, good)
                async with w.Requester(connect=address, security=bad) as requester:
                    with pytest.raises(HandshakeFailed) as failed:
                        await requester.request(b"hello")
                    shown += [server, good, bad, requester, failed.value, failed.value.event]
        shown += [policy, authenticator, authenticator.statistics()]
    everything = [f"{each}{each!r}" for each in shown + w.reports]
    everything += [caplog.text, *capfd.readouterr()]
    for secret, text in itertools.product(secrets, everything):
        assert secret not in text
