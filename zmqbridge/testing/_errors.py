"""Errors of the simulation: for things that it does not have, and programs that wait for ever."""

from __future__ import annotations

from zmqbridge.errors import ZmqBridgeError


class NotSimulated(ZmqBridgeError):
    """The simulated network does not have this: an option, a transport, a real socket, a thread."""


class Stalled(ZmqBridgeError):
    """No task can go on and no message is under way, or a run has taken `Network.max_turns` turns.

    The text says what each task waits for, and where.
    """


class NotDeterministic(ZmqBridgeError):
    """Two runs of one seed were not the same; the text shows the first event that differs."""
