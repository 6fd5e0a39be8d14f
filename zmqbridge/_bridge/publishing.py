"""Publishing: the arguments of publishing sockets; the same on every loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zmq

from zmqbridge._bridge.audience import Audience
from zmqbridge._bridge.link import Link
from zmqbridge.core._formats import format_named
from zmqbridge.core.framing import BytesLike, as_parts
from zmqbridge.core.lastvalues import LastValues
from zmqbridge.core.numbered import as_copy, first_of_run
from zmqbridge.core.outgoing import Outgoing
from zmqbridge.core.topics import LONGEST_MESSAGE
from zmqbridge.errors import OptionError
from zmqbridge.sequences import Sequence as Numbers
from zmqbridge.sequences import whole_number

# A publisher receives subscriptions, and libzmq keeps a hundred bytes for each byte of a prefix.
OF_PUBLISHERS: dict[int, int] = {zmq.MAXMSGSIZE: LONGEST_MESSAGE}


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


def packing_and_audience(
    format: str, given: Any
) -> tuple[Callable[[bytes, Any], Sequence[BytesLike]], Audience]:
    """Take out the arguments of a Publisher beside its format; returns `packing_of`, its pattern.

    Raises:
        TypeError: `barrier` is no bool, `sequence` no `zmqbridge.Sequence`, or `last_values` no
            whole number.
        ValueError: there is no such format, or these do not go together.
        OptionError: CONFLATE does not go with them.
    """
    barrier, sequence = given.pop("barrier", None), given.pop("sequence", None)
    last_values = given.pop("last_values", None)
    if not isinstance(barrier, bool | None):
        raise TypeError(f"barrier={barrier!r}: give True or False")
    pack = packing_of(format, given)
    options = given.get("options")
    newest = isinstance(options, Mapping) and bool(options.get(zmq.CONFLATE))
    audience = Audience("sequenced" if sequence else format, barrier=bool(barrier), newest=newest)
    if sequence is not None:
        audience.outgoing = outgoing_of(sequence, format, newest)
        pack = audience.outgoing.pack
        if sequence.last_values:
            audience.outgoing.latest = LastValues(sequence.last_values)
            pack = remembering(pack, audience.outgoing.latest)
    if last_values is not None:
        audience.last_values = last_values_of(last_values, format, newest, sequence)
        audience.copy = as_parts if sequence is None else as_copy
        pack = remembering(pack, audience.last_values)
    return pack, audience


def outgoing_of(sequence: object, format: str, newest: bool) -> Outgoing:
    """Make the machine that numbers publications and keeps the last ones.

    Raises:
        TypeError, ValueError, OptionError: as `packing_and_audience`.
    """
    if not isinstance(sequence, Numbers):
        raise TypeError(f"sequence={sequence!r}: give a zmqbridge.Sequence")
    if format != "joined":
        raise ValueError(f"sequence= has a format of its own, and format={format!r} another")
    if newest:
        raise OptionError("zmq.CONFLATE keeps the newest part alone, and sequence= has three")
    outgoing = Outgoing(sequence.keep, sequence.size, by_tag=sequence.by == "tag")
    if sequence.first is not None:
        outgoing.begin(sequence.first)
    return outgoing


def last_values_of(most: Any, format: str, newest: bool, sequence: Numbers | None) -> LastValues:
    """Make the memory of the last publication of each tag, to be sent again.

    Raises:
        TypeError, ValueError, OptionError: as `packing_and_audience`.
    """
    whole_number("last_values", most, 1)
    if format == "raw":
        raise ValueError("last_values= is by tag, and in format='raw' there is none")
    if newest:
        raise OptionError("with zmq.CONFLATE libzmq does not tell who subscribes: no last_values=")
    if sequence is not None and sequence.by != "tag":
        raise ValueError("last_values= sends old numbers again: it needs Sequence(by='tag')")
    return LastValues(most)


def remembering(
    pack: Callable[[bytes, Any], Sequence[BytesLike]], values: LastValues
) -> Callable[[bytes, Any], Sequence[BytesLike]]:
    """Wrap a packing function, so that each publication is also kept as the last one of its tag."""
    keep = values.keep

    def pack_and_keep(tag: bytes, body: Any) -> Sequence[BytesLike]:
        parts = as_parts(pack(tag, body))
        keep(tag, parts)
        return parts

    return pack_and_keep


def serve_replays(audience: Audience, link: Link, sequence: Numbers | None, given: Any) -> None:
    """Choose the first number, and open the ROUTER of the replays if there is an address for it.

    Raises:
        AddressError: as `Link.bind`; then the publisher is closed.
    """
    if sequence is None or audience.outgoing is None:
        return
    if sequence.first is None:
        audience.outgoing.begin(first_of_run(link.random()(4)))
    if sequence.replay is None:
        return
    from zmqbridge._bridge.replays import Replays  # few need it

    try:
        audience.replays = Replays(link, audience.outgoing, sequence.replay, given.get("security"))
    except BaseException:
        link.close()
        raise
