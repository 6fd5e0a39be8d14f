"""Opening: checks what a user gives a new socket, and says what is wrong with an address."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Any

import zmq

from zmqbridge._bridge import addresses
from zmqbridge._bridge.calls import raw
from zmqbridge._bridge.exhaustion import NO_ROOM, explained
from zmqbridge.core.framing import Address
from zmqbridge.errors import AddressError

# A tcp host with a colon in it is an address of IPv6. What a name stands for, nothing tells here.
IPV6 = r"tcp://(?:.*;)?(?:\[|[^;\]]*:[^;]*:[^;:]*$)"  # compiled when first needed

NO_PORT = r"tcp://(?:[^:]*|.*\])$"
MOST = 65535  # libzmq takes a larger port for another one, without a word
NUMBERS = f"a port is a number up to {MOST}, and 0 is for bind"

HINTS = {
    zmq.EADDRINUSE: "another socket has it; take another, or tcp://127.0.0.1:* for a free port",
    zmq.EADDRNOTAVAIL: "no interface of this host has it",
    errno.ENODEV: "no interface of this host has it",
    errno.EACCES: "this process may not open it",
    zmq.EINVAL: "write it as transport://address, e.g. tcp://127.0.0.1:5555 or ipc:///tmp/socket",
    errno.ENAMETOOLONG: "the path of an ipc address is limited to about 100 characters",
    errno.ENOENT: "this socket is not bound or connected to it, or its folder does not exist",
    zmq.EPROTONOSUPPORT: "libzmq knows tcp, ipc, inproc, pgm, epgm and vmci, as it was built",
    zmq.ENOCOMPATPROTO: "this transport does not carry this kind of socket",
    zmq.EMTHREAD: "the context has no I/O thread",
}


def check(options: object, context: object) -> None:
    """Refuse options and contexts of another type.

    Raises:
        TypeError: the text says what to give.
    """
    if options is not None and not isinstance(options, Mapping):
        kind = type(options).__name__
        raise TypeError(f"options is given as {kind}: give a dict, as {{zmq.SNDHWM: 100}}")
    if context is not None and not isinstance(context, zmq.Context):
        kind = type(context).__name__
        raise TypeError(f"context is given as {kind}: give a zmq.Context")


def check_port(name: str, least: int = 0) -> None:
    """Refuse what is no port, or below the `least` one; raises as libzmq would."""
    if _is_no_port(name, least):
        raise zmq.ZMQError(zmq.EINVAL)


def bind(socket: zmq.Socket[bytes], name: str) -> str:
    """Bind a socket, as `addresses.bind`, unless there is no such port."""
    check_port(name)
    return addresses.bind(socket, name)


def connect(socket: zmq.Socket[bytes], name: str) -> None:
    """Connect a socket, unless libzmq could never reach the address: by its port, or by IPv6."""
    check_port(name, least=1)
    if _needs_ipv6(socket, name):  # libzmq takes it, and never gets there
        raise zmq.ZMQError(zmq.EINVAL)
    raw(socket).connect(socket, name)
    if name.startswith("ipc:"):
        addresses.note(socket, name, False)


def refusal(
    error: zmq.ZMQError, socket: zmq.Socket[bytes], action: str, address: Address, name: str
) -> Exception:
    """The error for the user, with a hint, when libzmq refuses an address."""
    number = error.errno or 0
    if number in NO_ROOM:
        return explained(error, socket.context)
    hint = _hint(socket, action, name, number)
    text = f"cannot {action} {name!r}: {zmq.strerror(number)}; {hint}"
    return AddressError(text, address, number)


def _hint(socket: zmq.Socket[bytes], action: str, name: str, number: int) -> str:
    if name != name.strip():
        return "leave out the blanks around it"
    if number == errno.ENOENT and action in ("bind to", "connect to"):
        return "its folder does not exist"
    if number == errno.ENOENT and not name.startswith("ipc:"):
        return "this socket is not bound or connected to it"
    if action == "connect to" and ("://*" in name or name.endswith(":*")):
        return "* is for bind; connect to the name or the address of a host"
    no_port = _is_no_port(name, least=int(action == "connect to"))
    if no_port and name.rpartition(":")[2].isdecimal():
        return NUMBERS
    if _needs_ipv6(socket, name):
        return "for an address of IPv6 give options={zmq.IPV6: 1}"
    if number == zmq.EINVAL and re.match(NO_PORT, name):
        return "its port is missing, as in tcp://127.0.0.1:5555"
    return NUMBERS if no_port else HINTS.get(number, "see zmq_tcp(7), zmq_ipc(7) and zmq_inproc(7)")


def _needs_ipv6(socket: zmq.Socket[bytes], name: str) -> Any:
    # Most names have neither, and to match them would take 2 µs.
    some = "[" in name or name.count(":") > 2
    return some and re.match(IPV6, name) and not raw(socket).get(socket, zmq.IPV6)


def _is_no_port(name: str, least: int) -> bool:
    # libzmq reads digits and leaves the rest, so it takes "5555x" for 5555.
    port = name.rpartition(":")[2]
    if not name.startswith("tcp:") or port == "*":
        return False
    return not (port.isdecimal() and port.isascii() and least <= int(port) <= MOST)
