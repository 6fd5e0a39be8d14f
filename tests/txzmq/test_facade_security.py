"""Security of the facade's connections: a class attribute, and the Twisted authenticator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import zmq

from zmqbridge import AuthenticationMissing, HandshakeFailed
from zmqbridge.security import CurveClient, CurveServer, PlainClient, PlainServer, Policy
from zmqbridge.txzmq import (
    ZmqConnection,
    ZmqEndpoint,
    ZmqEndpointType,
    ZmqFactory,
    ZmqPullConnection,
    ZmqPushConnection,
    ZmqREPConnection,
    ZmqREQConnection,
)

if TYPE_CHECKING:
    from tests.conftest import Make, World

TCP = "bind tcp://127.0.0.1:*"
SERVER, ALICE, MALLORY = (zmq.curve_keypair() for _ in range(3))
SERVERS: dict[str, CurveServer | PlainServer] = {
    "curve": CurveServer(SERVER[1]),
    "plain": PlainServer(),
}
GOOD = {"curve": CurveClient(SERVER[0], *ALICE), "plain": PlainClient("alice", "sesame")}
BAD = {"curve": CurveClient(SERVER[0], *MALLORY), "plain": PlainClient("alice", "wrong")}
POLICY = Policy(keys=[ALICE[0]], passwords={"alice": "sesame"})


def secured(kind: type[Any], security: Any) -> type[Any]:
    """A connection class as users would write it."""
    return type(kind.__name__, (kind,), {"security": security})


def echo(
    make: Make, address: Callable[[ZmqConnection], str], security: CurveServer | PlainServer
) -> tuple[ZmqREPConnection, str]:
    server = make(secured(ZmqREPConnection, security), TCP)
    server.gotMessage = server.reply
    return server, address(server)


@pytest.mark.parametrize("mechanism", SERVERS)
async def test_who_is_known_comes_in_and_who_is_not_is_told(
    w: World,
    factory: ZmqFactory,
    make: Make,
    address: Callable[[ZmqConnection], str],
    logged: list[tuple[str | None, BaseException]],
    mechanism: str,
) -> None:
    async with w.Authenticator({"*": POLICY}, context=factory.context):
        _, at = echo(make, address, SERVERS[mechanism])
        client = make(secured(ZmqREQConnection, GOOD[mechanism]), f"connect {at}")
        assert await client.sendMsg(b"hello", timeout=5) == [b"hello"]
        stranger = make(secured(ZmqREQConnection, BAD[mechanism]), f"connect {at}")
        with pytest.raises(HandshakeFailed, match="does not let these credentials in"):
            await stranger.sendMsg(b"hello", timeout=5)
        assert await client.sendMsg(b"hello", timeout=5) == [b"hello"]
        assert logged == []


async def test_a_wrong_server_key_is_an_error_within_a_second(
    w: World, factory: ZmqFactory, make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    async with w.Authenticator({"*": POLICY}, context=factory.context):
        _, at = echo(make, address, SERVERS["curve"])
        wrong = CurveClient(MALLORY[0], *ALICE)
        client = make(secured(ZmqREQConnection, wrong), f"connect {at}")
        with pytest.raises(HandshakeFailed, match="a wrong key of the server"):
            await client.sendMsg(b"hello", timeout=1)


async def test_a_refused_pusher_is_logged_once(
    w: World,
    factory: ZmqFactory,
    make: Make,
    address: Callable[[ZmqConnection], str],
    logged: list[tuple[str, HandshakeFailed]],
) -> None:
    async with w.Authenticator({"*": POLICY}, context=factory.context):
        got: list[Any] = []
        puller = make(secured(ZmqPullConnection, SERVERS["curve"]), TCP, onPull=got.append)
        pusher = make(secured(ZmqPushConnection, BAD["curve"]), f"connect {address(puller)}")
        await w.until(lambda: logged)
        assert [(system, type(error)) for system, error in logged] == [("ZMQ", HandshakeFailed)]
        pusher.shutdown()


def test_without_authenticator_nothing_is_bound(make: Make) -> None:
    for security in SERVERS.values():
        with pytest.raises(AuthenticationMissing):
            make(secured(ZmqREPConnection, security), TCP)
    assert make(secured(ZmqREPConnection, CurveServer(SERVER[1], any_key=True)), TCP).endpoints


async def test_keys_on_the_socket_are_nobodys_when_the_authenticator_has_gone(
    w: World, factory: ZmqFactory, make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    async with w.Authenticator({"*": POLICY}, context=factory.context):
        server = make(ZmqREPConnection)
        server.gotMessage = server.reply
        server.socket.curve_server, server.socket.curve_secretkey = True, SERVER[1]
        server.addEndpoints([ZmqEndpoint(ZmqEndpointType.bind, "tcp://127.0.0.1:*")])
        at = address(server)
        client = make(secured(ZmqREQConnection, GOOD["curve"]), f"connect {at}")
        assert await client.sendMsg(b"hello", timeout=20) == [b"hello"]
    stranger = make(secured(ZmqREQConnection, GOOD["curve"]), f"connect {at}")
    with pytest.raises(HandshakeFailed):
        await stranger.sendMsg(b"hello", timeout=20)
    assert await client.sendMsg(b"hello", timeout=20) == [b"hello"]


def test_it_is_assigned_on_the_librarys_own_class_as_all_attributes_are(
    make: Make,
) -> None:
    with mock.patch.object(ZmqConnection, "security", GOOD["curve"]):
        pusher = make(ZmqPushConnection)
    assert pusher.socket.get(zmq.MECHANISM) == zmq.CURVE
    assert make(ZmqPushConnection).socket.get(zmq.MECHANISM) == zmq.NULL
