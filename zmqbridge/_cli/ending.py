"""How every command ends: the exit statuses that all share, and the line that says why."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from zmqbridge.errors import HandshakeFailed, ProxyFailed, ZmqBridgeError

OK, FAILED, MISUSED = 0, 1, 2
INTERRUPTED = 128 + signal.SIGINT
CLOSED_PIPE = 128 + 13  # SIGPIPE, which Windows has not
# By these a command ends that was given nothing wrong.
FAILURES = (TimeoutError, HandshakeFailed, ProxyFailed)


class Refused(Exception):
    """What was given cannot be used; the text says why."""


def ended(name: str, work: Callable[[], int]) -> int:
    """Do the work of a command and write all of its output; returns the exit status.

    Args:
        name: the name of the command.
        work: returns an exit status.
    """
    try:
        status = work()
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return CLOSED_PIPE
    except (Refused, ZmqBridgeError, ValueError, OSError) as error:
        complain(name, error)
        drop_output()
        return FAILED if isinstance(error, FAILURES) else MISUSED


def drop_output() -> None:
    """Drop what was not written, if it cannot be: else Python would fail with it when it ends."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):  # it is no file, as in a test
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(name: str, what: object) -> None:
    """Print a line on standard error, which may be closed."""
    with suppress(OSError, ValueError):
        print(f"zmqbridge {name}: {what}", file=sys.stderr, flush=True)


def descriptor_of(stream: Any, name: str) -> int:
    """The descriptor of a standard stream, which may have been closed.

    Raises:
        Refused: it was.
    """
    if stream is None:
        raise Refused(f"standard {name} is closed")
    descriptor: int = stream.fileno()
    return descriptor
