"""Errors of the simulation: what it does not know, and programs that wait for ever."""

from __future__ import annotations

from zmqbridge.errors import ZmqBridgeError


class NotSimulated(ZmqBridgeError):
    """The simulated network does not have this: an option, a transport, a real socket, a thread."""


class Stalled(ZmqBridgeError):
    """No task can go on any more, and no message is under way; the text says who waits for what."""


class NotDeterministic(ZmqBridgeError):
    """Two runs of one seed did not do the same; the text shows where they part."""
