"""What the words of a proxy mean: its two sides with keys and marks, and the clients let in."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import zmq

from zmqbridge._cli.keys import policies_of, security_of
from zmqbridge.proxies import Side
from zmqbridge.security import Policy

# Subscriptions go the other way, and those above a mark would be lost.
MARKS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "requests": ((zmq.SNDHWM, zmq.RCVHWM), (zmq.SNDHWM, zmq.RCVHWM)),
    "pubsub": ((zmq.RCVHWM,), (zmq.SNDHWM,)),
    "pipeline": ((zmq.RCVHWM,), (zmq.SNDHWM,)),
}


class Guarded(NamedTuple):
    """The two sides of a proxy, and which clients it lets in.

    Attributes:
        front, back: the sides.
        policies: the clients that are let in; None for all that have the server's public key.
    """

    front: Side
    back: Side
    policies: dict[str, Policy] | None


def guarded(
    front: str,
    back: str,
    curve_front: str | None,
    curve_back: str | None,
    clients: str | None,
    own_key: str | None,
) -> Guarded:
    """What these words of the command line mean."""
    sides = Side.parse(front), Side.parse(back)
    curves = curve_front, curve_back
    serves = [bool(side.bind) for side in sides]
    policies = policies_of(clients, own_key, curve=curves, serves=serves)
    made_front, made_back = [
        replace(side, security=security_of(curve, serves=serving, clients=clients, own_key=own_key))
        for side, curve, serving in zip(sides, curves, serves, strict=True)
    ]
    return Guarded(made_front, made_back, policies)


def marked(kind: str, given: Guarded, mark: int | None) -> Guarded:
    """The same, with these marks of the two sides."""
    if mark is None:
        return given
    front, back = [
        replace(side, options=dict.fromkeys(marks, mark))
        for side, marks in zip(given[:2], MARKS[kind], strict=True)
    ]
    return Guarded(front, back, given.policies)
