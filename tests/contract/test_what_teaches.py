"""What is called or made in the wrong way says what to do instead."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import zmq

import zmqbridge
from zmqbridge import AddressError, NotAnswered, RequestTimeout, SocketClosed
from zmqbridge.asyncio_backend import Puller as AsyncioPuller
from zmqbridge.proxies import Side
from zmqbridge.security import CurveClient, CurveServer, Policy
from zmqbridge.txzmq import ZmqEndpoint

if TYPE_CHECKING:
    from tests.conftest import World

if TYPE_CHECKING:
    from tests.conftest import Request, World

TWISTED = ("epoll", "select", "asyncioreactor")


async def begun(w: World, call: Any) -> Any:
    """A call that waits now."""
    spawned = w.spawn(call)
    await w.settled()
    return spawned


async def test_a_subscriber_without_a_tag_is_warned(w: World) -> None:
    async with w.Subscriber(bind="inproc://no-tag") as subscriber:
        with pytest.warns(RuntimeWarning, match="no tag; subscribe to '' for all"):
            waits = await begun(w, subscriber.receive())
        waits.cancel()
        with pytest.raises(w.Cancelled):
            await waits


@pytest.mark.parametrize("kind", ["Puller", "Dealer", "Router", "Replier"])
async def test_who_receives_without_an_address_is_warned_once(w: World, kind: str) -> None:
    async with getattr(w, kind)() as receiver:
        with pytest.warns(RuntimeWarning, match="waits for what will not come: bind or connect"):
            waits = await begun(w, receiver.receive())
        receiver.bind("inproc://late")
        again = w.spawn(receiver.receive())
        await w.settled()
        for each in waits, again:
            each.cancel()
            with pytest.raises(w.Cancelled):
                await each


async def test_who_sends_without_an_address_is_warned(w: World) -> None:
    async with w.Pusher(options={zmq.LINGER: 0}) as pusher:
        await pusher.push(b"is queued")
        with pytest.warns(RuntimeWarning, match="bind or connect it first"):
            waits = await begun(w, pusher.push(b"waits"))
        waits.cancel()
        with pytest.raises(w.Cancelled):
            await waits


async def test_an_address_of_the_raw_socket_is_one(w: World) -> None:
    async with w.Puller() as puller:
        puller.socket.bind("tcp://127.0.0.1:*")
        waits = w.spawn(puller.receive())
        await w.settled()
        waits.cancel()
        with pytest.raises(w.Cancelled):
            await waits


async def test_a_request_that_was_not_sent_says_why_where_that_is_known(w: World) -> None:
    async with w.Requester() as requester:
        with pytest.raises(RequestTimeout) as raised:
            await requester.request(b"?", timeout=0.02)
        assert "bind or connect it" in raised.value.__notes__[0]
    _, secret = zmq.curve_keypair()
    context = w.context()
    with context.socket(zmq.ROUTER) as server:  # which wants CURVE
        server.set(zmq.LINGER, 0)
        server.curve_server, server.curve_secretkey = True, secret
        port = server.bind_to_random_port("tcp://127.0.0.1")
        async with w.Requester(connect=f"tcp://127.0.0.1:{port}", monitor=True) as plain:
            await w.until(lambda: plain._link.monitor.connections.failure)
            with pytest.raises(RequestTimeout) as raised:
                await plain.request(b"?", timeout=0.05)
            assert "the last connection that failed" in raised.value.__notes__[0]
    context.term()
    w.reports.clear()  # it was reported, too


@pytest.mark.waits
async def test_a_handler_that_returns_instead_of_replying_is_told(w: World) -> None:
    async def returns(request: Request) -> bytes:
        if request.parts == [b"replied"]:
            await request.reply(b"yes")
        return b"an answer"

    def returns_at_once(request: Request) -> bytes:
        return b"an answer"

    async with (
        w.Replier(bind="inproc://returns") as replier,
        w.Requester(connect="inproc://returns") as requester,
    ):
        serving = w.spawn(replier.serve(returns))
        assert await requester.request(b"replied") == [b"yes"]
        assert w.reports == []
        with pytest.raises(RequestTimeout):
            await requester.request(b"?", timeout=0.1)
        await w.until(lambda: w.reports)
        [report] = w.reports
        assert "returned bytes, which is sent nowhere" in str(report)
        w.reports.clear()
        replier.close()
        await serving
    async with (
        w.Replier(bind="inproc://returns2") as replier,
        w.Requester(connect="inproc://returns2") as requester,
    ):
        serving = w.spawn(replier.serve(returns_at_once))
        with pytest.raises(RequestTimeout):
            await requester.request(b"?", timeout=0.1)
        await w.until(lambda: w.reports)
        [report] = w.reports
        assert "returned bytes, which is sent nowhere" in str(report)
        replier.close()
        await serving
    w.reports.clear()


async def test_a_handler_that_cannot_be_called_or_awaited_is_told(w: World) -> None:
    async with (
        w.Replier(bind="inproc://handlers") as replier,
        w.Requester(connect="inproc://handlers") as requester,
    ):
        with pytest.raises(TypeError, match="handler=3 cannot be called"):
            await replier.serve(3)
        with pytest.raises(ValueError, match="limit=0"):
            await replier.serve(print, limit=0)
        if w.backend is zmqbridge.asyncio_backend:
            serving = w.spawn(replier.serve(lambda request: None))
            with pytest.raises(RequestTimeout):
                await requester.request(b"?", timeout=0.1)
            [report] = w.reports
            assert "write it as `async def`" in str(report)
            replier.close()
            await serving
    w.reports.clear()


async def test_a_timeout_without_a_monitor_says_how_to_learn_more(w: World) -> None:
    async with w.Requester(connect="tcp://127.0.0.1:1") as requester:  # where nobody is
        with pytest.raises(RequestTimeout) as raised:
            await requester.request(b"?", timeout=0.02)
    assert "the server wants security=: `zmqbridge ping" in raised.value.__notes__[0]


@pytest.mark.waits
async def test_a_subscriber_with_a_wrong_key_is_told_so_by_ready(w: World) -> None:
    server, wrong = zmq.curve_keypair(), zmq.curve_keypair()
    security = CurveServer(server[1], any_key=True)
    mine = CurveClient(wrong[0], *zmq.curve_keypair())
    async with (
        w.Publisher(bind="tcp://127.0.0.1:*", barrier=True, security=security) as publisher,
        w.Subscriber("", connect=publisher.addresses, security=mine) as subscriber,
    ):
        await w.until(lambda: subscriber._link.monitor.connections.failure)
        with pytest.raises(NotAnswered) as raised:
            await subscriber.ready(0.05)
        assert "the last connection that failed: HANDSHAKE_FAILED" in raised.value.__notes__[0]
    w.reports.clear()


@pytest.mark.parametrize(
    ("way", "address", "hint"),
    [
        ("bind", "tcp://127.0.0.1:99999", "a port is a number up to 65535"),
        ("connect", "tcp://localhost:70000", "a port is a number up to 65535"),
        ("connect", b"tcp://[::1]:123456789", "a port is a number up to 65535"),
        ("bind", "tcp://127.0.0.1:5555x", "a port is a number"),
        ("bind", "tcp://127.0.0.1: 5555", "a port is a number"),
        ("bind", "tcp://127.0.0.1:+5555", "a port is a number"),
        ("connect", "tcp://localhost:http", "a port is a number"),
        ("connect", "tcp://localhost:0", "and 0 is for bind"),
        pytest.param(
            "bind",
            "ipc:///no/such/folder/it",
            "its folder does not exist",
            marks=pytest.mark.real("the file system"),
        ),
        ("bind", "tcp://127.0.0.1", "its port is missing"),
        ("connect", "tcp://localhost", "its port is missing"),
        ("connect", "tcp://127.0.0.1:*", r"\* is for bind"),
        ("bind", "foo", "write it as transport://address"),
        ("bind", " tcp://127.0.0.1:5555", "leave out the blanks"),
    ],
)
async def test_an_address_that_is_none_is_told_why(
    w: World, way: str, address: str | bytes, hint: str
) -> None:
    where: Any = {way: address}
    with pytest.raises(AddressError, match=hint):
        w.Puller(**where)
    with pytest.raises(AddressError, match=hint):
        w.Proxy("pipeline", "tcp://127.0.0.1:*", Side(**where))


async def test_a_port_of_five_figures_is_one(w: World) -> None:
    async with w.Pusher(connect=["tcp://127.0.0.1:65535", "ipc://it:99999"]) as pusher:
        assert len(pusher.addresses) == 2


async def test_with_closes_what_nobody_else_would(w: World) -> None:
    for it in (w.Puller(bind="inproc://with"), w.Proxy("pubsub", *2 * ["tcp://127.0.0.1:*"])):
        with pytest.raises(TypeError, match="write `async with`"), it:
            pass
        assert it.closed


async def test_tags_that_are_none_are_not_shown_an_address(w: World) -> None:
    with pytest.raises(TypeError, match=r"as int: give one str or bytes, or several$"):
        w.Subscriber(3)


async def test_a_warning_is_at_the_line_that_made_the_socket(w: World) -> None:
    async with w.Puller() as puller:
        with pytest.warns(RuntimeWarning, match="bind or connect it first") as warned:
            waits = await begun(w, puller.receive())  # a task, which the loop calls
        assert {each.filename for each in warned} == {__file__}
        waits.cancel()
        with pytest.raises(w.Cancelled):
            await waits


async def test_calls_with_the_wrong_things(w: World) -> None:
    with pytest.raises(TypeError, match=r"as 'tcp://127.0.0.1:5555'"):
        w.Pusher(bind=5555)
    with pytest.raises(AddressError, match=r"\* is for bind"):
        w.Pusher(connect="tcp://*:5555")
    endpoint: Any = ZmqEndpoint("bind", "tcp://127.0.0.1:*")
    with pytest.raises(TypeError, match=r"bind is given as ZmqEndpoint: .*bind=endpoint\.address"):
        w.Pusher(bind=endpoint)
    async with w.Pusher(bind="tcp://127.0.0.1:0") as pusher:
        assert not pusher.addresses[0].endswith(":0")
    async with w.Pusher(bind="inproc://wrong") as pusher:
        with pytest.raises(TypeError, match=r"as by \*parts"):
            pusher.push_nowait([b"a", b"b"])
        with pytest.raises(TypeError, match="write `async with`"), pusher:
            pass


SOCKETS = [
    "Dealer", "Pair", "Publisher", "Puller", "Pusher", "Replier", "Requester", "Router",
    "Subscriber", "XPublisher", "XSubscriber",
]  # fmt: skip


def half_made(w: World, name: str, *given: Any, **arguments: Any) -> Any:
    """The object whose constructor raises."""
    with pytest.raises((TypeError, ValueError, AddressError)) as raised:
        getattr(w, name)(*given, **arguments)
    found = (each.frame.f_locals.get("self") for each in raised.traceback)
    return next(each for each in found if isinstance(each, getattr(w.backend, name)))


@pytest.mark.parametrize("wrong", [{"bind": "nonsense"}, {"options": 1}, {"monitors": 1}])
@pytest.mark.parametrize("kind", SOCKETS)
async def test_what_could_not_be_made_says_so_and_is_closed(
    w: World, kind: str, wrong: dict[str, Any]
) -> None:
    socket = half_made(w, kind, **wrong)
    assert (repr(socket), socket.closed) == (f"<{kind} not made>", True)
    socket.close()
    with pytest.raises(SocketClosed, match="its constructor has raised"):
        socket.bind("inproc://half")


@pytest.mark.parametrize(
    ("kind", "given"), [("Authenticator", [{1: 2}]), ("Proxy", ["no kind", "", ""])]
)
async def test_so_does_an_authenticator_and_a_proxy(w: World, kind: str, given: list[Any]) -> None:
    half = half_made(w, kind, *given)
    assert (repr(half), half.closed) == (f"<{kind} not made>", True)
    half.close()


@pytest.mark.parametrize("kind", SOCKETS)
async def test_an_address_without_its_name_is_told_it(w: World, kind: str) -> None:
    given: list[Any] = ["a tag"] if "Subscriber" in kind else [5.0] if kind == "Requester" else []
    for address in "tcp://127.0.0.1:5555", b"tcp://127.0.0.1:5555":
        with pytest.raises(TypeError) as raised:
            getattr(w, kind)(*given, address)
        assert f"write connect={address!r} or bind={address!r}" in str(raised.value)
    with pytest.raises(TypeError, match=r"without its name: it takes .*bind, connect"):
        getattr(w, kind)(*given, object())


async def test_a_timeout_that_is_an_address_is_told_its_name(w: World) -> None:
    with pytest.raises(TypeError, match="an address by connect= or bind="):
        w.Requester("tcp://127.0.0.1:5555")


async def test_a_subclass_may_take_its_address_as_it_likes(w: World) -> None:
    class Own(w.backend.Pusher):  # type: ignore[name-defined,misc]  # of the world
        def __init__(self, address: str, *others: Any) -> None:
            super().__init__(connect=[address, *others], **reactor)

    reactor = {} if w.backend is zmqbridge.asyncio_backend else {"reactor": w.reactor}

    async with Own("inproc://own", "inproc://others", "inproc://more") as pusher:
        assert len(pusher.addresses) == 3


def test_names_of_the_backends_say_where_they_are() -> None:
    for backend in zmqbridge.asyncio_backend, zmqbridge.twisted_backend:
        for name in backend.__all__:
            if name != "SocketService":
                with pytest.raises(ImportError, match=rf"^{name} is .*zmqbridge\.asyncio_backend"):
                    getattr(zmqbridge, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        zmqbridge.nothing  # noqa: B018


@pytest.mark.parametrize("w", TWISTED[:1], indirect=True)
async def test_an_asyncio_class_under_a_reactor_names_the_other(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "twisted.internet.reactor", w.reactor)
    puller = AsyncioPuller()
    try:
        with pytest.raises(zmqbridge.LoopError, match=r"zmqbridge\.twisted_backend has the same"):
            puller.receive().send(None)
    finally:
        puller.close()


def test_so_it_does_before_the_reactor_runs_as_in_the_function_of_react() -> None:
    program = (
        "from twisted.internet.task import react\n"
        "from zmqbridge.asyncio_backend import Requester\n"
        "async def main(reactor):\n"
        "    async with Requester(connect='tcp://127.0.0.1:5555'): pass\n"
        "react(main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50
    )
    assert "in a program of Twisted take the class of this name from" in done.stderr


def test_what_help_refers_to_is_there_without_an_import_of_its_own() -> None:
    program = (
        "import zmqbridge, sys\n"
        "assert 'zmqbridge.arguments' not in sys.modules\n"
        "assert zmqbridge.arguments.SubscriberArguments.__doc__\n"
        "zmqbridge.security.Policy, zmqbridge.proxies.Side"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_a_class_of_twisted_in_an_asyncio_program_names_the_other() -> None:
    program = """
        import asyncio
        from zmqbridge.twisted_backend import Puller
        async def main():
            puller = Puller(bind="inproc://other")
            puller.receive().addErrback(lambda failure: None)
            puller.close()
        asyncio.run(main())
    """
    program = "\n".join(line[8:] for line in program.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50
    )
    assert "from zmqbridge.asyncio_backend" in done.stderr


@pytest.mark.parametrize("kind", ["Requester", "Pusher", "Publisher", "Replier", "Subscriber"])
def test_so_does_each_class_when_it_is_made(kind: str) -> None:
    # Its first call would be too late: asyncio raises, as it cannot await a Deferred.
    program = f"""
