"""Fixed: programs, each for one rule of libzmq, whose results must be alike in both worlds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import zmq

from zmqbridge.testing.differential._stage import STARTING, Stage

Play = Callable[[Stage], object]


class Fixed(NamedTuple):
    """A program that was written by hand.

    Attributes:
        name: the rule that it shows.
        play: plays it on a stage, and returns what is compared.
    """

    name: str
    play: Play


def subscriptions_beyond_the_mark(stage: Stage) -> object:
    """Of 5,000 subscriptions a SUB's high water mark lets 1,000 through (zeromq/libzmq#4064)."""
    publisher, subscriber = stage.socket(zmq.XPUB), stage.socket(zmq.SUB)
    for number in range(5000):
        subscriber.set(zmq.SUBSCRIBE, b"%d" % number)
    stage.tie(publisher, subscriber)
    heard = len(stage.received(publisher))
    unlimited = stage.socket(zmq.SUB)
    unlimited.set(zmq.SNDHWM, 0)
    for number in range(5000, 10_000):
        unlimited.set(zmq.SUBSCRIBE, b"%d" % number)
    stage.connect(unlimited)
    return heard, len(stage.received(publisher))


def reports(verbosity: int) -> Play:
    """What an XPUB reports of two subscribers to one topic."""

    def play(stage: Stage) -> object:
        publisher = stage.socket(zmq.XPUB)
        if verbosity:
            publisher.set(verbosity, 1)
        subscribers = [stage.socket(zmq.SUB) for _ in range(2)]
        stage.tie(publisher, *subscribers)
        told = []
        for subscriber in subscribers:
            subscriber.set(zmq.SUBSCRIBE, b"t")
            stage.settle()
            told.append(stage.received(publisher))
        subscribers[0].set(zmq.UNSUBSCRIBE, b"t")
        stage.settle()
        told.append(stage.received(publisher))
        subscribers[1].close()
        stage.settle()
        told.append([*stage.received(publisher), *stage.received(publisher)])
        return told

    return play


def whole_messages(stage: Stage) -> object:
    """A message is sent with all its parts or not at all; a mark counts messages, not parts."""
    pusher, puller = stage.socket(zmq.PUSH), stage.socket(zmq.PULL)
    pusher.set(zmq.SNDHWM, 2)
    puller.set(zmq.RCVHWM, 1)
    stage.tie(puller, pusher)
    pusher.send_multipart([b"a", b"", b"b"], zmq.DONTWAIT)
    pusher.send(b"half", zmq.DONTWAIT | zmq.SNDMORE)
    stage.settle()
    first = stage.received(puller)
    pusher.close()
    stage.settle()
    return first, stage.received(puller)


def closing_at_the_mark(stage: Stage) -> object:
    """A sender closes while its receiver is at the mark (zeromq/libzmq#4660)."""
    pusher, puller = stage.socket(zmq.PUSH), stage.socket(zmq.PULL)
    puller.set(zmq.RCVHWM, 1)
    stage.tie(puller, pusher)
    for number in range(50):
        pusher.send(b"%02d" % number + bytes(1000), zmq.DONTWAIT)
    stage.settle()
    pusher.close(5000)
    stage.settle()
    came: list[Any] = []
    came += stage.received(puller)
    return "all" if len(came) == 50 else "some are lost" if 0 < len(came) < 50 else len(came)


def closing_before_all_is_read(stage: Stage) -> object:
    """What an ipc receiver at its mark has read ahead is not lost; what came later is."""
    pusher, puller = stage.socket(zmq.PUSH), stage.socket(zmq.PULL)
    puller.set(zmq.RCVHWM, 2)
    stage.tie(puller, pusher)
    for number in range(5):
        stage.sent(pusher, b"%d" % number)
        stage.settle()
    pusher.close(5000)
    stage.settle()
    return stage.received(puller)


def subscribing_before_the_news(stage: Stage) -> object:
    """A topic for a connection that was lost and is back: it is sent after the news of that."""
    publisher, subscriber = stage.socket(zmq.XPUB), stage.socket(zmq.SUB)
    stage.tie(publisher, subscriber)
    subscriber.set(zmq.SUBSCRIBE, b"before")
    stage.settle()
    told = [stage.received(publisher)]
    publisher.unbind(stage.address)
    stage.settle()
    stage.bind(publisher)
    stage.settle()
    subscriber.set(zmq.SUBSCRIBE, b"meanwhile")
    stage.settle()
    told.append(stage.received(publisher))
    subscriber.get(zmq.EVENTS)
    stage.settle()
    told.append(sorted(stage.received(publisher)))
    return told


