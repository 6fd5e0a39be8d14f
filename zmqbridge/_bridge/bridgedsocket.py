"""BridgedSocket: the pyzmq socket that users get, which tells when it was used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq
from zmq.backend import Socket as BackendSocket

from zmqbridge._bridge.addresses import SENT, note
from zmqbridge._bridge.calls import raw
from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.parting import disconnect as part

FD = int(zmq.FD)


if TYPE_CHECKING:
    from zmqbridge._bridge.pump import Pump

    Base = zmq.Socket[bytes]
else:
    Base = object


class Bridged(Base):
    """What a `BridgedSocket` adds to a class of sockets, libzmq's or simulated ones."""

    _zmqbridge_pump: Pump | None = None

    def watch(self, pump: Pump) -> None:
        """Let this pump know of the user's calls."""
        # Past pyzmq's own __setattr__, which looks for an option of that name first: 5 µs.
        object.__setattr__(self, "_zmqbridge_pump", pump)

    def touched(self) -> None:
        """Schedule a turn of the pump, because a call may have silenced the FD."""
        if self._zmqbridge_pump is not None:
            self._zmqbridge_pump.schedule()

    def fileno(self) -> int:
        # pyzmq looks for an option of that name first: 5 µs, too.
        descriptor: int = raw(self).get(self, FD)
        return descriptor

    def __hash__(self) -> int:
        return id(self)


def _touching(name: str) -> Any:
    def call(self: Bridged, *args: Any, **kwargs: Any) -> Any:
        try:
            # Looked up late, because programs put methods of their own on ``zmq.Socket``.
            return getattr(super(Bridged, self), name)(*args, **kwargs)
        finally:
            self.touched()
            if sends:
                vars(self)[SENT] = True

    sends = name == "send"
    call.__name__, call.__doc__ = name, getattr(zmq.Socket, name).__doc__
    return call


TOUCHING = """
    send recv recv_into get getsockopt set setsockopt bind connect unbind disconnect poll
"""
for _name in TOUCHING.split():
    setattr(Bridged, _name, _touching(_name))


def _parting(disconnect: Any) -> Any:
    def call(self: Bridged, addr: Any) -> Any:
        pump = self._zmqbridge_pump
        return disconnect(self, addr) if pump is None else part(pump, self, addr, disconnect)

    call.__name__, call.__doc__ = "disconnect", zmq.Socket.disconnect.__doc__
    return call


setattr(Bridged, "disconnect", _parting(Bridged.disconnect))  # noqa: B010  pyzmq's own is final


def _noting(name: str, bound: bool) -> Any:
    act = getattr(Bridged, name)

    def call(self: Bridged, addr: Any) -> Any:
        result = act(self, addr)
        note(self, addr, bound)
        return result

    call.__name__, call.__doc__ = name, getattr(zmq.Socket, name).__doc__
    return call


for _name, _bound in (("bind", True), ("connect", False)):
    setattr(Bridged, _name, _noting(_name, _bound))


class BridgedSocket(Bridged, zmq.Socket[bytes]):
    """The pyzmq socket that users get; after each of their calls the pump looks at it again."""

    # For `calls`: it takes four times as long to find that a class has no such attribute.
    raw = BackendSocket
    monotonic = monotonic

    # What pyzmq's constructor sets: it looks for these names in each base, the class itself first.
    _shadow = False
    _type_name = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._shadow, cls._type_name = False, ""