import asyncio, warnings
from zmqbridge.twisted_backend import {kind}
async def main():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = {kind}(connect="inproc://other")
        made.close()
    (warning,) = caught
    assert "from zmqbridge.asyncio_backend" in str(warning.message), warning
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_nor_does_it_warn_where_the_loop_that_runs_is_the_one_of_the_reactor() -> None:
    program = """
import asyncio, warnings
from twisted.internet import asyncioreactor
warnings.simplefilter("error")
loop = asyncio.new_event_loop()
asyncioreactor.install(loop)
from zmqbridge.twisted_backend import Puller, Pusher
async def main():
    puller, pusher = Puller(bind="inproc://same"), Pusher(connect="inproc://same")
    got = puller.receive().asFuture(loop)
    pusher.push(b"x")
    assert await asyncio.wait_for(got, 30) == [b"x"]
    puller.close()
    pusher.close()
loop.run_until_complete(main())
loop.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("identity", "ROUTING_ID"), ("linger", "LINGER"), ("hwm", "SNDHWM"), ("port", "bind= or")],
)
async def test_a_name_that_others_have_is_told_ours(w: World, wrong: str, hint: str) -> None:
    with pytest.raises(TypeError, match=f"no argument '{wrong}': give .*{hint}"):
        w.Pusher(**{wrong: 1})


@pytest.mark.parametrize("w", ["asyncio", "trio"], indirect=True)
@pytest.mark.parametrize(("wrong", "hint"), [("handler", "serve.handler."), ("reactor", "loop")])
async def test_an_argument_of_the_classes_for_twisted_is_told_so(
    w: World, wrong: str, hint: str
) -> None:
    with pytest.raises(TypeError, match=f"'{wrong}': it is one of the classes for Twist.*{hint}"):
        w.Replier(**{wrong: print})


async def test_an_address_that_it_is_not_at_is_told_so(w: World) -> None:
    async with w.Puller() as puller:
        with pytest.raises(AddressError, match=r"this socket is not bound or connected to it$"):
            puller.unbind("tcp://127.0.0.1:5555")


@pytest.mark.parametrize("w", TWISTED[:1], indirect=True)
async def test_a_reader_that_is_left_behind_names_its_socket_and_its_line(w: World) -> None:
    async with w.Puller(bind="inproc://dirty") as puller:
        [reader] = [each for each in w.reactor.getReaders() if "Puller" in repr(each)]
        assert repr(reader).startswith(f"<ReactorDriver of {puller!r}, made in {__file__}:")


def test_passwords_that_are_no_dict() -> None:
    with pytest.raises(TypeError, match="passwords is given as list: give a dict"):
        Policy(passwords=["a"])  # type: ignore[arg-type]
