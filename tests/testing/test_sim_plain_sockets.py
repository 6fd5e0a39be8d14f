"""Plain simulated sockets do what pyzmq's do; what they cannot do is refused, never ignored."""

from __future__ import annotations

from typing import Any

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from zmqbridge import AddressError
from zmqbridge.asyncio_backend import Puller, Pusher
from zmqbridge.testing import Network, NotSimulated, run


@pytest.fixture
def network() -> Network:
    return Network()


def plain(network: Network, kind: int, **options: Any) -> Any:
    socket = network.node("a").context.socket(kind)
    for name, value in options.items():
        setattr(socket, name, value)
    return socket


def test_the_methods_that_pyzmq_makes_of_others_are_there(network: Network) -> None:
    publisher, subscriber = plain(network, zmq.PUB, linger=7), plain(network, zmq.SUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    assert publisher.last_endpoint == f"tcp://127.0.0.1:{port}".encode()
    assert publisher.get_string(zmq.LAST_ENDPOINT) == f"tcp://127.0.0.1:{port}"
    subscriber.subscribe("t")
    subscriber.connect(publisher.last_endpoint)
    network.deliver_until(1)
    publisher.send_string("text")
    publisher.send_json(["not heard"])
    network.deliver_until(2)
    assert subscriber.recv_string(zmq.DONTWAIT) == "text"
    assert not subscriber.poll(0)


def test_the_options_are_attributes_too(network: Network) -> None:
    socket = plain(network, zmq.DEALER, linger=7, ROUTING_ID=b"it")
    socket.set_hwm(3)
    assert (socket.get(zmq.LINGER), socket.routing_id) == (7, b"it")
    assert (socket.hwm, socket.sndhwm, socket.get(zmq.RCVHWM)) == (3, 3, 3)
    with pytest.raises(NotSimulated, match="SNDBUF"):
        socket.sndbuf = 5
    with pytest.raises(AttributeError):
        socket.no_such_thing  # noqa: B018


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        (zmq.FD, 1, zmq.ZMQError),
        (zmq.LAST_ENDPOINT, b"x", zmq.ZMQError),
        (zmq.HWM, 5, zmq.ZMQError),
        (99_999, 1, zmq.ZMQError),
        (zmq.SNDHWM, 2**40, OverflowError),
    ],
)
def test_what_libzmq_refuses_is_refused_alike(
    network: Network, option: int, value: Any, error: type[Exception]
) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as real, pytest.raises(error) as wanted:
        real.set(option, value)
    with pytest.raises(error) as got:
        plain(network, zmq.PULL).set(option, value)
    assert getattr(got.value, "errno", None) == getattr(wanted.value, "errno", None)


# Those of which libzmq takes some numbers and refuses others.
NUMBERS = [
    "SNDHWM", "RCVHWM", "LINGER", "IMMEDIATE", "RECONNECT_IVL", "RECONNECT_IVL_MAX", "CONFLATE",
    "IPV6", "HEARTBEAT_IVL", "HEARTBEAT_TIMEOUT", "HEARTBEAT_TTL", "RCVTIMEO", "SNDTIMEO",
    "HANDSHAKE_IVL", "CURVE_SERVER", "PLAIN_SERVER", "TCP_KEEPALIVE", "TCP_KEEPALIVE_CNT",
    "TCP_KEEPALIVE_IDLE", "TCP_KEEPALIVE_INTVL", "BACKLOG", "RATE",
]  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_the_numbers_that_libzmq_refuses_are_refused_alike(network: Network, name: str) -> None:
    option = zmq.SocketOption[name]

    def outcome(socket: Any, value: int) -> int | None:
        try:
            socket.set(option, value)
        except zmq.ZMQError as error:
            return error.errno
        except NotSimulated:
            return None  # libzmq takes it
        return None

    with zmq.Context() as context, context.socket(zmq.DEALER) as real:
        for value in (-7, -2, -1, 0, 1, 2, 500):
            wanted = outcome(real, value)
            assert outcome(plain(network, zmq.DEALER), value) == wanted, value


