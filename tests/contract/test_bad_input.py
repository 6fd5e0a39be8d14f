"""What bad input gets: an error that names the value; and no peer can end a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import zmq

from zmqbridge import (
    AddressError,
    AuthenticationMissing,
    ContextTerminated,
    MalformedMessage,
    OptionError,
    RequestTimeout,
)

if TYPE_CHECKING:
    from tests.conftest import Request, World

pytestmark = pytest.mark.every_world


@pytest.mark.real("the interfaces of the host")
async def test_addresses_are_resolved_and_errors_name_them(w: World) -> None:
    async with w.Puller() as puller:
        address = puller.bind("tcp://127.0.0.1:*")
        assert int(address.rpartition(":")[2]) > 0
        assert puller.addresses == (address,)
        for bad, hint in {
            "nonsense": "transport://",
            address: "another socket has it",
            "tcp://203.0.113.7:5555": "no interface",
            "smoke://signal": "libzmq knows",
            "ipc:///" + "x" * 200: "limited",
        }.items():
            with pytest.raises(AddressError, match=hint) as refused:
                w.Puller(bind=bad)
            assert refused.value.address == bad
            assert repr(bad) in str(refused.value)
        with pytest.raises(TypeError, match="an address"):
            puller.connect(5555)
        for wrong in ({"bind": 5555}, {"connect": None}, {"context": "x"}, {"options": [1]}):
            with pytest.raises(TypeError, match=f"{next(iter(wrong))} is given as"):
                w.Puller(**wrong)
        with pytest.raises(TypeError, match="tags is given as int"):
            w.Subscriber(5)
        for address_by_position in "tcp://127.0.0.1:5555", [b"x", b"ipc:///x\xff"]:
            with pytest.raises(ValueError, match="is an address: give it as connect= or bind="):
                w.Subscriber(address_by_position)
        async with w.Subscriber("tcp://tag", connect="inproc://elsewhere"):
            pass
        with pytest.raises(AddressError, match="UTF-8"):
            puller.connect(b"ipc://\xff")
        puller.unbind(address)
        assert puller.addresses == ()
        with pytest.raises(AddressError):
            puller.unbind(address)
        puller.connect(address)
        puller.disconnect(address)
        with pytest.raises(AddressError, match="not bound or connected"):
            puller.disconnect(address)


async def test_options_are_set_and_errors_name_them(w: World) -> None:
    async with w.Puller(options={zmq.RCVHWM: 7}) as puller:
        assert puller.socket.get(zmq.RCVHWM) == 7
        assert puller.socket.get(zmq.LINGER) == 100
    for bad, named in {
        (zmq.SNDHWM, "many"): "zmq.SNDHWM does not take 'many': it takes an int",
        (zmq.SNDHWM, 2**40): "zmq.SNDHWM",
        (zmq.HWM, 5): "zmq.HWM .*zmq.SNDHWM and zmq.RCVHWM",
        (zmq.ROUTING_ID, "me"): r"zmq.ROUTING_ID .*bytes: use \.encode\(\)",
        (zmq.PLAIN_USERNAME, "me"): r"zmq.PLAIN_USERNAME .*bytes: use \.encode\(\)",
        (zmq.ROUTING_ID, 5): "zmq.ROUTING_ID does not take 5: it takes bytes",
        (zmq.RCVTIMEO, 100): "zmq.RCVTIMEO=100 .*asyncio.timeout",
        (zmq.RCVTIMEO, 0): "zmq.RCVTIMEO=0",
        (zmq.SNDTIMEO, 100): "zmq.SNDTIMEO=100 .*timeout",
        (zmq.IO_THREADS, 2): "zmq.IO_THREADS is no socket option, but an option of a context",
        (zmq.MAX_SOCKETS, 2): "zmq.MAX_SOCKETS is no socket option",
        (zmq.MORE, 1): "zmq.MORE is no socket option, but an option of a message",
        (zmq.POLLOUT, 1): "is no socket option, but one of zmq.",
        (zmq.FD, 1): "zmq.FD can only be read",
        (zmq.EVENTS, 1): "zmq.EVENTS can only be read",
        (zmq.TYPE, 1): "zmq.TYPE can only be read",
        (zmq.LAST_ENDPOINT, b"x"): "zmq.LAST_ENDPOINT can only be read",
        (zmq.RCVHWM, -1): "zmq.RCVHWM",
        (zmq.LINGER, -1): "zmq.LINGER",
        (99_999, 1): "99999",
        ("SNDHWM", 1): "SNDHWM",
    }.items():
        with pytest.raises(OptionError, match=named) as refused:
            w.Puller(options=dict([bad]))
        assert "setsockopt_string" not in str(refused.value)
    with pytest.raises(OptionError, match="True is no socket option"):
        w.Puller(options={True: 5})
    # What they are anyway: no call ends by itself.
    async with w.Puller(options={zmq.RCVTIMEO: -1, zmq.SNDTIMEO: -1}):
        pass


async def test_addresses_of_ipv6_need_the_option_and_say_so(w: World) -> None:
    for address in ("tcp://[::1]:*", "tcp://::1:5999", "tcp://[fe80::1%lo]:5999"):
        with pytest.raises(AddressError, match=r"options=\{zmq.IPV6: 1\}"):
            w.Puller(bind=address)
    # To libzmq this is fine, and it never gets there.
    for address in ("tcp://[::1]:5999", "tcp://::1:5999", "tcp://127.0.0.1:0;[::1]:5999"):
        with pytest.raises(AddressError, match=r"options=\{zmq.IPV6: 1\}"):
            w.Puller(connect=address)
    async with w.Puller(options={zmq.IPV6: 1}) as puller:
        puller.connect("tcp://[::1]:5999")
    async with w.Puller() as puller:
        puller.connect("tcp://127.0.0.1:0;127.0.0.1:5999")


async def test_messages_must_be_bytes_and_not_empty(w: World) -> None:
    async with (
        w.Pusher(bind="inproc://bytes") as pusher,
        w.Dealer(bind="inproc://bytes2") as dealer,
        w.Router(bind="inproc://bytes3") as router,
        w.Requester(bind="inproc://bytes4") as requester,
        w.Publisher(bind="inproc://bytes5") as publisher,
    ):
        for send in (pusher.push, dealer.send, requester.request):
            with pytest.raises(TypeError, match=r"'text'.*\.encode\(\)"):
                await send(b"fine", "text")
            with pytest.raises(TypeError, match="int"):
                await send(5)
            with pytest.raises(ValueError, match="at least one part"):
                await send()
        with pytest.raises(ValueError, match="at least one part"):
            await router.send(b"peer")
        with pytest.raises(TypeError, match="a peer"):
            await router.send("peer", b"x")
        with pytest.raises(TypeError, match=r"\.encode\(\)"):
            publisher.publish("text")
        with pytest.raises(ValueError, match="NUL"):
            publisher.publish(b"", b"a\0b")
        assert requester.statistics().open_requests == 0


async def test_timeouts_must_be_positive_numbers(w: World) -> None:
    with pytest.raises(ValueError, match="timeout=0"):
        w.Requester(timeout=0)
    async with w.Requester() as requester:
        for bad in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="timeout="):
                await requester.request(b"", timeout=bad)
        with pytest.raises(TypeError, match="timeout='1'"):
            await requester.request(b"", timeout="1")
    async with w.Replier() as replier:
        with pytest.raises(ValueError, match="limit=0"):
            await replier.serve(lambda request: None, limit=0)


async def test_malformed_messages_are_counted_reported_once_a_burst_and_passed_over(
    w: World,
) -> None:
    async with (
        w.Replier(bind="inproc://malformed") as replier,
        w.Dealer(connect="inproc://malformed") as dealer,
    ):
        for _ in range(10):
            dealer.send_nowait(b"no", b"delimiter")
        dealer.send_nowait(b"id", b"", b"fine")
        request = await replier.receive()
        assert (request.id, request.parts) == (b"id", [b"fine"])
        assert replier.statistics().malformed == 10
        # Mostly it is one burst; on a busy machine the clock parts it into some.
        assert {type(report) for report in w.reports} == {MalformedMessage}
        assert len(w.reports) < 10
    async with (
        w.Router(bind="inproc://malformed2") as router,
        w.Requester(connect="inproc://malformed2") as requester,
    ):
        asking = w.spawn(requester.request(b"x"))
        peer, (request_id, *_) = await router.receive()
        await router.send(peer, request_id)
        await router.send(peer, b"")
        await router.send(peer, request_id, b"", b"y")
        assert await asking == [b"y"]
        assert requester.statistics().malformed == 2


async def test_a_handler_that_raises_is_reported_and_the_next_request_served(w: World) -> None:
    async with (
        w.Replier(bind="inproc://raises") as replier,
        w.Requester(connect="inproc://raises") as requester,
    ):

        async def handler(request: Request) -> None:
            if request.parts == [b"bad"]:
                raise LookupError("on purpose")
            await request.reply(b"good")

        serving = w.spawn(replier.serve(handler, limit=1))
        with pytest.raises(RequestTimeout):
            await requester.request(b"bad", timeout=0.1)
        assert await requester.request(b"next") == [b"good"]
        assert [str(report) for report in w.reports] == ["on purpose"]
        replier.close()
        await serving


async def test_no_more_handlers_run_at_once_than_the_limit(w: World) -> None:
    async with (
        w.Replier(bind="inproc://limit") as replier,
        w.Requester(connect="inproc://limit") as requester,
    ):
        running = most = 0

        async def handler(request: Request) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await w.sleep(0.005)
            running -= 1
            await request.reply(b"")

        serving = w.spawn(replier.serve(handler, limit=7))
        await w.gather(*(requester.request(b"") for _ in range(40)))
        assert most == 7
        replier.close()
        await serving


@pytest.mark.real("threads")
async def test_a_terminated_context_fails_whoever_waits(w: World) -> None:
    import threading

    context = zmq.Context()
    async with w.Puller(bind="inproc://gone", context=context) as puller:
        receiving = w.spawn(puller.receive())
        await w.settled()
        ending = threading.Thread(target=context.term)
        ending.start()
        with pytest.raises(ContextTerminated):
            await receiving
        await w.until(lambda: not ending.is_alive())
        assert puller.closed


async def test_a_curve_server_without_authenticator_is_not_opened(w: World) -> None:
    _, secret = zmq.curve_keypair()
    server = {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: secret}
    context = w.context()
    with pytest.raises(AuthenticationMissing):
        w.Puller(bind="tcp://127.0.0.1:*", context=context, options=server)
    handler = context.socket(zmq.REP)
    handler.bind("inproc://zeromq.zap.01")
    async with w.Puller(bind="tcp://127.0.0.1:*", context=context, options=server) as puller:
        assert puller.addresses
    handler.close()
    context.term()
