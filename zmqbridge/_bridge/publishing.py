"""Publishing: the arguments of publishing sockets; the same on every loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zmq

from zmqbridge._bridge.audience import Audience
from zmqbridge.core.formats import format_named
from zmqbridge.core.framing import BytesLike
from zmqbridge.core.topics import LONGEST
from zmqbridge.errors import OptionError

# What comes to a publisher are subscriptions, and for each byte of one libzmq keeps a hundred.
# Before the prefix stands a byte, or a command of ten (ZMTP 3.1).
OF_PUBLISHERS: dict[int, int] = {zmq.MAXMSGSIZE: LONGEST + 10}


def packing_of(format: str, given: Any) -> Callable[[bytes, Any], Sequence[BytesLike]]:
    """The function that makes the parts of a publication from its tag and its body.

    Raises:
        ValueError: there is no such format.
        OptionError: with CONFLATE, libzmq would keep only one of these parts.
    """
    pack = format_named(format).pack
    options = given.get("options")
    newest = isinstance(options, Mapping) and options.get(zmq.CONFLATE)
    if newest and format in ("two-part", "parts"):
        text = f"zmq.CONFLATE keeps the newest part alone, and format={format!r} has several"
        raise OptionError(text)
    return pack


def audience_of(format: str, given: Any) -> Audience:
    """Take out the arguments of a Publisher beside its format; returns its pattern.

    Raises:
        TypeError: `barrier` is no bool.
    """
    barrier = given.pop("barrier", False)
    if not isinstance(barrier, bool):
        raise TypeError(f"barrier={barrier!r}: give True or False")
    options = given.get("options")
    newest = isinstance(options, Mapping) and bool(options.get(zmq.CONFLATE))
    return Audience(format, barrier=barrier, newest=newest)