def test_a_silent_peer_is_given_up_when_the_kernel_probes(network: Network) -> None:
    options = {"tcp_keepalive": 1, "tcp_keepalive_idle": 10, "tcp_keepalive_intvl": 5}
    router = plain(network, zmq.ROUTER, router_mandatory=1, tcp_keepalive_cnt=2, **options)
    router.bind("tcp://*:5555")
    dealer = network.node("b").context.socket(zmq.DEALER)
    dealer.set(zmq.ROUTING_ID, b"it")
    dealer.connect("tcp://a:5555")
    network.deliver_until(1)
    network.silence("a", "b")
    network.deliver_until(20)
    router.send_multipart([b"it", b"x"], zmq.DONTWAIT)
    network.deliver_until(22)
    with pytest.raises(zmq.ZMQError, match="unreachable"):
        router.send_multipart([b"it", b"x"], zmq.DONTWAIT)


def test_a_size_that_lets_no_handshake_through_is_not_simulated() -> None:
    async def main() -> None:
        async with (
            Puller(bind="tcp://*:5555", options={zmq.MAXMSGSIZE: 25}) as puller,
            Pusher(connect="tcp://127.0.0.1:5555") as pusher,
        ):
            await pusher.push(b"x")
            await puller.receive()

    with pytest.raises(NotSimulated, match="MAXMSGSIZE below 26"):
        run(main)


def test_ipv6_needs_its_option(network: Network) -> None:
    with pytest.raises(zmq.ZMQError, match="No such device"):
        plain(network, zmq.PULL).bind("tcp://[::1]:*")
    plain(network, zmq.PULL, ipv6=1).bind("tcp://[::1]:*")


def test_a_monitor_tells_of_a_bind_that_fails(network: Network) -> None:
    plain(network, zmq.PULL).bind("tcp://127.0.0.1:5555")
    socket = plain(network, zmq.PULL)
    monitor = socket.get_monitor_socket()
    with pytest.raises(zmq.ZMQError, match="in use"):
        socket.bind("tcp://127.0.0.1:5555")
    event = recv_monitor_message(monitor, zmq.DONTWAIT)
    assert (event["event"], event["value"]) == (zmq.Event.BIND_FAILED, zmq.EADDRINUSE)
    socket.disable_monitor()


def test_an_address_that_a_socket_gave_up_just_now_is_in_use_by_the_next_one() -> None:
    # With libzmq we would wait a moment for the one that gave it up, by time.sleep.
    async def main() -> None:
        async with Puller(bind="tcp://127.0.0.1:5555"):
            pass
        async with Puller(bind="tcp://127.0.0.1:5555"):
            with pytest.raises(AddressError, match="another socket has it"):
                Puller(bind="tcp://127.0.0.1:5555")

    run(main)


def test_what_lingers_after_a_disconnect_ends_with_its_process(network: Network) -> None:
    def pulled(kills: bool) -> list[bytes]:
        network = Network()
        puller, pusher = plain(network, zmq.PULL), network.node("b").context.socket(zmq.PUSH)
        pusher.connect("tcp://a:5555")
        pusher.send(b"x", zmq.DONTWAIT)
        pusher.disconnect("tcp://a:5555")
        network.deliver_until(1)
        if kills:
            network.node("b").kill()
        puller.bind("tcp://*:5555")
        network.deliver_until(2)
        return [puller.recv(zmq.DONTWAIT)] if puller.poll(0) else []

    assert pulled(kills=False) == [b"x"]
    assert pulled(kills=True) == []


def test_a_socket_of_the_real_class_is_refused_in_a_simulated_context(network: Network) -> None:
    async def main() -> None:
        with pytest.raises(NotSimulated, match=r"node\.context\.socket"):
            zmq.Socket(network.node("main").context, zmq.PULL)

    run(main, network)


@pytest.mark.parametrize(
    ("call", "instead"),
    [(lambda it: it.poll(5), r"poll\(0\)"), (lambda it: it.recv(), "zmq.DONTWAIT")],
)
def test_what_would_block_says_what_to_write_instead(
    network: Network, call: Any, instead: str
) -> None:
    with pytest.raises(NotSimulated, match=instead):
        call(plain(network, zmq.PULL))
