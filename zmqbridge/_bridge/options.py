"""Options: sets the options of a libzmq socket, and explains why one is refused."""

from __future__ import annotations

from enum import Enum
from typing import Any

import zmq

from zmqbridge._bridge.calls import raw
from zmqbridge._bridge.mechanisms import SECRET
from zmqbridge._bridge.receivingsocket import OF_PUBLISHERS, TOLD, Refused, Telling, refuse
from zmqbridge.errors import OptionError

NAMES = {int(option): option.name for option in zmq.SocketOption}

READ_ONLY = frozenset(
    {zmq.RCVMORE, zmq.FD, zmq.EVENTS, zmq.TYPE, zmq.LAST_ENDPOINT, zmq.MECHANISM, zmq.THREAD_SAFE}
)

# Values that libzmq would take, but that have no meaning here or do harm, with the reasons.
REFUSED: Refused = {
    **OF_PUBLISHERS,
    zmq.LINGER: (lambda value: value < 0, "would wait for ever at the end; give milliseconds"),
    zmq.RCVTIMEO: (
        lambda value: value != -1,
        "means nothing here, as no call blocks: put a timeout around receive(), which is safe to "
        "cancel, with asyncio.timeout, anyio.fail_after or Deferred.addTimeout",
    ),
    zmq.SNDTIMEO: (
        lambda value: value != -1,
        "means nothing here, as no call blocks: put a timeout around the sending call, which is "
        "safe to cancel, or give request() a timeout=",
    ),
}

# The other enums of pyzmq whose numbers might be taken for socket options.
ELSEWHERE = {
    "ContextOption": "an option of a context: set it on a zmq.Context, and give that as context=",
    "MessageOption": "an option of a message",
}

INSTEAD: dict[int, str] = {zmq.HWM: "libzmq has it no more: give zmq.SNDHWM and zmq.RCVHWM"}


def set_option(socket: zmq.Socket[bytes], option: int, value: Any) -> None:
    """Set a socket option.

    Raises:
        OptionError: there is no such option, or it does not take this value.
    """
    name = name_of(option)
    refuse(REFUSED, option, value)
    if isinstance(socket, Telling):
        refuse(socket.refused, option, value)
    try:
        (type(socket) if option in TOLD else raw(socket)).set(socket, option, value)
    except (zmq.ZMQError, TypeError, OverflowError) as error:
        secret = option in SECRET  # pyzmq's own error text would show the value
        shown = f"this {type(value).__name__}" if secret else repr(value)
        why = INSTEAD.get(option) or _takes(option, value) or ("" if secret else str(error))
        raise OptionError(": ".join(filter(None, (f"{name} does not take {shown}", why)))) from None


def name_of(option: Any) -> str:
    """The name of a socket option that can be set.

    Raises:
        OptionError: it is no socket option, or one that can only be read.
    """
    if isinstance(option, Enum) and not isinstance(option, zmq.SocketOption):
        kind = type(option).__name__
        what = ELSEWHERE.get(kind, f"one of zmq.{kind}")
        raise OptionError(f"zmq.{option.name} is no socket option, but {what}")
    if isinstance(option, bool) or option not in NAMES:
        raise OptionError(f"{option!r} is no socket option; use zmq.SNDHWM and the like")
    if option in READ_ONLY:
        raise OptionError(f"zmq.{NAMES[option]} can only be read, with socket.get")
    return f"zmq.{NAMES[option]}"


def _takes(option: int, value: object) -> str:
    """A text that names the type which an option takes; empty if the value has that type."""
    kind = zmq.SocketOption(option)._opt_type.name
    if kind != "bytes":
        return "" if isinstance(value, int) else "it takes an int"
    if isinstance(value, str):
        return "it takes bytes: use .encode()"
    return "" if isinstance(value, bytes) else "it takes bytes"
