"""Playing: performs the steps of programs in a world, and records the result of each step."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import zmq

from zmqbridge.testing.differential._programs import RECONNECT, Program, Step
from zmqbridge.testing.differential._worlds import World

TIES = frozenset({"bind", "connect", "unbind", "disconnect", "close", "open"})


class Observed(NamedTuple):
    """The result of a step.

    Attributes:
        came: the result of the call: ``"ok"``, the name of an errno, messages, or events.
        rings: whether the FD of a socket is readable after the world has settled, for each socket
            that no step has used since its EVENTS were read.
    """

    came: Any
    rings: dict[int, bool]


class Player:
    """Plays one program in a world.

    Args:
        program: the program to play.
        world: the world to play it in.
        name: a prefix of addresses that no other player in this world has.
    """

    def __init__(self, program: Program, world: World, name: str) -> None:
        self.program = program
        self.world = world
        self.name = name
        self.observed: list[Observed] = []
        self.sockets: dict[int, Any] = {}
        self._last: dict[int, bytes] = {}  # the peer of the last message to each ROUTER
        self._names: dict[bytes, str] = {}  # a name for each routing id that libzmq has chosen
        self._own = {each for spec in program.sockets for _, each in spec.options}
        self._untouched: set[int] = set()
        self._fresh: set[int] = set()
        self._done = 0
        for number in range(len(program.sockets)):
            self.open(number, None)

    @property
    def over(self) -> bool:
        """Whether all steps were played."""
        return self._done >= len(self.program.steps)

    def step(self) -> Step:
        """Perform the next steps, up to one after which the world settles, and return that one."""
        while True:
            step = self.program.steps[self._done]
            self._done += 1
            self.observed.append(Observed(self._do(step), {}))
            if step.settles or self.over:
                return step

    def look(self) -> None:
        """Record which FDs are readable, after the world has settled."""
        rings = self.observed[-1].rings
        for number in sorted(self._untouched):
            rings[number] = self.world.rings(self.sockets[number])
        # A command that came while EVENTS was read may have been worked off there, or not.
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
        """Make a socket, unless it is open."""
        if number in self.sockets:
            return "open"
        spec = self.program.sockets[number]
        socket = self.sockets[number] = self.world.socket(spec.type)
        socket.set(zmq.RECONNECT_IVL, RECONNECT)
        for option, value in spec.options:
            socket.set(option, value)
        return "ok"

    def close(self, number: int, _: Any) -> str:
        """Close a socket."""
        if number in self.sockets:
            self.sockets.pop(number).close()
        return "ok"

    def bind(self, number: int, address: str) -> str:
        """Bind a socket."""
        self.sockets[number].bind(self._address(address))
        return "ok"

    def connect(self, number: int, address: str) -> str:
        """Connect a socket."""
        self.sockets[number].connect(self._address(address))
        return "ok"

    def unbind(self, number: int, address: str) -> str:
        """Unbind a socket."""
        self.sockets[number].unbind(self._address(address))
        return "ok"

    def disconnect(self, number: int, address: str) -> str:
        """Disconnect a socket."""
        self.sockets[number].disconnect(self._address(address))
        return "ok"

    def subscribe(self, number: int, topic: bytes) -> str:
        """Subscribe to a topic."""
        if self.program.sockets[number].kind == "SUB":
            self.sockets[number].set(zmq.SUBSCRIBE, topic)
        else:
            self.sockets[number].send(b"\1" + topic, zmq.DONTWAIT)
        return "ok"

    def unsubscribe(self, number: int, topic: bytes) -> str:
        """Unsubscribe from a topic."""
        if self.program.sockets[number].kind == "SUB":
            self.sockets[number].set(zmq.UNSUBSCRIBE, topic)
        else:
            self.sockets[number].send(b"\0" + topic, zmq.DONTWAIT)
        return "ok"

    def send(self, number: int, argument: tuple[Any, ...]) -> list[str]:
        """Send a number of messages with these first parts, until one is refused."""
        count, *head = argument
        if head and head[0] == b"reply":
            head[0] = self._last.get(number, b"unknown")
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
        """Receive messages until there are none, but not more than `most`."""
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
        """Read EVENTS; from now on `look` records the FD of this socket."""
        came = int(self.sockets[number].get(zmq.EVENTS))
        self._untouched.add(number)
        self._fresh.add(number)
        return came

    def look_at(self, number: int, _: Any) -> str:
        """Have a socket work off its commands."""
        self.sockets[number].get(zmq.EVENTS)
        return "ok"

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
    "events": Player.events, "look": Player.look_at,
}  # fmt: skip


def name_of(error: zmq.ZMQError) -> str:
    """The name of an error's errno."""
    number = error.errno or 0
    own = {int(zmq.EFSM): "EFSM", int(zmq.ETERM): "ETERM"}
    return own.get(number) or errno.errorcode.get(number, str(number))


def play(programs: Sequence[Program], world: World) -> list[list[Observed]]:
    """Play programs side by side, so that they wait together, and return the results of each."""
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
