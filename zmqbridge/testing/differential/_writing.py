"""Writing: makes random programs, each from its seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

import zmq

from zmqbridge.testing._types import FITS
from zmqbridge.testing.differential._programs import Program, Spec, Step, valid

TRANSPORTS = ("tcp", "ipc", "inproc")
# Kinds that are drawn together, so that most of a program's sockets can talk to each other.
FAMILIES: dict[str, tuple[str, ...]] = {
    "publish": ("PUB", "XPUB", "SUB", "XSUB", "SUB"),
    "pipeline": ("PUSH", "PULL"),
    "route": ("ROUTER", "DEALER", "ROUTER", "DEALER"),
    "request": ("REQ", "REP", "DEALER", "ROUTER"),
    "pair": ("PAIR",),
}
TOPICS = (b"", b"a", b"ab", b"b")
MARKS = (0, 1, 1, 2, 3, 4, 7)
NAMES = (b"one", b"two", b"one")
PARTS = frozenset({"close", "unbind", "disconnect"})
# Longer than any program: a socket that lingers does so until the end of its program.
LONG = 5000  # milliseconds


def _flags(random: Random, *options: int) -> list[tuple[int, int | bytes]]:
    return [(option, 1) for option in options if random.random() < 0.3]


def _own_options(random: Random, kind: str) -> list[tuple[int, int | bytes]]:
    own: dict[str, tuple[int, ...]] = {
        "XPUB": (zmq.XPUB_VERBOSE, zmq.XPUB_VERBOSER, zmq.XPUB_NODROP),
        "PUB": (zmq.XPUB_NODROP,),
        "ROUTER": (zmq.ROUTER_MANDATORY, zmq.ROUTER_HANDOVER, zmq.PROBE_ROUTER),
        "DEALER": (zmq.PROBE_ROUTER,),
        "REQ": (zmq.REQ_RELAXED, zmq.REQ_CORRELATE),
    }
    return _flags(random, *own.get(kind, ()))


def options_of(random: Random, kind: str) -> tuple[tuple[int, int | bytes], ...]:
    """Draw the options of a socket of this kind."""
    options: list[tuple[int, int | bytes]] = []
    # Whether a PUB at its RCVHWM sees in time that a peer has gone is a race; and whether a REP,
    # which skips what is no request, finds the next message in the place of the one it skipped. A
    # REQ drops with each request what has come, and maybe what comes in its place meanwhile.
    marks = (zmq.SNDHWM,) if kind in ("PUB", "REP", "REQ") else (zmq.SNDHWM, zmq.RCVHWM)
    options += [(mark, random.choice(MARKS)) for mark in marks if random.random() < 0.6]
    if random.random() < 0.2:
        options.append((zmq.IMMEDIATE, 1))
    if kind in ("PUSH", "PULL") and random.random() < 0.1:
        options.append((zmq.CONFLATE, 1))
    if kind in ("ROUTER", "DEALER", "REQ", "REP") and random.random() < 0.4:
        options.append((zmq.ROUTING_ID, random.choice(NAMES)))
    options.append((zmq.LINGER, random.choice((0, LONG))))
    own = _own_options(random, kind)
    if (zmq.PROBE_ROUTER, 1) in own and (zmq.SNDHWM, 1) in options:
        # Whether the probe, which fills the mark, has left when the socket looks is a race.
        options.remove((zmq.SNDHWM, 1))
    return (*options, *own)


class _Author:
    """Writes the steps of one program, and knows what is bound and open while it does."""

    def __init__(self, random: Random, transport: str, sockets: Sequence[Spec]) -> None:
        self.random = random
        self.transport = transport
        self.sockets = sockets
        self.settles = random.choice((1.0, 1.0, 0.7))
        self.steps: list[Step] = []
        self.open = set(range(len(sockets)))
        self.bound: dict[str, int] = {}
        self.connected: list[tuple[int, str]] = []
        self.binders: dict[str, int] = {}

    def write(self, what: str, socket: int, argument: Any = None) -> None:
        # Over tcp and ipc, steps without a pause take effect in any order. Only for sends is the
        # order compared in a way that allows this.
        free = self.transport == "inproc" or (
            what == "send" and not any(map(self._trickles, self.open))
        )
        settles = not free or what == "close" or self.random.random() < self.settles
        if what == "receive" and self._trickles(socket):
            # How many messages come while a socket reads is a race. So it reads them one by one.
            argument, settles = 1, True
        if what != "send" and self.transport != "inproc" and self.steps:
            # What has arrived of a burst when another socket looks is a race.
            self.steps[-1] = self.steps[-1]._replace(settles=True)
        self.steps.append(Step(what, socket, argument, settles))

    def _trickles(self, socket: int) -> bool:
        marks = dict(self.sockets[socket].options)
        if self.sockets[socket].kind == "XPUB":
            return True  # subscriptions that arrive between two calls are received, too
        return self.transport != "inproc" and marks.get(zmq.RCVHWM, 0) != 0

    def fitting(self, binder: int) -> list[int]:
        fits = FITS[self.sockets[binder].type]
        return [n for n, spec in enumerate(self.sockets) if n != binder and spec.type in fits]

    def begin(self) -> None:
        """Bind and connect the sockets, in any order."""
        wanted: list[tuple[str, int, str]] = []
        binders = [n for n in range(len(self.sockets)) if self.fitting(n)]
        for address in "ab"[: self.random.randint(1, 2)]:
            binder = self.random.choice(binders)
            self.binders[address] = binder
            wanted.append(("bind", binder, address))
            wanted += [("connect", n, address) for n in self.fitting(binder)
                       if self.random.random() < 0.8]  # fmt: skip
        self.random.shuffle(wanted)
        if self.random.random() < 0.7:
            wanted.sort(key=lambda each: each[0])  # most programs bind first
        for what, socket, address in wanted:
            self.tie(what, socket, address)
        for n, spec in enumerate(self.sockets):
            if spec.kind in ("SUB", "XSUB"):
                self.write("subscribe", n, self.random.choice(TOPICS))

    def end(self) -> None:
        """Receive all messages that are left."""
        for socket in sorted(self.open):
            self.write("events", socket)
            for _ in range(5 if self._trickles(socket) else 1):
                self.write("receive", socket, 100)

    def tie(self, what: str, socket: int, address: str) -> None:
        if what == "bind":
            self.bound[address] = socket
        else:
            self.connected.append((socket, address))
        self.write(what, socket, address)

    def go_on(self) -> None:
        """Write one step, drawn at random."""
        moves: list[tuple[int, Callable[[], None]]] = [
            (8, self._send), (8, self._receive), (4, self._events), (2, self._subscribe),
            (1, self._connect), (1, self._disconnect), (1, self._unbind), (1, self._rebind),
            (1, self._close), (1, self._open),
        ]  # fmt: skip
        self.random.choices([move for _, move in moves], [weight for weight, _ in moves])[0]()

    def _any(self, those: Iterable[Any]) -> Any:
        there = list(those)
        return self.random.choice(there) if there else None

    def _send(self) -> None:
        socket = self._any(self.open)
        if socket is None:
            return
        kind, random = self.sockets[socket].kind, self.random
        if kind == "SUB":
            return
        head: tuple[bytes, ...] = ()
        counts: tuple[int, ...] = (1, 1, 2, 3, 5, 9)
        if (zmq.CONFLATE, 1) in self.sockets[socket].options:
            counts = (1,)  # how many messages of a burst are lost is a race
        if kind in ("PUB", "XPUB"):
            head = (random.choice((b"a", b"abc", b"b", b"c")),)
        elif kind == "XSUB":
            head = (random.choice((b"\1a", b"\0a", b"\1", b"\0", b"up")),)
        elif kind == "ROUTER":
            name = random.choice((b"reply", b"reply", b"reply", b"one", b"two", b"unknown"))
            head = (name, b"") if random.random() < 0.5 else (name,)
        elif kind == "DEALER" and len(counts) > 1:
            head = random.choice(((), (b"",), (b"more", b"")))
        if self.transport == "ipc" and any(map(self._trickles, self.open)):
            # How much of a burst a receiver at its mark has read from the kernel when its peer
            # closes, so that it is not lost, is a race.
            counts = (1,)
        if any(step.what in PARTS for step in self.steps) and self._trickles(socket):
            # A socket at its mark does not learn that its peer has closed. How much of a burst goes
            # out until the kernel tells it is a race.
            counts = (1,)
        self.write("send", socket, (random.choice(counts), *head))

    def _receive(self) -> None:
        socket = self._any(self.open)
        if socket is not None:
            self.write("receive", socket, self.random.choice((1, 2, 100, 100)))

    def _events(self) -> None:
        socket = self._any(self.open)
        if socket is not None:
            self.write("events", socket)

    def _subscribe(self) -> None:
        socket = self._any(n for n in self.open if self.sockets[n].kind in ("SUB", "XSUB"))
        if socket is not None:
            what = self.random.choice(("subscribe", "unsubscribe"))
            self.write(what, socket, self.random.choice(TOPICS))

    def _look(self) -> None:
        # Whether an XPUB is told of the end of a peer while it looks, or later, is a race.
        for each in sorted(self.open):
            if self.sockets[each].kind == "XPUB":
                self.write("look", each)

    def _connect(self) -> None:
        address = self._any(self.binders)
        socket = self._any(n for n in self.fitting(self.binders[address]) if n in self.open)
        if socket is not None:
            self.tie("connect", socket, address)

    def _disconnect(self) -> None:
        tie = self._any(tie for tie in self.connected if tie[0] in self.open)
        if tie is not None:
            self.connected.remove(tie)
            self.write("disconnect", *tie)
            self._look()

    def _unbind(self) -> None:
        address = self._any(self.bound)
        if address is not None:
            if self.sockets[self.bound[address]].kind == "PAIR" and self.transport != "inproc":
                # It refuses a second peer when it looks. How far that gets before is a race.
                self.write("look", self.bound[address])
            self.write("unbind", self.bound.pop(address), address)
            self._look()

    def _rebind(self) -> None:
        address = self._any(a for a in self.binders if a not in self.bound)
        if address is not None and self.binders[address] in self.open:
            self.tie("bind", self.binders[address], address)

    def _close(self) -> None:
        socket = self._any(self.open)
        if socket is not None:
            self.open.remove(socket)
            self.bound = {a: n for a, n in self.bound.items() if n != socket}
            self.connected = [tie for tie in self.connected if tie[0] != socket]
            self.write("close", socket)
            self._look()

    def _open(self) -> None:
        socket = self._any(set(range(len(self.sockets))) - self.open)
        if socket is not None:
            self.open.add(socket)
            self.write("open", socket)
            for address, binder in self.binders.items():
                if binder == socket and address not in self.bound:
                    self.tie("bind", socket, address)


def generate(
    seed: int, kinds: Sequence[str] = (), transports: Sequence[str] = TRANSPORTS
) -> Program:
    """Write a random program, which is always the same for one seed.

    Args:
        seed: the seed.
        kinds: the names of the socket types to draw from; by default any of `FAMILIES`.
        transports: the transports to draw from.
    """
    random = Random(seed)
    transport = random.choice(list(transports))
    those = list(kinds) or FAMILIES[random.choice(list(FAMILIES))]
    while True:
        program = written(random, seed, those, transport)
        if program is not None:
            return program


def without_probe(spec: Spec) -> Spec:
    """The same socket without PROBE_ROUTER."""
    return spec._replace(
        options=tuple(each for each in spec.options if each[0] != zmq.PROBE_ROUTER)
    )


def written(random: Random, seed: int, kinds: Sequence[str], transport: str) -> Program | None:
    """A program by chance; None if no two of its sockets fit, or if it is not `valid`."""
    names = [random.choice(list(kinds)) for _ in range(random.randint(2, 4))]
    sockets = tuple(Spec(name, options_of(random, name)) for name in names)
    if "REQ" in names:
        # A ROUTER's probe, which is no reply, ends the connection of a REQ. When it sees that is a
        # race.
        sockets = tuple(without_probe(spec) if spec.kind == "ROUTER" else spec for spec in sockets)
    author = _Author(random, transport, sockets)
    if not any(author.fitting(n) for n in range(len(sockets))):
        return None
    author.begin()
    for _ in range(random.randint(4, 16)):
        author.go_on()
    author.end()
    program = Program(seed, transport, sockets, tuple(author.steps))
    return program if valid(program) else None
