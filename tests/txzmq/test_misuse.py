"""What is given wrong to the facade's constructors is refused in words that say what to give."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import txzmq
from zmqbridge.errors import AddressError, SocketClosed
from zmqbridge.txzmq import (
    ZmqConnection,
    ZmqDealerConnection,
    ZmqEndpoint,
    ZmqFactory,
    ZmqPullConnection,
    ZmqPushConnection,
    ZmqREPConnection,
    ZmqRouterConnection,
    ZmqSubConnection,
)

if TYPE_CHECKING:
    from tests.conftest import Make

HERE = ZmqEndpoint("bind", "inproc://it")
at: Any = ZmqEndpoint
on_one = pytest.mark.parametrize("w", ["epoll"], indirect=True)


class Unmade(ZmqFactory):
    def __init__(self) -> None:
        pass


class Unending(ZmqPushConnection):
    lingerPeriod = 5
    highWaterMark = "many"  # type: ignore[assignment]


def of(*arguments: Any, kind: Any = ZmqDealerConnection) -> Callable[[ZmqFactory], object]:
    return lambda factory: kind(factory, *arguments)


def adding(what: Any) -> Callable[[ZmqFactory], object]:
    return lambda factory: ZmqPushConnection(factory).addEndpoints(what)


def without(factory: Any) -> Callable[[ZmqFactory], object]:
    return lambda _: ZmqPushConnection(factory, HERE)


USE = r"give ZmqEndpoint\('bind', 'tcp://\*:5555'\) or ZmqEndpoint\('connect', 'tcp://"


@on_one
@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (
            without(None),
            SocketClosed,
            r"factory=None: give a ZmqFactory, as in ZmqPushConnection\(",
        ),
        (without("tcp://*:5555"), TypeError, r"factory='tcp://\*:5555': give a ZmqFactory"),
        (without(object()), TypeError, r"factory=<object.*>: give a ZmqFactory"),
        (without(ZmqFactory), TypeError, "ZmqFactory is the class: call it"),
        (lambda _: without(Unmade())(_), SocketClosed, "its __init__ was not called yet"),
        (of("tcp://*:5555"), TypeError, USE),
        (of(b"tcp://*:5555"), TypeError, r"b'tcp://\*:5555' does not say whether to bind or to"),
        (of([HERE]), TypeError, "is no endpoint: a constructor takes one, addEndpoints a list"),
        (of(("bind", "inproc://a", 1)), TypeError, "is no endpoint: a constructor takes one"),
        (of(5555), TypeError, r"endpoint 5555: give ZmqEndpoint\('bind', address\)"),
        (of(ZmqEndpoint("inproc://a", "bind")), AddressError, "the type is first, as in ZmqEndp"),
        (of(ZmqEndpoint("both", "inproc://a")), AddressError, "use 'bind' or 'connect'$"),
        (of(at("bind", None)), TypeError, "cannot bind to None: give a str, as 'tcp://1"),
        (
            of(at("connect", 7000)),
            TypeError,
            r"7000: give a str, as 'tcp://127.0.0.1:7000",
        ),
        (of(HERE, "node-1"), TypeError, r"identity='node-1': ØMQ carries bytes, use \.encode\(\)"),
        (of(HERE, 7), TypeError, "identity=7: give 1 to 255 bytes"),
        (of(HERE, b""), zmq.ZMQError, "identity=b'': give 1 to 255 bytes"),
        (of(HERE, b"x" * 256), zmq.ZMQError, "give 1 to 255 bytes"),
        (of(kind=Unending), TypeError, "highWaterMark='many': "),
        (of(kind=ZmqConnection), TypeError, "ZmqConnection has no socketType: take the class of"),
        (adding("tcp://*:5555"), TypeError, r"endpoints 'tcp://\*:5555': give a list, as \[ZmqEnd"),
        (adding(["tcp://*:5555"]), TypeError, USE),
        (adding(HERE), TypeError, r"inproc://it'\): give a list, as \[ZmqEndpoint"),
        (adding(None), TypeError, "endpoints None: give a list"),
        (adding([None]), TypeError, "endpoint None: give ZmqEndpoint"),
    ],
)
def test_what_is_given_wrong_is_refused_in_words_that_help(
    factory: ZmqFactory, act: Callable[[ZmqFactory], object], kind: type[Exception], text: str
) -> None:
    before = len(factory.connections or ())
    with pytest.raises(kind, match=text):
        act(factory)
    # A connection whose constructor raised is none of the factory's.
    assert len(factory.connections or ()) - before == ("addEndpoints" in act.__code__.co_names)


@on_one
def test_what_is_as_good_as_an_endpoint_is_taken(factory: ZmqFactory) -> None:
    for number, endpoint in enumerate([("bind", "inproc://0"), ["bind", b"inproc://1"]]):
        made = ZmqPullConnection(factory, endpoint)  # type: ignore[arg-type]
        assert made.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0") == b"inproc://%d" % number
    made = ZmqPullConnection(factory)
    made.addEndpoints(ZmqEndpoint("bind", f"inproc://{each}") for each in "ab")
    made.addEndpoints({ZmqEndpoint("bind", "inproc://c")})
    assert len(made.endpoints) == 3


@on_one
def test_an_error_of_the_program_itself_comes_through(factory: ZmqFactory) -> None:
    def endpoints() -> Any:
        yield HERE
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        ZmqPullConnection(factory).addEndpoints(endpoints())


@on_one
@pytest.mark.parametrize(
    ("kind", "hook"),
    [
        (ZmqPullConnection, "onPull"),
        (ZmqSubConnection, "gotMessage"),
        (ZmqREPConnection, "gotMessage"),
        (ZmqRouterConnection, "gotMessage"),
    ],
)
def test_a_hook_that_is_missing_is_named(make: Make, kind: type[Any], hook: str) -> None:
    connection = make(kind)
    with pytest.raises(NotImplementedError, match=f"override {hook}, or assign it"):
        connection.messageReceived([b"peer", b"id", b"", b"body"])


CONNECTIONS = [
    each
    for each in map(vars(txzmq).get, txzmq.__all__)
    if isinstance(each, type) and issubclass(each, ZmqConnection)
]


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_a_misspelt_argument_is_named_with_the_class(
    factory: ZmqFactory, kind: type[ZmqConnection]
) -> None:
    class Own(kind):  # type: ignore[misc, valid-type]
        pass

    for each in (kind, Own):
        made: Any = each
        near = f"{each.__name__}() has no argument 'fatcory': did you mean 'factory'?"
        with pytest.raises(TypeError, match=f"^{re.escape(near)}$"):
            made(fatcory=factory)
        with pytest.raises(TypeError, match=rf"^{each.__name__}\(\) has no argument 'x': it"):
            made(factory, x=1)


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_a_constructor_shows_its_arguments(kind: type[ZmqConnection]) -> None:
    class Own(kind):  # type: ignore[misc, valid-type]
        def __init__(self, place: int, **others: Any) -> None:
            super().__init__(**others)

    assert list(inspect.signature(Own).parameters) == ["place", "others"]
    shown = list(inspect.signature(kind).parameters)
    usual = ["factory", "endpoint", "identity"]
    assert shown == (["factory", "endpoints"] if "X" in kind.__name__ else usual)