def sending_to_who_has_closed(stage: Stage) -> object:
    """A socket at its mark learns of a close when it sends, and then nothing more goes out."""
    server, client = stage.socket(zmq.PAIR), stage.socket(zmq.PAIR)
    client.set(zmq.RCVHWM, 2)
    client.set(zmq.SNDHWM, 4)
    stage.tie(server, client)
    for number in range(3):
        stage.sent(server, b"%d" % number)
    stage.settle()
    server.close(5000)
    stage.settle()
    said = []
    for number in range(7):
        said.append(stage.sent(client, b"%d" % number))
        stage.settle()
    came = stage.received(client)
    other = stage.socket(zmq.PAIR)
    stage.bind(other)
    left: list[Any] = []
    for _ in range(10):
        left = left or stage.received(other)
    return said, came, left


def disconnected_before_the_loss(stage: Stage) -> object:
    """With IMMEDIATE, a session that was left connects again until its socket looks."""
    puller, pusher = stage.socket(zmq.PULL), stage.socket(zmq.PUSH)
    pusher.set(zmq.IMMEDIATE, 1)
    stage.tie(puller, pusher)
    puller.unbind(stage.address)
    stage.settle()
    pusher.disconnect(stage.address)
    stage.settle()
    puller.get(zmq.EVENTS)  # now the connection ends
    stage.settle()
    stage.bind(puller)
    stage.settle()
    came = stage.until(lambda: stage.sent(pusher, b"x") == "ok"), stage.received(puller)
    puller.unbind(stage.address)
    stage.received(puller)
    return came, stage.sent(pusher, b"y")


def unreachable(stage: Stage) -> object:
    """A send of a ROUTER with MANDATORY to a connected, an unknown, and a closed peer."""
    router, dealer = stage.socket(zmq.ROUTER), stage.socket(zmq.DEALER)
    router.set(zmq.ROUTER_MANDATORY, 1)
    dealer.set(zmq.ROUTING_ID, b"peer")
    stage.tie(router, dealer)
    said = [stage.sent(router, b"peer", b"x"), stage.sent(router, b"unknown", b"x")]
    dealer.close()
    stage.settle()
    return [*said, stage.sent(router, b"peer", b"x")]


def names_of_who_comes_back(first: bytes, second: bytes) -> Play:
    """A ROUTER that connects keeps its name for a peer, also when another one takes its place."""

    def play(stage: Stage) -> object:
        router = stage.socket(zmq.ROUTER)
        stage.connect(router)
        names = []
        for routing_id in (first, second):
            dealer = stage.socket(zmq.DEALER)
            if routing_id:
                dealer.set(zmq.ROUTING_ID, routing_id)
            stage.bind(dealer)
            stage.until(lambda dealer=dealer: stage.sent(dealer, b"x") == "ok")  # type: ignore[misc]
            ((name, _),) = stage.received(router)
            names.append(name)
            stage.sent(router, name, b"back")
            assert stage.received(dealer) == [[b"back"]]
            dealer.close()
            stage.settle()
        return names if first else (names[0] == names[1], len(names[0]))

    return play


def of_a_process(end: str, heartbeats: bool) -> Play:
    """A send of a ROUTER with MANDATORY to a peer whose process was killed or stopped."""

    def play(stage: Stage) -> object:
        router = stage.socket(zmq.ROUTER)
        router.set(zmq.ROUTER_MANDATORY, 1)
        if heartbeats:
            router.set(zmq.HEARTBEAT_IVL, 100)
            router.set(zmq.HEARTBEAT_TIMEOUT, 300)
        stage.bind(router)
        process = stage.process()
        there = stage.until(lambda: stage.sent(router, b"peer", b"x") == "ok", STARTING)
        getattr(process, end)()
        gone = stage.until(lambda: stage.sent(router, b"peer", b"x") == "EHOSTUNREACH")
        process.kill()
        return there, gone

    return play


def monitored(course: Callable[[Stage, Any, Any], object], ordered: bool = True) -> Play:
    """The monitor events of both sides, each event once.

    Args:
        course: plays a server and a client.
        ordered: whether the order of the events is compared.
    """

    def play(stage: Stage) -> object:
        server, client = stage.socket(zmq.PULL), stage.socket(zmq.PUSH)
        events = stage.monitor(server), stage.monitor(client)
        came = course(stage, server, client)
        stage.settle()
        stage.settle()
        seen = [_first(stage.events(each)) for each in events]
        return came, seen if ordered else [sorted(each) for each in seen]

    return play


def connected(stage: Stage, server: Any, client: Any) -> object:
    """A client connects, and the server closes."""
    stage.tie(server, client)
    server.close()
    return None


