"""Signalled: what an exit would wait for, where a stopped reactor is followed by no exit.

After a signal, ``twistd`` and ``twist`` wait until the reactor has stopped and then end the process
by the same signal. So no exit handler is called, and what was sent just before would be lost.
"""

from __future__ import annotations

from sys import modules
from typing import Any
from weakref import WeakSet

from zmqbridge._bridge.context import shared

_watched: WeakSet[Any] = WeakSet()


def wait_when_signalled(reactor: Any) -> None:
    """Have a reactor that a signal stops wait at its end, as an exiting process does."""
    if reactor not in _watched:
        _watched.add(reactor)
        reactor.addSystemEventTrigger("after", "shutdown", _stopped, reactor)


def _stopped(reactor: Any) -> None:
    # This module, which both commands use, ends the process by the signal.
    if getattr(reactor, "_exitSignal", None) is not None and "twisted.application.app" in modules:
        shared.at_exit()
