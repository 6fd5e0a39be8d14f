"""ZMTP: the greeting and the commands with which two peers of ØMQ begin, as bytes in and out.

Written from the public specification (https://rfc.zeromq.org/spec/23/). Nothing here encrypts: of a
connection that is secured only the greeting can be read.
"""

from __future__ import annotations

from typing import NamedTuple

from zmqbridge.errors import MalformedMessage

GREETING = 64  # bytes of a whole greeting
SIGNATURE = 10  # bytes of it by which ZMTP is known, since version 2
VERSION = SIGNATURE + 2  # bytes of it up to the version, major and minor
MECHANISM = 20  # bytes
COMMAND, LONG = 0x04, 0x02  # flags of a frame
MOST = 1 << 16  # bytes of a command; READY takes some dozens

# Which types of sockets may talk to which; libzmq refuses all others.
PARTNERS = {
    "PAIR": ["PAIR"],
    "PUB": ["SUB", "XSUB"],
    "XPUB": ["SUB", "XSUB"],
    "SUB": ["PUB", "XPUB"],
    "XSUB": ["PUB", "XPUB"],
    "PUSH": ["PULL"],
    "PULL": ["PUSH"],
    "REQ": ["REP", "ROUTER"],
    "REP": ["REQ", "DEALER"],
    "DEALER": ["DEALER", "ROUTER", "REP"],
    "ROUTER": ["DEALER", "ROUTER", "REQ"],
    # Those of libzmq's drafts.
    "CLIENT": ["SERVER"],
    "SERVER": ["CLIENT"],
    "RADIO": ["DISH"],
    "DISH": ["RADIO"],
    "GATHER": ["SCATTER"],
    "SCATTER": ["GATHER"],
    "CHANNEL": ["CHANNEL"],
    "PEER": ["PEER"],
}


class Greeting(NamedTuple):
    """How a peer introduces itself.

    Attributes:
        version: major and minor, e.g. ``(3, 1)``.
        mechanism: ``"NULL"``, ``"PLAIN"``, ``"CURVE"`` or another; ``""`` before ZMTP 3.
    """

    version: tuple[int, int]
    mechanism: str


class Command(NamedTuple):
    """A command, e.g. READY or ERROR.

    Attributes:
        name: e.g. ``"READY"``.
        body: what follows the name.
    """

    name: str
    body: bytes


def pack_greeting(mechanism: str) -> bytes:
    """The greeting of a client that speaks ZMTP 3.1.

    Raises:
        ValueError: the mechanism has more than 20 bytes.
    """
    name = mechanism.encode("ascii")
    if len(name) > MECHANISM:
        raise ValueError(f"mechanism={mechanism!r} has more than {MECHANISM} bytes")
    begin = b"\xff" + bytes(8) + b"\x7f\x03\x01" + name.ljust(MECHANISM, b"\0")
    return begin.ljust(GREETING, b"\0")


def parse_greeting(data: bytes) -> Greeting | None:
    """The greeting with which `data` begins; None while that is not whole.

    Raises:
        MalformedMessage: this is no ZMTP; the error carries `data`.
    """
    if data[:1] == b"\x01" and data[1:2] in (b"", b"\0"):
        # ZMTP 1 begins with the routing id as a frame, an empty one here.
        return Greeting((1, 0), "") if len(data) > 1 else None
    signed = data[:1] in (b"", b"\xff") and (len(data) < SIGNATURE or data[9] & 1)
    if not signed:
        raise MalformedMessage("this is no ZMTP", [data])
    if len(data) <= SIGNATURE:
        return None
    if data[SIGNATURE] < 3:  # ZMTP 2 has a revision in this place: 0 is version 1, 1 version 2
        return Greeting((data[SIGNATURE] + 1, 0), "")
    if len(data) < GREETING:
        return None
    mechanism = data[VERSION : VERSION + MECHANISM].rstrip(b"\0")
    return Greeting((data[SIGNATURE], data[SIGNATURE + 1]), mechanism.decode("ascii", "replace"))


def parse_command(data: bytes) -> tuple[Command, bytes] | None:
    """The command with which `data` begins, and what follows it; None while it is not whole.

    Raises:
        MalformedMessage: it begins with no command, or one of more than 64 KiB.
    """
    if not data:
        return None
    flags = data[0]
    if flags not in (COMMAND, COMMAND | LONG):
        raise MalformedMessage("this is no command of ZMTP", [data])
    start = 9 if flags & LONG else 2
    if len(data) < start:
        return None
    size = int.from_bytes(data[1:start], "big")
    if not 1 <= size <= MOST:
        raise MalformedMessage(f"a command of ZMTP with {size} bytes", [data])
    if len(data) < start + size:
        return None
    frame, rest = data[start : start + size], data[start + size :]
    name, body = _counted(frame, 1)
    return Command(name.decode("ascii", "replace"), body), rest


def parse_ready(body: bytes) -> dict[str, bytes]:
    """The properties of a READY, by their names as libzmq spells them, e.g. ``"Socket-Type"``.

    Raises:
        MalformedMessage: these are no properties.
    """
    properties = {}
    while body:
        name, body = _counted(body, 1)
        value, body = _counted(body, 4)
        properties[name.decode("ascii", "replace").title()] = value
    return properties


def parse_error(body: bytes) -> str:
    """The reason that an ERROR gives.

    Raises:
        MalformedMessage: there is none.
    """
    return _counted(body, 1)[0].decode("ascii", "replace")


def _counted(data: bytes, width: int) -> tuple[bytes, bytes]:
    # What is preceded by its size, and what follows it.
    end = width + int.from_bytes(data[:width], "big")
    if len(data) < width or len(data) < end:
        raise MalformedMessage("a name or a value of ZMTP is cut off", [data])
    return data[width:end], data[end:]