def refused(stage: Stage, server: Any, client: Any) -> object:
    """A client connects to an address where no socket listens."""
    stage.connect(client)
    return None


def of_other_kinds(stage: Stage, server: Any, client: Any) -> object:
    """A client connects whose socket type does not fit the server's."""
    stranger = stage.socket(zmq.SUB)
    events = stage.monitor(stranger)
    stage.tie(server, stranger)
    stage.settle()
    return _first(stage.events(events))


def _first(events: Iterable[str]) -> list[str]:
    # Both sides hang up at the same time. The slower one sees only the end of the connection, and a
    # client then tries again: so these events may come or not.
    free = ("HANDSHAKE_FAILED_NO_DETAIL", "CONNECT_RETRIED")
    seen = list(dict.fromkeys(events))
    return [each for each in seen if each not in free]


def plain(status: bytes | None) -> Callable[[Stage, Any, Any], object]:
    """PLAIN, with a ZAP handler that answers with this status; None for no handler."""

    def course(stage: Stage, server: Any, client: Any) -> object:
        server.set(zmq.PLAIN_SERVER, 1)
        client.set(zmq.PLAIN_USERNAME, b"user")
        client.set(zmq.PLAIN_PASSWORD, b"pass")
        return stage.authenticated(server, client, status)

    return course


def curve(right: bool, status: bytes | None) -> Callable[[Stage, Any, Any], object]:
    """CURVE, with the right server key or a wrong one, and a ZAP handler as for `plain`."""

    def course(stage: Stage, server: Any, client: Any) -> object:
        keys = [zmq.curve_keypair() for _ in range(3)]
        server.set(zmq.CURVE_SERVER, 1)
        server.set(zmq.CURVE_SECRETKEY, keys[0][1])
        client.set(zmq.CURVE_PUBLICKEY, keys[1][0])
        client.set(zmq.CURVE_SECRETKEY, keys[1][1])
        client.set(zmq.CURVE_SERVERKEY, keys[0][0] if right else keys[2][0])
        return stage.authenticated(server, client, status)

    return course


def null(status: bytes) -> Callable[[Stage, Any, Any], object]:
    """NULL with a ZAP domain, which has libzmq ask the handler."""

    def course(stage: Stage, server: Any, client: Any) -> object:
        server.set(zmq.ZAP_DOMAIN, b"global")
        return stage.authenticated(server, client, status)

    return course


def _other_mechanism(stage: Stage, server: Any, client: Any) -> object:
    server.set(zmq.PLAIN_SERVER, 1)
    stage.tie(server, client)
    return None


def fixed() -> Iterable[Fixed]:
    """All fixed programs."""
    yield Fixed("5,000 subscriptions", subscriptions_beyond_the_mark)
    for verbosity in (0, zmq.XPUB_VERBOSE, zmq.XPUB_VERBOSER):
        yield Fixed(f"XPUB reports, {verbosity or 'by default'!s}", reports(verbosity))
    yield Fixed("whole messages, marks of 1", whole_messages)
    yield Fixed("closing at the mark", closing_at_the_mark)
    yield Fixed("closing before all is read", closing_before_all_is_read)
    yield Fixed("subscribing before the news", subscribing_before_the_news)
    yield Fixed("sending to who has closed", sending_to_who_has_closed)
    yield Fixed("disconnected before the loss", disconnected_before_the_loss)
    yield Fixed("unreachable after close", unreachable)
    for first, second in ((b"", b""), (b"A", b"B"), (b"", b"B"), (b"A", b"")):
        name = f"ROUTER connects to {first!r}, then {second!r}"
        yield Fixed(name, names_of_who_comes_back(first, second))
    for end, heartbeats in (("kill", False), ("stop", False), ("stop", True)):
        name = f"unreachable after {end}{', with heartbeats' if heartbeats else ''}"
        yield Fixed(name, of_a_process(end, heartbeats))
    for course in (connected, refused, of_other_kinds, _other_mechanism):
        ordered = course is not _other_mechanism  # there both sides hang up, in any order
        yield Fixed(f"monitor: {course.__name__.strip('_')}", monitored(course, ordered))
    for status in (b"200", b"400", b"300", b"500", None):
        yield Fixed(f"PLAIN, handler says {status!r}", monitored(plain(status)))
    for right, verdict in ((True, b"200"), (True, b"400"), (True, None), (False, b"200")):
        name = f"CURVE, {'right' if right else 'wrong'} key, handler says {verdict!r}"
        yield Fixed(name, monitored(curve(right, verdict)))
    for said in (b"200", b"400"):
        yield Fixed(f"NULL with a domain, handler says {said!r}", monitored(null(said)))
