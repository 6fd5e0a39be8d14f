"""RefusingReactor: the calls of a Twisted reactor that a simulated one refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from zmqbridge.testing._errors import NotSimulated
from zmqbridge.testing._refusals import PROCESS, THREAD


class RefusingReactor:
    """Refuses threads, processes and real descriptors."""

    def addWriter(self, writer: Any) -> NoReturn:
        """Refuse a writer.

        Raises:
            NotSimulated: always; simulated sockets need no writer.
        """
        raise NotSimulated(f"{writer!r} has a real descriptor")

    def callInThread(self, callable: Callable[..., object], *args: object, **kw: object) -> None:
        """Refuse to start a thread.

        Raises:
            NotSimulated: always.
        """
        raise NotSimulated(THREAD)

    def spawnProcess(self, *args: object, **kw: object) -> NoReturn:
        """Refuse to start a process.

        Raises:
            NotSimulated: always.
        """
        raise NotSimulated(PROCESS)

    callInThreadWithCallback: Final = callInThread
    suggestThreadPoolSize: Final = callInThread
    getThreadPool: Final = callInThread
