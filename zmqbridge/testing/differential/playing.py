"""Playing: does the steps of programs in a world, and writes down what came of each."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import zmq

from zmqbridge.testing.differential.programs import RECONNECT, Program, Step
from zmqbridge.testing.differential.worlds import World

TIES = frozenset({"bind", "connect", "unbind", "disconnect", "close", "open"})


class Observed(NamedTuple):
    """What came of a step.

    Attributes:
        came: of the call: ``"ok"``, an errno's name, messages, events.
        rings: after the time has gone on, for each socket that nobody has touched since its EVENTS
            were read: whether its FD is readable.
    """

    came: Any
    rings: dict[int, bool]


class Player:
    """Plays one program in a world.

    Args:
        program: what to play.
        world: where.
        name: what no other player in this world has.
    """

    def __init__(self, program: Program, world: World, name: str) -> None:
        self.program = program
        self.world = world
        self.name = name
        self.observed: list[Observed] = []
        self.sockets: dict[int, Any] = {}
        self._last: dict[int, bytes] = {}  # who a ROUTER has heard last
        self._names: dict[bytes, str] = {}  # what libzmq has made up, in order
        self._own = {each for spec in program.sockets for _, each in spec.options}
        self._untouched: set[int] = set()
        self._fresh: set[int] = set()
        self._done = 0
        for number in range(len(program.sockets)):
            self.open(number, None)

    @property
    def over(self) -> bool:
        """Whether it has played all steps."""
        return self._done >= len(self.program.steps)

    def step(self) -> Step:
        """Do the next step, and what follows at once."""
        while True:
            step = self.program.steps[self._done]
            self._done += 1
            self.observed.append(Observed(self._do(step), {}))
            if step.settles or self.over:
                return step

    def look(self) -> None:
        """Look at the FDs now that all is quiet."""
        rings = self.observed[-1].rings
        for number in sorted(self._untouched):
            rings[number] = self.world.rings(self.sockets[number])
        # News that came just as EVENTS was read may have been in it, or not.
        self._untouched -= {number for number in self._fresh if rings.pop(number)}
        self._fresh.clear()

    def _do(self, step: Step) -> Any:
        if step.what not in ("open", "close") and step.socket not in self.sockets:
            return "closed"
        self._untouched.discard(step.socket)
        self._fresh.discard(step.socket)
        try:
            return CALLS[step.what](self, step.socket, step.argument)
        except zmq.ZMQError as error:
            return name_of(error)

    def _address(self, name: str) -> str:
        return self.world.address(self.program.transport, f"{self.name}{name}")

    # The steps.

    def open(self, number: int, _: Any) -> str:
        """Make a socket, again."""
        if number in self.sockets:
            return "open"
        spec = self.program.sockets[number]
        socket = self.sockets[number] = self.world.socket(spec.type)
        socket.set(zmq.RECONNECT_IVL, RECONNECT)
        for option, value in spec.options:
            socket.set(option, value)
        return "ok"

    def close(self, number: int, _: Any) -> str:
        """Close it."""
        if number in self.sockets:
            self.sockets.pop(number).close()
        return "ok"

    def bind(self, number: int, address: str) -> str:
        """Bind it."""
        self.sockets[number].bind(self._address(address))
        return "ok"

    def connect(self, number: int, address: str) -> str:
        """Connect it."""
        self.sockets[number].connect(self._address(address))
        return "ok"

    def unbind(self, number: int, address: str) -> str:
        """Unbind it."""
        self.sockets[number].unbind(self._address(address))
        return "ok"

    def disconnect(self, number: int, address: str) -> str:
        """Disconnect it."""
        self.sockets[number].disconnect(self._address(address))
        return "ok"

    def subscribe(self, number: int, topic: bytes) -> str:
        """Subscribe."""
        if self.program.sockets[number].kind == "SUB":
            self.sockets[number].set(zmq.SUBSCRIBE, topic)
        else:
            self.sockets[number].send(b"\1" + topic, zmq.DONTWAIT)
        return "ok"

    def unsubscribe(self, number: int, topic: bytes) -> str:
        """Unsubscribe."""
        if self.program.sockets[number].kind == "SUB":
            self.sockets[number].set(zmq.UNSUBSCRIBE, topic)
        else:
            self.sockets[number].send(b"\0" + topic, zmq.DONTWAIT)
        return "ok"

    def send(self, number: int, argument: tuple[Any, ...]) -> list[str]:
        """Send so many messages that begin so, until one is refused."""
        count, *head = argument
        if head and head[0] == b"reply":
            head[0] = self._last.get(number, b"nobody")
        came = []
        for each in range(count):
            label = b"%d.%d.%d" % (number, self._done, each)
            parts = [*head, label]
            if head[:1] and head[0][:1] in (b"\0", b"\1") and len(head[0]) < 5:
                parts = head  # a subscription
            try:
                self.sockets[number].send_multipart(parts, zmq.DONTWAIT)
            except zmq.ZMQError as error:
                came.append(name_of(error))
                break
            came.append("ok")
        return came

    def receive(self, number: int, most: int) -> list[Any]:
        """Receive so many messages, or as many as there are."""
        came: list[Any] = []
        for _ in range(most):
            try:
                message = self.sockets[number].recv_multipart(zmq.DONTWAIT)
            except zmq.ZMQError as error:
                came.append(name_of(error))
                break
            if self.program.sockets[number].kind == "ROUTER":
                self._last[number] = message[0]
            came.append(tuple(map(self._shown, message)))
        return came

    def events(self, number: int, _: Any) -> int:
        """Read EVENTS; from now on its FD is looked at."""
        came = int(self.sockets[number].get(zmq.EVENTS))
        self._untouched.add(number)
        self._fresh.add(number)
        return came

    def _shown(self, part: bytes) -> bytes | str:
        if part in self._own or len(part) not in (4, 5) or (b"." in part[1:2] and part[0]):
            return part
        if len(part) == 4 and part.isascii() and part.decode().isprintable():
            return part
        return self._names.setdefault(part, f"<{len(self._names)}>")


Call = Callable[[Player, int, Any], Any]
CALLS: dict[str, Call] = {
    "open": Player.open, "close": Player.close, "bind": Player.bind, "unbind": Player.unbind,
    "connect": Player.connect, "disconnect": Player.disconnect, "subscribe": Player.subscribe,
    "unsubscribe": Player.unsubscribe, "send": Player.send, "receive": Player.receive,
    "events": Player.events,
}  # fmt: skip


def name_of(error: zmq.ZMQError) -> str:
    """What an error is called."""
    number = error.errno or 0
    own = {int(zmq.EFSM): "EFSM", int(zmq.ETERM): "ETERM"}
    return own.get(number) or errno.errorcode.get(number, str(number))


def play(programs: Sequence[Program], world: World) -> list[list[Observed]]:
    """Play programs side by side, which waits but once for all, and say what came of each."""
    players = [Player(program, world, f"p{n}") for n, program in enumerate(programs)]
    playing = players
    while playing := [each for each in playing if not each.over]:
        steps = [each.step() for each in playing]
        ties = any(
            step.what in TIES or each.program.transport != "inproc"
            for step, each in zip(steps, playing, strict=True)
        )
        world.settle(ties)
        for each in playing:
            each.look()
    for each in players:
        for socket in each.sockets.values():
            socket.close(0)
    return [each.observed for each in players]
